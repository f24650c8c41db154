"""Replicas train as one device does on the global batch, on the devices of one machine and on several machines."""

import json
import os
import re
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mgnet.layers.operators.norm import Norm, synchronize_norms
from keras_mgnet.training.loop.replicas import Replicas
from keras_mgnet.training.loop.strategy import STRATEGIES, Cluster, Strategy, connect, read_cluster
from support import ROOT, replicas
from support.command import invoked

PROGRAM = ROOT / "tests" / "support" / "replicas.py"
TWO = {"cluster": {"worker": ["127.0.0.1:0", "127.0.0.1:1"]}, "task": {"type": "worker", "index": 1}}
TOLERANCE = {
    "mixed_bfloat16": 1e-4,
    "mixed_float16": 2e-2,
}  # a CPU adds up gradients in float16: twice as far from float32
PIXELS = 64  # of every level of the network of the halves


def start(program, *arguments, **environment):
    environment = {key: value for key, value in os.environ.items() if key != "TF_CONFIG"} | environment
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, str(PROGRAM), program, *arguments], env=environment, **pipes)


def results(process, lines=1):
    output, errors = process.communicate()
    assert "Traceback" not in errors, errors
    return documents(output, lines, errors)


def documents(output, lines, errors):
    found = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert len(found) == lines, errors[-3000:]
    return found


def two_workers():
    """Returns the TF_CONFIG of each of two workers on this machine."""
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    jobs = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    return [json.dumps({"cluster": jobs, "task": {"type": "worker", "index": i}}) for i in range(2)]


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """The reports of one process with two devices, and of two workers, of which the second kills itself in the end."""
    out = tmp_path_factory.mktemp("reports")
    _, errors = start("quick", str(out), *two_workers()).communicate()
    assert "Traceback" not in errors, errors
    return [documents((out / str(i)).read_text(), lines, errors) for i, lines in enumerate((1, 2, 1))]


@pytest.fixture(scope="module")
def mirrored(reports):
    return reports[0][0]


@pytest.fixture(scope="module")
def pair(reports):
    return reports[1:]


def assert_same(expected, received, case):
    """All that two trainings left agrees; without synchronised norms up to what a replica cannot know of the variance."""
    tolerance = TOLERANCE.get(case.get("dtype"), 1e-5)
    unsynchronised = not case.get("sync") and case.get("network") != "no_norms"
    spoiled = {"steps", "epochs", "tested"} if "spoiled" in case else set()  # the other share alone is worth something
    assert expected.keys() == received.keys()
    for key in expected.keys() - spoiled:
        one, many = np.array(expected[key]), np.array(received[key])
        if unsynchronised and key.endswith("moving_variance"):
            if case.get("network") is not None:
                continue  # the factors below depend on the level
            kept = 0.9 ** len(expected["steps"])
            one, many = (kept + (v - kept) * (1 - 1 / count) for v, count in ((one, 8 * PIXELS), (many, 4 * PIXELS)))
        atol = 0.01 if unsynchronised and key == "tested" else tolerance
        np.testing.assert_allclose(many, one, rtol=0, atol=atol, err_msg=key)


def assert_skipped_by_all(found):
    """The step that overflows in one share is skipped on all replicas."""
    iterations = max(value for key, value in found.items() if key.endswith("iteration"))  # of the wrapped optimiser
    scale = next(value for key, value in found.items() if key.endswith("dynamic_scale"))
    assert iterations == len(found["steps"]) - replicas.EPOCHS
    assert scale == 2**15 / 2**replicas.EPOCHS
    assert all(np.isfinite(value).all() for key, value in found.items() if key.endswith(("kernel", "gamma")))


@pytest.mark.parametrize("name", replicas.CASES)
def test_two_replicas_train_as_one_device(mirrored, name):
    assert_same(*mirrored[name], replicas.CASES[name])


