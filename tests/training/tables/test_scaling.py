"""The model of a step on several machines, and what `--dry-run` makes of it."""

import json
from collections import Counter

import pytest

from keras_mgnet import MgNet
from keras_mgnet.description import description
from keras_mgnet.training.tables.cost import estimate
from keras_mgnet.training.tables.request import Reproduction
from keras_mgnet.training.tables.scaling import Cluster
from support import ROOT
from support.command import invoke

ROW = ("he2019:3", "--rows", "resnet18_shared_a-cifar10", "--seeds", 1, "--dry-run")


def ring(workers, parts):
    """Adds up one number a part and worker as a ring does, one message per worker and turn; returns sums and turns."""
    held = [[worker + part for part in range(parts)] for worker in range(workers)]
    turns = 0
    for add in (True, False):
        for turn in range(workers - 1):
            sent = [(w, (w - turn + (not add)) % workers) for w in range(workers)]
            messages = [((w + 1) % workers, part, held[w][part]) for w, part in sent]
            for worker, part, value in messages:
                held[worker][part] = held[worker][part] + value if add else value
            turns += 1
    return held, turns


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_a_step_is_arithmetic_and_the_messages_of_a_ring(workers):
    held, turns = ring(workers, workers)
    assert held == [[sum(worker + part for worker in range(workers)) for part in range(workers)]] * workers
    bare = Cluster(workers, rate=3e9).step(2_000_000, 1000, 60)
    assert bare == pytest.approx(3 * 2_000_000 * (60 / workers) / 3e9)
    joined = Cluster(workers, rate=3e9, bandwidth=1e6, latency=1e-3).step(2_000_000, 1000, 60)
    assert joined - bare == pytest.approx(turns * (1e-3 + 4 * (1000 / workers) / 1e6))


def test_a_step_waits_for_its_input():
    assert Cluster(2, rate=1e12, input_rate=100.0).step(1, 1, 41) == 21 / 100  # the larger share


def test_wrong_machines_are_refused():
    for options, message in (
        ({"workers": 0}, "workers >= 1"),
        ({"rate": 0.0}, "rate > 0"),
        ({"latency": -1.0}, "latency >= 0"),
    ):
        with pytest.raises(ValueError, match=message):
            Cluster(**options)


def test_a_dry_run_for_other_machines(tmp_path, refused):
    (cost,) = estimate(Reproduction("he2019:3", tmp_path, (ROW[2],)), Counter({ROW[2]: 1}), Cluster(4, rate=5e12))
    assert cost.seconds_per_step == 3 * cost.multiply_adds * 32 / 5e12
    output = invoke("reproduce", *ROW, "--out", tmp_path, "--workers", 4, "--rate", 10_000)
    device = f"{4 * cost.hours:,.2f}"
    assert f"{cost.hours:,.2f} hours on 4 workers ({device} device hours), {cost.petaflop:,.1f} PFLOP" in output
    assert cost.petaflop == pytest.approx(6 * cost.multiply_adds * 391 * 128 * 120 / 1e15)
    assert "no --dry-run" in refused("reproduce", *ROW[:-1], "--out", tmp_path, "--workers", 4)
    assert "expected rate > 0" in refused("reproduce", *ROW, "--out", tmp_path, "--rate", -1)
    assert not list(tmp_path.iterdir())


def test_the_figures_of_the_server_are_those_of_its_record():
    record = json.loads((ROOT / "docs" / "records" / "serving" / "digits.json").read_text())
    rows = {(row["file"], row["images"], row["clients"]): row for row in record["rows"] if row["protocol"] == "REST"}
    one, many, most = (rows["onnx", *key] for key in ((1, 1), (32, 1), (32, 8)))
    m = description(MgNet((2, 2, 2), (16, 32, 48), input_shape=(8, 8, 1))).multiply_adds
    seconds = (many["p50"] - one["p50"]) / 1e3 / 31  # per image
    page = (ROOT / "docs" / "scaling.md").read_text()
    for figure in (
        f"{m / 1e6:.1f} million multiply-adds",
        f"{one['p50']:.3f} ms for one image and in {many['p50']:.2f} ms for 32",
        f"o = {one['p50'] - 1e3 * seconds:.2f} ms, and r = {2 * m / seconds / 1e9:.0f} GFLOP/s",
        f"{most['rate']:,.0f} images/s, which are\n{2 * m * most['rate'] / 1e9:.0f} GFLOP/s",
        f"took {one['memory']:.0f} MB, and one with the SavedModel {rows['savedmodel', 32, 1]['memory']:.0f} MB",
    ):
        assert figure in page, figure


def test_the_errors_of_the_predictions_are_those_of_the_record():
    record = json.loads((ROOT / "docs" / "records" / "distributed" / "workers.json").read_text())
    times = {(row["channels"], row["workers"]): row for row in record["rows"]}
    errors = []
    for row in record["rows"]:
        if row["predicted"]:
            rate = 3 * 32 / (times[row["channels"], 1]["ms"] / 1e3) / row["workers"]  # the processes share the cores
            step = Cluster(row["workers"], rate=rate, **record["network"]).step(1, row["params"], 32)
            assert row["predicted"] == pytest.approx(1e3 * step)
            errors.append(step / (row["ms"] / 1e3) - 1)
    page = (ROOT / "docs" / "scaling.md").read_text()
    assert f"an error of {min(errors):.0%} to {max(errors):+.0%}".replace("%", " %") in page
