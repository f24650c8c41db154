"""The search: networks within their budget, trials as runs, real processes, kills at any moment."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import keras
import keras_tuner
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from keras_mgnet import HyperMgNet, HyperNetwork, count_params, list_models, model_info
from keras_mgnet.cli import command_line
from keras_mgnet.description import level_table
from keras_mgnet.files import write_json
from keras_mgnet.models import FAMILIES
from keras_mgnet.training.data.dataset import load
from keras_mgnet.training.loop.inference import evaluate
from keras_mgnet.training.runs.run import open_run
from keras_mgnet.training.search import local_search, trial_tuner, tuning
from keras_mgnet.training.search.config import METHODS, TuneConfig
from keras_mgnet.training.search.trials import RECORD, Trial, doubt, markdown, pareto_front, read_trials
from keras_mgnet.training.search.tuning import begin, finish, tune
from keras_mgnet.tuner import Cost

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:keras_tuner"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),  # of the Bayesian oracle's model
]

PRESETS = {model_info(name).family: name for name in reversed(list_models())} | {"MgNet": "mgnet_2222_c64_shared_b"}
IMAGES = {"ResNeXt": (32, 32, 3), "LMResNeXt": (32, 32, 3)}
BUDGETS = {"ResNeXt": 2_000_000, "LMResNeXt": 4_000_000}


def case(name, is_quick):
    """A parameter of which only the quick ones are in the default suite."""
    return pytest.param(name, marks=() if is_quick else pytest.mark.slow)


def space(family, **budget):
    preset = PRESETS[family]
    least = 64 if model_info(preset).kwargs["stem"] == "imagenet" else 16
    return HyperNetwork(preset, (least, least, 1), 3, **budget)


def draws(hypermodel, seed, count):
    """Yields what KerasTuner's random search draws."""
    oracle = keras_tuner.oracles.RandomSearchOracle("val_accuracy", seed=seed)
    for _ in range(2):  # the second time with every condition known
        hp = oracle.get_space()
        hypermodel.declare(hp)
        oracle.update_space(hp)
    for _ in range(count):
        hp = oracle.get_space()
        hp.values = oracle._random_values()
        yield hp


def check_draw(hypermodel, hp):
    """A drawn network costs exactly what was counted, keeps within its share, and the next width would not."""
    arguments, model = hypermodel.arguments(hp), hypermodel.build(hp)
    cost = hypermodel.cost(arguments)
    assert cost == (count_params(model), sum(row.multiply_adds for row in level_table(model)))
    used = max(getattr(cost, name.removeprefix("max_")) / bound for name, bound in hypermodel.budget.items())
    narrowest = np.min(arguments[hypermodel.space.width]) == hypermodel.space.multiple
    assert used <= (1 if narrowest else hp["size"])
    assert float(model.optimizer.learning_rate) == pytest.approx(hp["learning_rate"])
    assert model.optimizer.coupled_weight_decay == hp["weight_decay"]


SEARCHED = [family.__name__ for family in FAMILIES if family.family.space]


@pytest.mark.parametrize("family", [case(family, family in ("ResNet", "DenseNet", "RevNet")) for family in SEARCHED])
def test_every_family_keeps_within_its_budget(family):
    hypermodel = space(family, max_params=BUDGETS.get(family, 200_000))
    for hp in draws(hypermodel, seed=1, count=2):
        check_draw(hypermodel, hp)


def test_a_budget_of_multiply_adds():
    hypermodel = space("MgNet", max_params=None, max_madds=3_000_000)
    for hp in draws(hypermodel, seed=3, count=1):
        check_draw(hypermodel, hp)


@settings(max_examples=5)
@given(st.integers(1, 10**6), st.integers(8_000, 300_000), st.none() | st.integers(2_000_000, 9_000_000))
def test_mgnets_keep_within_any_budget(seed, max_params, max_madds):
    hypermodel = HyperMgNet((16, 16, 1), 10, max_params=max_params, max_madds=max_madds)
    (hp,) = draws(hypermodel, seed, count=1)
    check_draw(hypermodel, hp)


def test_a_draw_makes_the_most_of_its_share():
    hypermodel = HyperMgNet((16, 16, 1), 10, max_params=50_000)
    for hp in draws(hypermodel, seed=2, count=2):
        chosen, growths = hypermodel.declare(hp)
        width = hypermodel.arguments(hp)["channels"][0]
        wider = hypermodel.cost(chosen | hypermodel._width(width + 1, growths))
        assert wider.params > hp["size"] * 50_000