@pytest.mark.slow
def test_more_of_the_same():
    found = results(start("mirrored_slow"))[0]
    for name, case in replicas.SLOW_CASES.items():
        assert_same(*found[name], case)
    for overflowing in ("overflow_in_first_share", "overflow_in_last_share"):
        for trained in found[overflowing]:
            assert_skipped_by_all(trained)
    for process in [start("worker_slow", TF_CONFIG=config) for config in two_workers()]:
        (trained,) = results(process)
        for name in replicas.SLOW_WORKER_CASES:
            assert_same(found[name][0], trained[name], (replicas.CASES | replicas.SLOW_CASES)[name])


def test_averages_come_and_go_on_every_replica(mirrored):
    """Those of two replicas are those of one, as all variables of the optimiser are."""
    for found in mirrored["sync_stochastic_depth"]:
        assert found["moved"] == found["restored"] == [True] * replicas.EPOCHS


def test_moving_statistics_become_the_mean_over_the_replicas(mirrored):
    before, after = mirrored["statistics"]
    assert before > 1e-3
    assert after < 1e-7


def test_replicas_draw_alike_for_a_batch_and_apart_for_an_image(mirrored):
    dropout, stochastic_depth = mirrored["draws"]
    assert stochastic_depth
    assert not dropout


def test_keras_own_fit_warns_of_norms_that_see_shares(mirrored):
    assert "each norm sees its replica's share of a batch" in mirrored["plain"]


def test_auto_takes_all_devices_of_the_machine(mirrored):
    assert mirrored["connected"] == ["mirrored", 2, 1, True]


@pytest.mark.parametrize("name", replicas.WORKER_CASES)
def test_two_workers_train_as_one_device(pair, mirrored, name):
    for found, *_ in pair:
        assert_same(mirrored[name][0], found[name], replicas.CASES[name])


def test_auto_takes_all_workers_and_the_first_is_chief(pair):
    assert [found["connected"] for found, *_ in pair] == [["multiworker", 2, 2, True], ["multiworker", 2, 2, False]]


def test_a_worker_that_dies_is_reported(pair):
    expected = r"expected an answer from all 2 workers; .* --resume\. Received: no answer from /job:worker\S*/task:1"
    assert re.fullmatch(expected, pair[0][1]["error"])


@pytest.mark.slow
def test_threads_and_memory_stay_flat():
    processes = [start("flat"), *(start("flat_worker", TF_CONFIG=config) for config in two_workers())]
    reports = [results(process)[0] for process in processes]
    assert [[*report] for report in reports] == [["one", "mirrored"], ["multiworker"], ["multiworker"]]
    for measured in [values for report in reports for values in report.values()]:
        threads, kilobytes = np.array(measured).T
        assert np.ptp(threads[5:]) <= 2
        assert kilobytes[-1] - kilobytes[5] < 20_000


def test_one_device_leaves_keras_alone(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    strategy, batches = connect("one"), object()
    assert strategy.distribute(batches) is batches
    with strategy.scope():
        strategy.install(None, "auto")
    strategy.check(128, 129, sync_norms=True, jit_compile=True)
    assert (strategy.name, strategy.replicas, strategy.workers, strategy.is_chief) == ("one", 1, 1, True)


@pytest.mark.parametrize("images", [1, 65])
def test_a_batch_with_fewer_images_than_replicas_is_refused(images):
    strategy = Strategy("mirrored", replicas=2)
    strategy.check(64, 66)
    with pytest.raises(
        ValueError, match=r"at least one image for each of 2 replicas.*Received: batch_size=64, .* 1 images"
    ):
        strategy.check(64, images)


def test_synchronised_norms_are_refused_under_xla():
    strategy = Strategy("mirrored", replicas=2)
    strategy.check(64, 64, sync_norms=True, jit_compile="auto")
    with pytest.raises(ValueError, match=r"synchronised norms.*Received: jit_compile on"):
        strategy.check(64, 64, sync_norms=True, jit_compile=True)


def test_synchronised_norms_keep_the_digits_of_a_small_variance():
    x = 10 + 0.01 * np.random.default_rng(0).normal(size=(4, 5, 5, 3)).astype("float32")
    model = keras.Sequential([keras.Input((5, 5, 3)), Norm()])
    expected = model(x, training=True)
    synchronize_norms(model)
    np.testing.assert_allclose(model(x, training=True), expected, atol=2e-3)


def test_an_unknown_strategy_names_the_nearest():
    assert set(STRATEGIES) == {"auto", "one", "mirrored", "multiworker"}
    with pytest.raises(ValueError, match="unknown strategy 'multi_worker'; did you mean 'multiworker'"):
        connect("multi_worker")


@pytest.mark.parametrize(
    "config", ["", json.dumps({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}})]
)
def test_multiworker_needs_several_workers(monkeypatch, config):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(ValueError, match=r"expected TF_CONFIG to name several workers\. Received"):
        connect("multiworker")


