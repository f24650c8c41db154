"""The benchmarks' machinery: turns, ratios, errors, and peers of the same size."""

import sys
from importlib import import_module

import numpy as np
import pytest

from keras_mgnet import count_params, create_model, save_torch_weights
from keras_mgnet.augmentations import AUGMENTATIONS
from keras_mgnet.benchmarks import gains, stock_networks
from keras_mgnet.benchmarks.bench import MEASUREMENTS, Settings, bench, multiply_adds
from keras_mgnet.benchmarks.networks import NETWORKS
from keras_mgnet.benchmarks.race import Contender, Lane, peak_memory, race
from keras_mgnet.benchmarks.races import LIMITS, MADDS, Race
from support.numerics import assert_close, randomize

STEPS = {"networks": ["MgNet[2,2,2,2]-64"], "batches": [32], "rounds": 1, "seconds": 1.0, "told": print}


def test_programs_take_turns(tmp_path):
    path = str(tmp_path / "steps")
    contenders = [Contender(name, "support.programs:noting", {"path": path, "name": name}) for name in "ab"]
    a, b = race(contenders, rounds=3, seconds=0.001)
    assert (tmp_path / "steps").read_text() == "aaa" + "bbb" + 3 * "ab"  # first step and warm-up, then a step a turn
    assert len(a.turns) == len(b.turns) == 3 and min(*a.turns, a.first) >= 0.005 and 0 < a.built <= a.memory


def test_memory_is_that_of_the_program_alone():
    ours = np.ones(50 * 2**20, "uint8")  # written, so that it counts in our own peak
    (lane,) = race([Contender("it", "support.programs:allocating", {"megabytes": 20})], rounds=1, seconds=0.001)
    assert 18 < lane.memory - lane.built < 30 and lane.memory < peak_memory() - ours.nbytes / 1e6


def test_a_program_that_fails_says_so():
    with pytest.raises(RuntimeError, match=r"expected it to run. Received: ValueError: no such thing"):
        race([Contender("it", "support.programs:failing")], rounds=1, seconds=0.001)


def test_rows_are_ratios_to_ours_and_to_the_limit():
    entry = Race("LM-ResNet56", 2, "train")
    lanes = [Lane(c.name, 1, 1, (4.0, 5.0), 3, 1) for c in entry.contenders()]
    lanes[0] = Lane(lanes[0].name, 1, 1, (2.0, 2.5), 3, 1)
    rows = entry.rows(lanes, madds=10**9)
    assert [rows[0]["ratio"], rows[1]["ratio"]] == [1.0, 2.0] and rows[-1]["ratio"] is None
    assert rows[0]["memory_mb"] == 3 and rows[0]["steps_mb"] == 2
    needed = 2 * 3 * 2 * 10**9  # two operations, a forward and two backward products, two images
    assert rows[0]["gflops"] == pytest.approx(1e-9 * needed / 2.25)
    assert rows[0]["of_limit"] == pytest.approx(rows[0]["gflops"] / (2e-9 * MADDS["convolution"] / 4.0))
    assert {c.name for c in LIMITS} < {row["contender"] for row in rows}


@pytest.mark.parametrize("network", [name for name, raced in NETWORKS.items() if raced.stock and "256" not in name])
def test_stock_networks_have_our_parameters(network):
    name, arguments = NETWORKS[network].stock
    stock = getattr(stock_networks, name)(**arguments)
    assert count_params(stock) == count_params(create_model(NETWORKS[network].preset))


def test_torch_networks_have_our_parameters():
    pytest.importorskip("torch", reason="PyTorch is for benchmarks only")
    from keras_mgnet.benchmarks import torch_networks

    for raced in NETWORKS.values():
        name, arguments = raced.torch
        for peer in filter(None, (name, raced.torch_ours)):
            module = getattr(torch_networks, peer)(**arguments)
            assert sum(p.numel() for p in module.parameters()) == count_params(create_model(raced.preset))


@pytest.mark.parametrize("network", [name for name in NETWORKS if name != "MgNet[2,2,2,2]-256"])
def test_torch_networks_load_our_files_and_give_our_logits(network, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is for benchmarks only")
    from safetensors.torch import load_file

    from keras_mgnet.benchmarks import torch_networks

    model = randomize(create_model(NETWORKS[network].preset))
    name, arguments = NETWORKS[network].torch
    module = getattr(torch_networks, name)(**arguments).eval()
    found = module.load_state_dict(load_file(save_torch_weights(model, tmp_path / "w.safetensors")), strict=False)
    assert not found.unexpected_keys and all(key.endswith("num_batches_tracked") for key in found.missing_keys)
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    with torch.no_grad():
        logits = module(torch.from_numpy(x.transpose(0, 3, 1, 2))).numpy()
    assert_close(logits, model(x, training=False))


def test_both_forms_in_torch_are_one_function():
    torch = pytest.importorskip("torch", reason="PyTorch is for benchmarks only")
    from keras_mgnet.benchmarks.torch_networks import MgNet, ResidualFormMgNet

    feature, residual = MgNet(channels=4).eval(), ResidualFormMgNet(channels=4).eval()
    residual.load_state_dict(feature.state_dict())
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(residual(x), feature(x), rtol=1e-4, atol=1e-5)


def test_multiply_adds():
    assert multiply_adds("MgNet[2,2,2,2]-64") == 226_493_056


@pytest.mark.parametrize(
    ("what", "changes", "message"),
    [
        ("trian", {}, "did you mean 'train'"),
        ("train", {"networks": ["MgNet"]}, "unknown network 'MgNet'"),
        ("train", {"batches": [0]}, "expected batch >= 1"),
        ("train", {"rounds": 0}, "expected rounds >= 1"),
    ],
)
def test_errors_before_anything_runs(what, changes, message):
    with pytest.raises(ValueError, match=message):
        bench(what, Settings(**STEPS | changes))


def test_without_torch_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-mgnet\[bench\]'"):
        bench("train", Settings(**STEPS))


@pytest.mark.slow
def test_the_cheapest_measurement_writes_its_record(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_mgnet.recipes.AUGMENTATIONS", {"shift": AUGMENTATIONS["shift"]})
    (section,) = bench("input", Settings(**STEPS | {"seconds": 0.01}), tmp_path)
    assert section.rows[0]["images_per_second"] > 0 and "input" in MEASUREMENTS
    assert (tmp_path / "input.json").is_file() and "augmentation" in (tmp_path / "input.md").read_text()


def test_what_gains_takes_away_exists():
    patched = [target for changed in gains.WITHOUT.values() for target in changed.get("patches", {})]
    assert patched and all(
        hasattr(import_module(module), name) for module, _, name in (t.rpartition(".") for t in patched)
    )
    assert all(contender.environment for contender in map(gains._contender, ("oneDNN", "two threads at a time")))