def test_the_space_of_mgnet_has_what_the_papers_vary():
    hypermodel = HyperMgNet((32, 32, 3), 10)
    names = {name for hp in draws(hypermodel, seed=0, count=1) for name in (p.name for p in hp.space)}
    levels = range(1, 5)
    assert names == {
        *("levels", "share_A", "share_B", "smoother", "size", "learning_rate", "weight_decay"),
        *(f"nu_{level}" for level in levels),
        *(f"growth_{level}" for level in levels if level > 1),
    }
    assert HyperMgNet((8, 8, 1), 10).most_levels == 3


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_draw_is_trained_by_the_recipe_but_for_what_is_searched(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        hp = keras_tuner.HyperParameters()
        optimizer = space("RevNet", max_params=50_000).build(hp).optimizer
    finally:
        keras.config.set_dtype_policy(before)
    if policy == "mixed_float16":  # the loss is scaled
        optimizer = optimizer.inner_optimizer
    assert (optimizer.decayed, optimizer.momentum, optimizer.built) == ("kernels", 0.9, True)
    assert optimizer.coupled_weight_decay == hp["weight_decay"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_params": 100}, r"expected max_params >= \d+, .*Received: max_params=100"),
        ({"max_params": None, "max_madds": 100}, r"expected max_madds >= \d+"),
        ({"max_params": None}, "expected max_params, max_madds or both"),
        ({"max_params": 0}, "expected max_params to be an integer >= 1"),
        ({"model": "polynet_very_deep_imagenet"}, "unknown family with a search space 'VeryDeepPolyNet'"),
        ({"model": "resnet81"}, "did you mean 'resnet18'"),
    ],
)
def test_what_makes_no_space_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        HyperNetwork(**{"model": "resnet20", "input_shape": (8, 8, 1), "classes": 10, **arguments})


STOCK = {
    "random": (keras_tuner.RandomSearch, {"max_trials": 2}),
    "bayesian": (keras_tuner.BayesianOptimization, {"max_trials": 3, "num_initial_points": 2}),
    "hyperband": (keras_tuner.Hyperband, {"max_epochs": 2, "factor": 2}),
}


@pytest.mark.parametrize("method", [case(method, method == "random") for method in STOCK])
def test_the_stock_tuners_take_it(method, tmp_path):
    kind, arguments = STOCK[method]
    digits = load("digits")
    x, y = digits.train.images[:64] / 255, digits.train.labels[:64]
    tuner = kind(
        HyperMgNet((8, 8, 1), 10, max_params=4_000),
        objective="val_accuracy",
        seed=1,
        directory=tmp_path,
        project_name="p",
        **arguments,
    )
    tuner.search(x, y, validation_data=(x, y), epochs=1, verbose=0)
    assert {trial.status for trial in tuner.oracle.trials.values()} == {"COMPLETED"}
    assert len(tuner.oracle.trials) == arguments.get("max_trials", 5)
    assert count_params(tuner.get_best_models()[0]) <= 4_000