@pytest.mark.parametrize(
    "config",
    [
        "{",
        "[]",
        "{}",
        json.dumps(TWO | {"task": {"type": "worker", "index": 2}}),
        json.dumps(TWO | {"task": {"type": "ps"}}),
    ],
)
def test_a_tf_config_without_a_place_for_this_process_is_refused(monkeypatch, config):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(ValueError, match=r"expected TF_CONFIG as .*Received: TF_CONFIG="):
        connect("auto")


def test_a_chief_comes_before_the_workers():
    config = {"cluster": {"worker": ["b:1"], "chief": ["a:1"], "ps": ["c:1"]}, "task": {"type": "worker", "index": "0"}}
    assert read_cluster(json.dumps(config)) == Cluster(("a:1", "b:1"), 1)


JAX = """
import json
import sys
import keras
import numpy as np
from keras_mgnet import MgNet
from keras_mgnet.optimizers import SGD
from keras_mgnet.training.data import plan
from keras_mgnet.training.loop.strategy import connect

class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, i):
        rng = np.random.default_rng(i)
        return rng.normal(size=(6, 8, 8, 1)).astype("float32"), rng.integers(0, 3, 6)

def train(strategy):
    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = MgNet((1,), 2, input_shape=(8, 8, 1), classes=3)
        model.compile(SGD(0.1, 0.9, False, 5e-4), model.loss, metrics=["accuracy"])
    strategy.install(model, "auto")
    batches, part = Batches(), slice(*strategy.share.of(0, 6))
    own = plan.Batches(lambda i: [array[part] for array in batches[i]], 3, share=strategy.share)
    held_out = strategy.distribute(batches)
    logs = model.fit(strategy.distribute(own), shuffle=False, verbose=0, validation_data=held_out).history
    strategy.average_statistics(model)
    try:
        strategy.check(6, 9)
        refused = None
    except ValueError as error:
        refused = str(error)
    weights = [keras.ops.convert_to_numpy(variable).ravel().tolist() for variable in model.weights]
    connected = [strategy.name, strategy.replicas, strategy.workers, strategy.is_chief]
    print(json.dumps({"connected": connected, "found": [*logs.values(), *weights], "refused": refused}))

for name in sys.argv[2:]:
    train(connect(name, cpu_devices=int(sys.argv[1])))
"""


def start_jax(devices, *strategies, **environment):
    pytest.importorskip("jax", reason="jax is not installed")
    environment = {key: value for key, value in os.environ.items() if key != "TF_CONFIG"} | environment
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", JAX, devices, *strategies]
    return subprocess.Popen(command, env=environment | {"KERAS_BACKEND": "jax"}, **pipes)


@pytest.mark.slow
def test_two_jax_devices_train_as_one():
    one, two = results(start_jax("2", "one", "auto"), lines=2)
    assert [one["connected"], two["connected"]] == [["one", 1, 1, True], ["mirrored", 2, 1, True]]
    for expected, received in zip(one["found"], two["found"], strict=True):
        np.testing.assert_allclose(received, expected, rtol=0, atol=1e-5)
    assert one["refused"] is None
    assert re.search(r"2 JAX devices share equally.*Received: batch_size=6, .* 3 images", two["refused"])


