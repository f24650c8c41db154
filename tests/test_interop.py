"""PyTorch state dicts: every container, every prefix, every way to be wrong."""

import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from keras_mgnet import LMResNet, MgNet, PreActResNet, ResNet, load_torch_weights, save_torch_weights
from keras_mgnet.interop import load_weights
from support.interop import torch_state
from support.numerics import randomize

MAKERS = {
    "mgnet": lambda: MgNet((2, 1), 3, input_shape=(8, 8, 1), classes=4),
    "mgnet_unshared": lambda: MgNet((2, 1), 3, share_A=False, share_B=False, input_shape=(8, 8, 1), classes=4),
    "resnet": lambda: ResNet(base_width=2, input_shape=(8, 8, 1), share_A=True),
    "resnet20": lambda: ResNet(14, base_width=2, input_shape=(8, 8, 1), shortcut="projection"),
    "bottleneck": lambda: ResNet(50, base_width=2, input_shape=(8, 8, 1)),
    "lm_bottleneck": lambda: LMResNet(blocks=(1, 2), bottleneck=True, base_width=2, input_shape=(8, 8, 1)),
    "preact": lambda: PreActResNet(34, base_width=2, input_shape=(8, 8, 1), share_B=True),
}


@pytest.fixture(params=MAKERS)
def pair(request):
    make = MAKERS[request.param]
    return randomize(make()), make()


def assert_equal_weights(model, other):
    for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-6)  # ks = 1 - k rounds


def test_a_dict_with_every_prefix_and_step_counters(pair):
    source, target = pair
    state = {f"module.{key}": value for key, value in torch_state(source).items()}
    load_torch_weights(target, state | {"module.bn1.num_batches_tracked": np.array(3)})
    assert_equal_weights(source, target)


@pytest.mark.parametrize(
    ("family", "arguments"),
    [(MgNet, {"nu": (3, 2), "channels": 3, "share_A": True, "share_B": True})]
    + [(family, {"base_width": 2, "share_A": True, "share_B": True}) for family in (ResNet, PreActResNet)]
    + [(family, {"base_width": 2, "share_A": "published_size"}) for family in (ResNet, PreActResNet)],
)
def test_a_shared_network_is_the_unshared_one_with_equal_kernels(family, arguments, images):
    form = {"form": "feature"} if family is MgNet else {}
    shared = randomize(family(**arguments, **form, input_shape=(8, 8, 1)))
    untied = family(**arguments | {"share_A": False, "share_B": False}, **form, input_shape=(8, 8, 1))
    load_torch_weights(untied, torch_state(shared))
    x = images(shared)
    np.testing.assert_allclose(untied(x), shared(x), rtol=1e-4, atol=1e-5)


def test_a_model_beyond_pytorchs_code_is_refused(tmp_path):
    damped = MgNet((2, 1), 3, smoother="damped", input_shape=(8, 8, 1), classes=4)
    with pytest.raises(ValueError, match=r"Received: level1/scheme/a, level2/scheme/a"):
        load_torch_weights(damped, torch_state(MAKERS["mgnet"]()))
    with pytest.raises(ValueError, match=r"Received: level1/scheme/a, level2/scheme/a"):
        save_torch_weights(damped, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"expected the path of a \.safetensors file"):
        save_torch_weights(MAKERS["mgnet"](), tmp_path / "w.npz")
    assert not [*tmp_path.iterdir()]
    with pytest.raises(ValueError, match="expected a model with its classifier"):
        load_torch_weights(MgNet((1,), 3, include_top=False, input_shape=(8, 8, 1)), {})
    with pytest.raises(ValueError, match="expected a model with norms"):
        load_torch_weights(MgNet((1,), 3, norm=None, input_shape=(8, 8, 1)), {})
    fixed = MgNet((2, 1), 3, Pi="average", input_shape=(8, 8, 1), classes=4)
    with pytest.raises(ValueError, match=r"expected no key beyond .* layer1\.0\.Pi_conv\.weight"):
        load_torch_weights(fixed, torch_state(MAKERS["mgnet"]()))


