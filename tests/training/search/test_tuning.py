"""The search: how it begins, what a killed one leaves, how the best network is trained, what is refused."""

import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from keras_mgnet.files import write_json
from keras_mgnet.training.data.dataset import load
from keras_mgnet.training.runs.run import open_run
from keras_mgnet.training.search import tuning
from keras_mgnet.training.search.config import TuneConfig
from keras_mgnet.training.search.trials import RECORD
from keras_mgnet.training.search.tuning import begin, finish, tune
from support.runs import record
from support.search import KERAS_TUNER, Killed, small, trial

pytestmark = KERAS_TUNER


def test_held_out_images_are_training_images_of_every_class(images, tmp_path):
    config = small(images, tmp_path / "out", validation=0.25)
    begin(config)
    whole, parts = load(images), load(f"npz:{config.data}")
    assert np.bincount(parts.test.labels).tolist() == [3] * 10
    pixels = [tuple(image.ravel()) for split in (parts.train, parts.test) for image in split.images]
    assert sorted(pixels) == sorted(tuple(image.ravel()) for image in whole.train.images)
    with pytest.raises(ValueError, match=r"expected images of every class.*Received: 12 training images"):
        begin(small(images, tmp_path / "other", validation=0.05))
    assert not (tmp_path / "other").exists()


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
        file = Path(config.out) / "run.json"
        ends.is_new.append(not file.exists())
        file.parent.mkdir(parents=True, exist_ok=True)
        settled = asdict(config) | {"batch_size": 128}
        write_json(file, record(settled, status=ends.status, reason="a loss of nan", hint="lower the rate"))
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


ERRORS = [
    ({"method": "grid"}, "unknown method 'grid'"),
    ({"trials": 0}, "expected trials >= 1"),
    ({"validation": 1.0}, "expected validation < 1. Received: validation=1.0"),
    ({"model": "mgnet_222_c64"}, "unknown model 'mgnet_222_c64'"),
    ({"augment": "turn"}, "unknown augment"),
    ({"dataset": "digit"}, "did you mean 'digits'"),
    ({"dataset": "denoise:images"}, "expected a data set with classes"),
    ({"max_params": 10}, "expected max_params >= "),
]


@pytest.mark.parametrize(("changes", "message"), ERRORS)
def test_a_search_that_cannot_work_leaves_nothing(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        tune(TuneConfig(**{"out": str(tmp_path / "out"), **changes}))
    assert not list(tmp_path.iterdir())