@pytest.mark.slow
def test_two_jax_workers_train_as_one_device():
    (one,) = results(start_jax("0", "auto"))
    assert one["connected"] == ["one", 1, 1, True]
    pair = [results(process)[0] for process in [start_jax("0", "auto", TF_CONFIG=config) for config in two_workers()]]
    assert [found["connected"] for found in pair] == [["multiworker", 2, 2, True], ["multiworker", 2, 2, False]]
    for found in pair:
        for expected, received in zip(one["found"], found["found"], strict=True):
            np.testing.assert_allclose(received, expected, rtol=0, atol=1e-5)


COUNTS = {"train": 24, "test": 16}
SMALL = ("--set", "nu=[1]", "--set", "channels=2", "--epochs", "1", "--batch-size", "8", "--validation", "0.25")
COMMAND = "from keras_mgnet.cli import main; main()"
TWO_CPUS = ("--cpu-devices", "2")
SHARES = "on 2 replicas.*norms use only their replica's part of a batch, so the result differs.*--sync-norms"
WHOLE = "on 2 replicas.*norms use the whole batch, so the result is that of one device"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "options", "expected"),
    [
        ("tensorflow", (*TWO_CPUS, "--sync-norms"), f"{WHOLE}, without XLA"),
        ("tensorflow", TWO_CPUS, SHARES),
        ("jax", TWO_CPUS, WHOLE),
    ],
)
def test_the_command_line_says_whether_two_devices_train_as_one(backend, options, expected, tmp_path):
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    rng = np.random.default_rng(0)
    arrays = {f"x_{part}": rng.integers(0, 256, (count, 8, 8, 1), "uint8") for part, count in COUNTS.items()}
    np.savez(tmp_path / "set.npz", **arrays, **{f"y_{part}": np.arange(count) % 3 for part, count in COUNTS.items()})
    words = ("train", f"npz:{tmp_path / 'set.npz'}", *SMALL)

    def said(*more):
        command = [sys.executable, "-c", COMMAND, *words, *more]
        result = subprocess.run(command, env=os.environ | {"KERAS_BACKEND": backend}, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr[-3000:]
        return result.stderr

    alone = ("--strategy", "one", "--out", str(tmp_path / "one"))
    here = backend == keras.backend.backend()
    of_one = invoked([*words, *alone]).stderr if here else said(*alone)
    assert "->" in of_one and "norm" not in of_one.partition("->")[2].partition("epoch 1")[0]
    of_two = said(*options, "--out", str(tmp_path / "two"))
    assert re.search(expected, of_two, re.DOTALL), of_two
    one, two = (keras.saving.load_model(tmp_path / name / "last.keras").get_weights() for name in ("one", "two"))
    same = [np.allclose(ours, theirs, rtol=0, atol=1e-5) for ours, theirs in zip(one, two, strict=True)]
    assert all(same) == (expected is not SHARES)


def test_what_two_replicas_say_of_a_model():
    """Without norms nothing needs the whole batch; dropout draws apart (`replicas.draws`)."""
    two = Replicas("mirrored", tf.distribute.get_strategy(), None)
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    drawing = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.BatchNormalization()])
    whole = "norms use the whole batch, so the result is that of one device"
    assert two.outcome(plain, False) == whole and two.outcome(plain, True) == f"{whole}, without XLA"
    assert two.outcome(drawing, True) == f"{whole}, except for the draws of dropout and shake-shake, without XLA"
    assert two.outcome(drawing, False).startswith("norms use only their replica's part")


def test_devices_cannot_change_once_something_is_computed():
    keras.ops.ones(1) + 1
    with pytest.raises(ValueError, match=r"expected cpu_devices before any computation\. Received: 3"):
        connect("auto", cpu_devices=3)
