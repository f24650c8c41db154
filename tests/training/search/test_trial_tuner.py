"""Trials as runs, over spaces that cost nothing: kills at any write, failures, divergence."""

import io
import json
import shutil
from dataclasses import asdict, replace
from functools import partial
from types import SimpleNamespace

import pytest
from hypothesis import strategies as st
from rich.console import Console

from keras_mgnet.files import write_json
from keras_mgnet.training.loop.inference import evaluate
from keras_mgnet.training.runs.run import open_run
from keras_mgnet.training.search import trial_tuner
from keras_mgnet.training.search.config import METHODS
from keras_mgnet.training.search.trials import read_trials
from keras_mgnet.training.search.tuning import begin, finish
from keras_mgnet.tuner import Cost
from support import slow_unless
from support.damage import damaged_json, tried, try_each, whole_or_named
from support.search import KERAS_TUNER, Killed, small

pytestmark = KERAS_TUNER


@pytest.mark.parametrize("method", slow_unless(["random"], METHODS))
def test_trials_are_runs_within_the_budget(method, images, tmp_path):
    config = small(images, tmp_path, method=method, trials=2, epochs=2 if method == "hyperband" else 1)
    begin(config)
    trial_tuner.TrialTuner(config).search()
    trials = sorted(read_trials(config.trials_directory), key=lambda trial: trial.number)
    assert [trial.number for trial in trials] == [0, 1]
    for trial in trials:
        run = open_run(config.trials_directory / f"trial_{trial.number}" / "run")
        assert run.record["model"]["params"] == trial.params <= 4_000
        assert run.record["result"]["last_test_accuracy"] == trial.accuracy
        assert run.record["data"]["test"] == 24  # a fifth of the training images
    run = finish(config, 1.0, Console(file=io.StringIO()))
    assert run.record["data"] | {"train": 120, "test": 30} == run.record["data"]
    assert evaluate(run)["accuracy"] == pytest.approx(run.record["result"]["last_test_accuracy"])


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

    def begun(name, dataset="digits", **changes):
        config = small(dataset, tmp_path / name, **changes)
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


@pytest.mark.parametrize(("dataset", "augment"), [("svhn_cropped", "none"), ("cifar10", None)])
def test_trials_on_digits_are_not_mirrored(dataset, augment, stubs, monkeypatch):
    begun, _ = stubs
    seen = []
    monkeypatch.setattr(trial_tuner, "train", lambda config: seen.append(config.augment) or fake_run(config))
    trial_tuner.TrialTuner(begun("search", dataset, trials=1)).search()
    assert seen == [augment]


@pytest.mark.parametrize("method", slow_unless(["hyperband"], METHODS))
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


@tried(20, 1000)
def test_damaged_files_of_the_tuner_are_named(tries, stubs):
    """A search goes on from files that are whole and fit each other, or an error names the file or the folder of the files."""
    config = stubs[0]("damaged")
    trial_tuner.TrialTuner(config).search()
    files = [config.oracle, config.trials_directory / "trial_1" / "trial.json"]
    whole = {file: file.read_bytes() for file in files}

    def check(drawn):
        file, content = drawn
        for other in files:
            other.write_bytes(whole[other])
        file.write_bytes(content)
        if whole_or_named(file, lambda: trial_tuner.known_trials(config.oracle)):
            shutil.copytree(config.trials_directory, config.trials_directory.with_name("kept"))
            whole_or_named(config.trials_directory, lambda: trial_tuner.TrialTuner(config))
            shutil.rmtree(
                config.trials_directory
            )  # reloading removes the folders of trials that the oracle does not know
            config.trials_directory.with_name("kept").rename(config.trials_directory)

    drawn = [damaged_json(json.loads(content)).map(partial(pair, file)) for file, content in whole.items()]
    try_each(tries, st.one_of(drawn), check)


def pair(file, content):
    return file, content


def test_a_search_with_a_damaged_file_is_refused_before_its_processes_start(stubs, monkeypatch):
    config = replace(stubs[0]("resumed"), resume=True)
    trial_tuner.TrialTuner(config).search()
    (config.trials_directory / "trial_1" / "trial.json").write_text("{}")
    with pytest.raises(ValueError, match=r"expected the files of a search .*trial_1/trial.json' \(trial_id: Field"):
        begin(config)
    (config.trials_directory / "trial_1" / "trial.json").unlink()
    with pytest.raises(ValueError, match=r"Received: no '.*trial_1/trial.json'"):
        begin(config)


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