@pytest.mark.parametrize("name", ["w.npz", "w.safetensors"])
def test_a_damaged_file_is_named(name, tmp_path):
    (tmp_path / name).write_bytes(b"no archive")
    with pytest.raises(ValueError, match=f"expected a readable .* file of arrays. Received: '.*{name}'"):
        load_torch_weights(MAKERS["mgnet"](), tmp_path / name)


def test_npz_and_safetensors(pair, tmp_path):
    source, target = pair
    np.savez(tmp_path / "w.npz", **{f"w/{key}": value for key, value in torch_state(source).items()}, note="other")
    load_torch_weights(target, tmp_path / "w.npz")
    assert_equal_weights(source, target)
    randomize(target, seed=7)
    save_file(torch_state(source), tmp_path / "w.safetensors")
    load_torch_weights(target, str(tmp_path / "w.safetensors"))
    assert_equal_weights(source, target)


def test_a_saved_state_dict_gives_the_same_bits(pair, tmp_path):
    source, target = pair
    load_torch_weights(target, save_torch_weights(source, tmp_path / "w.safetensors"))
    for ours, theirs in zip(source.get_weights(), target.get_weights(), strict=True):
        np.testing.assert_array_equal(theirs, ours)


@pytest.mark.parametrize("name", ["w.npz", "w.weights.h5", "w.keras"])
def test_weights_of_every_kind_of_file(name, tmp_path):
    source, target = randomize(MAKERS["mgnet"]()), MAKERS["mgnet"]()
    if name == "w.npz":
        np.savez(tmp_path / name, **torch_state(source))
    else:
        (source.save if name == "w.keras" else source.save_weights)(tmp_path / name)
    load_weights(target, tmp_path / name)
    assert_equal_weights(source, target)
    with pytest.raises(ValueError):
        load_weights(MAKERS["resnet"](), tmp_path / name)


def test_pth_where_torch_is_installed(pair, tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    source, target = pair
    state = {key: torch.from_numpy(value) for key, value in torch_state(source).items()}
    torch.save({"net": state, "epoch": 3}, tmp_path / "w.pth")
    load_torch_weights(target, tmp_path / "w.pth")
    assert_equal_weights(source, target)


def test_pth_without_torch_says_what_is_missing(tmp_path, monkeypatch):
    (tmp_path / "w.pth").touch()
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="expected 'torch': install it with `pip install 'torch'`"):
        load_torch_weights(MAKERS["mgnet"](), tmp_path / "w.pth")


def missing(state):
    del state["layer1.1.bn2.running_var"]


def surplus(state):
    state["layer9.0.A.weight"] = np.zeros(3)


def misshaped(state):
    state["fc.weight"] = np.zeros((4, 9), "float32")


def at_odds(state):
    state["layer0.1.B.weight"] = state["layer0.1.B.weight"] + 1


def no_number(state):
    state["fc.weight"][0, 0] = np.nan


def imaginary(state):
    state["fc.bias"] = state["fc.bias"] + 0j


def words(state):
    state["fc.bias"] = state["fc.bias"].astype(str)


def negative(state):
    state["bn1.running_var"][0] = -1


FAULTS = {
    missing: r"expected the key 'layer1\.1\.bn2\.running_var' in the state dict; it is missing",
    surplus: r"expected no key beyond those of mgnet\. Received: layer9\.0\.A\.weight",
    misshaped: r"expected 'fc\.weight' to have the shape \(4, 3\)\. Received: \(4, 9\)",
    at_odds: r"expected 'layer0\.1\.B\.weight' to equal 'layer0\.0\.B\.weight', because they are one tensor",
    no_number: r"expected finite numbers in 'fc\.weight'\. Received: nan",
    imaginary: r"expected real numbers in 'fc\.bias'\. Received: complex",
    words: r"expected real numbers in 'fc\.bias'\. Received: <U",
    negative: r"expected variances >= 0 in 'bn1\.running_var'\. Received: -1",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_faulty_state_dict_is_named_and_changes_nothing(fault):
    source, target = randomize(MAKERS["mgnet"]()), MAKERS["mgnet"]()
    state, before = torch_state(source), target.get_weights()
    fault(state)
    with pytest.raises(ValueError, match=FAULTS[fault]):
        load_torch_weights(target, state)
    for ours, theirs in zip(before, target.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