def test_the_package_and_its_commands_need_no_keras_tuner():
    program = (
        "import sys; sys.modules['keras_tuner'] = None; import keras_mgnet, keras_mgnet.cli\n"
        "keras_mgnet.cli.command_line([])\n"
        "try: keras_mgnet.HyperMgNet\n"
        "except ImportError as error: print(error)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "expected 'keras_tuner', which `pip install 'keras-mgnet[tune]'` brings" in result.stdout


# Trials


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A few digits, so that a trial is a matter of tracing."""
    digits = load("digits")
    parts = {}
    for name, split, count in (("train", digits.train, 12), ("test", digits.test, 3)):
        chosen = np.concatenate([np.flatnonzero(split.labels == digit)[:count] for digit in range(10)])
        parts |= {f"x_{name}": split.images[chosen], f"y_{name}": split.labels[chosen]}
    path = tmp_path_factory.mktemp("data") / "few.npz"
    np.savez(path, **parts)
    return f"npz:{path}"


def small(images, out, **changes):
    values = {"trials": 3, "epochs": 1, "max_params": 4_000, "out": str(out), "batch_size": 48}
    return TuneConfig(images, **values | changes)


@pytest.mark.parametrize("method", [case(method, method == "random") for method in METHODS])
def test_trials_are_runs_within_the_budget(method, images, tmp_path):
    config = small(images, tmp_path, method=method, trials=4, epochs=2 if method == "hyperband" else 1)
    begin(config)
    trial_tuner.TrialTuner(config).search()
    trials = sorted(read_trials(config.trials_directory), key=lambda trial: trial.number)
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    for trial in trials:
        run = open_run(config.trials_directory / f"trial_{trial.number}" / "run")
        assert run.record["model"]["params"] == trial.params <= 4_000
        assert run.record["result"]["last_test_accuracy"] == trial.accuracy
        assert run.record["data"]["test"] == 24  # a fifth of the training images
    run = finish(config, 1.0, Console(file=io.StringIO()))
    assert run.record["data"] | {"train": 120, "test": 30} == run.record["data"]
    assert evaluate(run)["accuracy"] == pytest.approx(run.record["result"]["last_test_accuracy"])


def test_held_out_images_are_training_images_of_every_class(images, tmp_path):
    config = small(images, tmp_path / "out", validation=0.25)
    begin(config)
    whole, parts = load(images), load(f"npz:{config.data}")
    assert np.bincount(parts.test.labels).tolist() == [3] * 10
    pixels = [tuple(image.ravel()) for split in (parts.train, parts.test) for image in split.images]
    assert sorted(pixels) == sorted(tuple(image.ravel()) for image in whole.train.images)
    with pytest.raises(ValueError, match=r"expected an image of every class.*Received: 12 training images"):
        begin(small(images, tmp_path / "other", validation=0.05))
    assert not (tmp_path / "other").exists()


class Killed(BaseException):
    """The end of the process."""


class Line:
    """A search space of one number, which costs nothing to draw from."""

    def declare(self, hp):
        hp.Int("width", 1, 1000)
        hp.Float("learning_rate", 0.01, 0.3)
        hp.Float("weight_decay", 1e-5, 1e-3)

    def arguments(self, hp):
        return {"channels": [hp["width"]]}

    def cost(self, arguments):
        return Cost(*arguments["channels"] * 2)


@pytest.fixture
def stubs(monkeypatch, tmp_path):
    """Returns a function that begins a search without data, over `Line`, and the directories that were trained in."""
    trained = []

    def train(config):
        trained.append(config.out)
        return fake_run(config)

    def begun(name, **changes):
        config = small("digits", tmp_path / name, **changes)
        write_json(config.record, {"config": asdict(config)})
        return config

    monkeypatch.setattr(trial_tuner, "hypermodel", lambda config, data: Line())
    monkeypatch.setattr(trial_tuner, "load", lambda name: None)
    monkeypatch.setattr(trial_tuner, "train", train)
    monkeypatch.setattr(trial_tuner, "PAUSE", 0)
    return begun, trained


def fake_run(config):
    """What training would return, the accuracy a function of the network."""
    accuracy = (sum(config.set["channels"]) * 37 % 100) / 100
    result = {"status": "finished", "seconds": 1.0, "last_test_accuracy": accuracy}
    return SimpleNamespace(record={"result": result})


@pytest.mark.parametrize("method", [case(method, method != "bayesian") for method in METHODS])
def test_a_search_killed_at_any_write_goes_on_as_if_it_had_not_been(method, stubs, monkeypatch):
    """The process ends in place of the nth file, for every n; the trials are those of an undisturbed search."""
    begun, trained = stubs
    written, write = [0, None], write_json

    def write_or_die(path, content):
        written[0] += 1
        if written[0] == written[1]:
            raise Killed
        write(path, content)

    monkeypatch.setattr(trial_tuner, "write_json", write_or_die)

    def search(config, killed_at=None):
        written[:] = [0, killed_at]
        trial_tuner.TrialTuner(config).search()
        return written[0]

    whole = begun("whole", method=method, epochs=4, trials=5)
    writes = search(whole)
    expected = read_trials(whole.trials_directory)
    assert len(expected) == len(trained) == 5 and writes > 25
    for n in range(1, writes + 1):
        trained.clear()
        config = begun(str(n), method=method, epochs=4, trials=5)
        with pytest.raises(Killed):
            search(config, killed_at=n)
        search(config)
        assert len(trained) <= 6, "more than the trial at work was trained again"
        found = read_trials(config.trials_directory)
        if method == "bayesian":  # KerasTuner does not keep where its model's searches start
            assert sorted(trial.number for trial in found) == list(range(5))
        else:
            assert found == expected


def test_a_failing_trial_does_not_end_the_search(stubs, monkeypatch, capsys):
    def train(config):
        if "trial_1" in config.out:
            raise RuntimeError("out of memory")
        return fake_run(config)

    monkeypatch.setattr(trial_tuner, "train", train)
    config = stubs[0]("out")
    trial_tuner.TrialTuner(config).search()
    assert {trial.number for trial in read_trials(config.trials_directory)} == {0, 2}
    assert "out of memory" in capsys.readouterr().err


def test_a_diverged_trial_is_the_worst(stubs, monkeypatch):
    def train(config):
        run = fake_run(config)
        if "trial_0" in config.out:
            run.record["result"] = {"status": "diverged", "seconds": 1.0}
        return run

    monkeypatch.setattr(trial_tuner, "train", train)
    config = stubs[0]("out")
    trial_tuner.TrialTuner(config).search()
    worst = read_trials(config.trials_directory)[-1]
    assert (worst.number, worst.status, worst.accuracy) == (0, "diverged", 0.0)


def trial(number, accuracy, params):
    return Trial(number, accuracy, params, 10 * params, {"nu": [1]}, 0.1, 1e-4, 1, 1.0, "finished", "worker0")


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), min_size=1, max_size=8))
def test_the_front_is_what_no_other_beats(points):
    trials = [trial(number, accuracy / 5, params) for number, (accuracy, params) in enumerate(points)]
    front = pareto_front(trials)

    def beats(a, b):
        return a.accuracy >= b.accuracy and a.params <= b.params and (a.accuracy, a.params) != (b.accuracy, b.params)

    best = {(t.accuracy, t.params) for t in trials if not any(beats(other, t) for other in trials)}
    assert {(t.accuracy, t.params) for t in front} == best and len(front) == len(best)
    assert all(a.params < b.params and a.accuracy < b.accuracy for a, b in pairwise(front))
    assert markdown(trials).count("▸") == len(front)


@pytest.mark.parametrize(
    ("accuracies", "message"),
    [
        ([0.19, 0.1], r"No network has learned anything: the best reaches 19\.00% on 100 .*, guessing 10\.00%"),
        ([0.8, 0.75, 0.7], r"order means little: 3 of 3 trials are within 12\.00 points of the best, .* 100 held-out"),
        ([0.8, 0.75, 0.6, 0.5], None),
        ([0.8], None),
        ([1.0, 0.99], None),
    ],
)
def test_trials_too_short_to_tell_apart_are_doubted(accuracies, message):
    found = doubt([trial(number, accuracy, 1) for number, accuracy in enumerate(accuracies)], np.arange(100) % 10)
    assert found is None if message is None else re.search(message, found)


# The best network


@pytest.fixture
def ended(monkeypatch, tmp_path):
    """Returns a search whose trials have ended, a function that adds one, and how the best network is trained: its status, and
    whether anew."""
    config = small("digits", tmp_path / "out")
    config.data.parent.mkdir()
    np.savez(config.data, y_test=np.arange(100) % 10)
    ends = SimpleNamespace(status="finished", is_new=[])

    def add(added):
        directory = config.trials_directory / f"trial_{added.number}"
        directory.mkdir(parents=True)
        write_json(directory / RECORD, asdict(added))

    def train(config, console):
        record = Path(config.out) / "run.json"
        ends.is_new.append(not record.exists())
        record.parent.mkdir(parents=True, exist_ok=True)
        result = {"status": ends.status, "reason": "a loss of nan", "hint": "lower the rate", "last_test_accuracy": 0.5}
        write_json(record, {"config": asdict(config), "model": {}, "data": {}, "result": result})
        return open_run(config.out)

    monkeypatch.setattr(tuning, "train", train)
    return config, add, ends


def results(config):
    return json.loads((Path(config.out) / "results.json").read_text())


def test_a_better_trial_replaces_the_best_network_even_if_only_its_epochs_differ(ended):
    config, add, ends = ended
    console = Console(file=io.StringIO())
    add(trial(0, 0.5, 10))
    finish(config, 1.0, console)
    (Path(config.out) / "best" / "last.keras").touch()
    finish(config, 1.0, console)
    assert ends.is_new == [True, False]
    add(replace(trial(1, 0.6, 10), epochs=3))
    assert finish(config, 1.0, console).record["config"]["epochs"] == 3
    assert ends.is_new == [True, False, True] and not (Path(config.out) / "best" / "last.keras").exists()
    assert (results(config)["best"], results(config)["test_accuracy"]) == (1, 0.5)


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        ("diverged", ChildProcessError, "expected the network of trial 0 .* lower the rate .*Received: a loss of nan"),
        ("preempted", SystemExit, "143"),
    ],
)
def test_the_results_stand_where_the_best_network_is_not_trained(status, error, message, ended):
    config, add, ends = ended
    add(trial(0, 0.5, 10))
    ends.status = status
    with pytest.raises(error, match=message):
        finish(config, 1.0, Console(file=io.StringIO()))
    assert results(config)["trials"][0]["accuracy"] == 0.5 and results(config)["test_accuracy"] is None
    report = (Path(config.out) / "results.md").read_text()
    assert "all training images: not finished" in report and "▸ 0 | 50.00% | 10 " in report


# What a killed search leaves


@pytest.mark.parametrize("place", ["write_json", "_write_data"])
def test_a_search_killed_while_it_begins_goes_on(place, images, tmp_path, monkeypatch):
    def die(*arguments):
        raise Killed

    config = small(images, tmp_path, resume=True)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(tuning, place, die)
        begin(config)
    (tmp_path / ".staged-left" / "half").mkdir(parents=True)
    begin(config)
    assert {path.name for path in tmp_path.iterdir()} == {"search.json", "data.npz"}
    assert len(load(f"npz:{config.data}").test.labels) == 24


def test_files_of_others_are_not_touched(images, tmp_path):
    (tmp_path / "data.npz").touch()
    with pytest.raises(ValueError, match="expected a new or empty directory"):
        begin(small(images, tmp_path, resume=True))
    assert [path.name for path in tmp_path.iterdir()] == ["data.npz"]


# Processes


@pytest.mark.parametrize(
    ("visible", "installed", "expected"),
    [(None, 0, [None, None, None]), (None, 2, ["0", "1", "0"]), ("5,7", 8, ["5", "7", "5"]), ("", 8, ["", "", ""])],
)
def test_each_worker_has_one_gpu_and_the_chief_none(visible, installed, expected, tmp_path, monkeypatch):
    for number in range(installed):
        (tmp_path / f"0000:{number}").mkdir()
    monkeypatch.setattr(local_search, "GPUS", tmp_path)
    monkeypatch.setenv("TF_CONFIG", "{}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    environments = local_search._environments(["worker0", "worker1", "worker2"])
    assert environments["chief"]["CUDA_VISIBLE_DEVICES"] == ""
    assert [environments[f"worker{n}"].get("CUDA_VISIBLE_DEVICES") for n in range(3)] == expected
    assert all(v["TF_FORCE_GPU_ALLOW_GROWTH"] == "true" and "TF_CONFIG" not in v for v in environments.values())
    assert small("digits", tmp_path).run(1).strategy == "one"


def arguments(config):
    names = ("trials", "epochs", "max_params", "out", "batch_size", "workers")
    options = [f"--{name.replace('_', '-')}={getattr(config, name)}" for name in names]
    return ["tune", config.dataset, *options]


def command(config, *more):
    program = "import sys; from keras_mgnet.cli import main; sys.argv[0] = 'keras-mgnet'; main()"
    return [sys.executable, "-c", program, *arguments(config), *more]


def wait_for(condition, seconds=180):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def invoke(config, *more):
    result = CliRunner().invoke(command_line(arguments(config)), [*arguments(config), *more], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_chief_and_two_workers(images, tmp_path):
    config = small(images, tmp_path / "out", trials=3, workers=2)
    output = invoke(config)
    trials = read_trials(config.trials_directory)
    assert {trial.worker for trial in trials} == {"worker0", "worker1"}
    assert sorted(trial.number for trial in trials) == [0, 1, 2]
    assert all(f"{trial.params:,}" in output for trial in trials) and "![" not in output
    out = tmp_path / "out"
    logs = [path.read_text().splitlines() for path in (out / "logs").iterdir()]
    assert len(logs) == 3 and not any(line.strip().isdigit() or "Search:" in line for log in logs for line in log)
    assert any("test accuracy" in line for log in logs for line in log)
    assert {"best", "data.npz", "pareto.png", "results.json", "results.md", "search.json"} <= {
        path.name for path in out.iterdir()
    }
    assert (out / "pareto.png").read_bytes().startswith(b"\x89PNG")
    results = json.loads((out / "results.json").read_text())
    assert [record["number"] for record in results["trials"]] == [trial.number for trial in trials]
    best = open_run(out / "best")
    assert best.record["config"]["dataset"] == images and best.record["model"]["params"] == trials[0].params
    assert results["test_accuracy"] == evaluate(best)["accuracy"]
    assert results["doubt"].startswith("No network has learned anything") and "No network has learned" in output

    with pytest.raises(ValueError, match=r"expected a new or empty directory, or --resume\. Received"):
        tune(config)
    with pytest.raises(ValueError, match=r"expected epochs=1 as in the search in .*Received: epochs=2"):
        tune(small(images, out, epochs=2, resume=True))


def children(process):
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True)
    return [int(pid) for pid in listed.stdout.split()]


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_killed_workers_and_a_killed_search_repeat_no_trial(images, tmp_path):
    config = small(images, tmp_path / "out", trials=8, workers=2)
    trials = config.trials_directory
    process = subprocess.Popen(command(config), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: list(trials.glob("trial_*/result.json")))
    _, worker, _ = sorted(children(process.pid))
    os.kill(worker, signal.SIGKILL)
    before = len(read_trials(trials))
    wait_for(lambda: len(read_trials(trials)) >= before + 2)
    processes = children(process.pid)
    assert len(processes) == 3
    process.kill()
    process.wait()
    wait_for(lambda: not any(map(is_alive, processes)), 30)
    done = {
        path: path.stat().st_mtime_ns
        for path in trials.glob("trial_*/run/run.json")
        if (path.parents[1] / "result.json").exists()
    }
    assert 0 < len(done) < 8
    invoke(config, "--resume")
    assert sorted(trial.number for trial in read_trials(trials)) == list(range(8))
    assert done == {path: path.stat().st_mtime_ns for path in done}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_search_has_the_code_of_its_signal_and_says_how_to_go_on(number, images, tmp_path):
    program = (
        "import os, signal; from keras_mgnet.training.search import tuning; from keras_mgnet.cli import main\n"
        f"tuning.run_processes = lambda *_: (os.kill(os.getpid(), {int(number)}), signal.pause())\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler); main()"  # pytest-xdist ignores it
    )
    words = arguments(small(images, tmp_path / "out"))
    process = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
    assert process.returncode == 128 + number, process.stderr
    assert "to continue, repeat the command with --resume" in process.stdout and "Traceback" not in process.stderr


@pytest.mark.slow
def test_sigterm_ends_the_processes_in_order(images, tmp_path):
    config = small(images, tmp_path / "out", trials=1, epochs=500)
    process = subprocess.Popen(command(config), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run = config.trials_directory / "trial_0" / "run"
    wait_for((run / "log.csv").is_file)
    processes = children(process.pid)
    process.terminate()
    assert process.wait(120) == 143 and not any(map(is_alive, processes))
    assert open_run(run).record["result"]["status"] == "preempted"


@pytest.mark.slow
def test_a_cluster_gives_the_roles(images, tmp_path):
    config = small(images, tmp_path / "out", trials=2)
    shared = os.environ | {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": "18765"}
    processes = [
        subprocess.Popen(command(config), env=shared | {"KERASTUNER_TUNER_ID": role}, stderr=subprocess.DEVNULL)
        for role in ("pod1", "chief")
    ]
    assert [process.wait(240) for process in processes] == [0, 0]
    assert {trial.worker for trial in read_trials(config.trials_directory)} == {"pod1"}
    assert open_run(tmp_path / "out" / "best").record["result"]["status"] == "finished"


ERRORS = [
    ({"method": "grid"}, "unknown method 'grid'"),
    ({"trials": 0}, "expected trials >= 1"),
    ({"validation": 1.0}, "expected validation < 1. Received: validation=1.0"),
    ({"model": "mgnet_222_c64"}, "unknown model 'mgnet_222_c64'"),
    ({"augment": "turn"}, "unknown augment"),
    ({"dataset": "digit"}, "did you mean 'digits'"),
    ({"dataset": "denoise:images"}, "expected a data set of classes"),
    ({"max_params": 10}, "expected max_params >= "),
]


@pytest.mark.parametrize(("changes", "message"), ERRORS)
def test_a_search_that_cannot_work_leaves_nothing(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        tune(TuneConfig(**{"out": str(tmp_path / "out"), **changes}))
    assert not list(tmp_path.iterdir())
