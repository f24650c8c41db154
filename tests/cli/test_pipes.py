"""What commands write to a pipe: text alone, without control characters and frames of progress bars."""

import subprocess
import sys

import pytest

from keras_mgnet.cli import solve
from keras_mgnet.multigrid.comparison import FAMILIES, Row
from keras_mgnet.training.runs.run import open_run
from keras_mgnet.training.search import local_search
from keras_mgnet.training.search.trial_tuner import TrialTuner
from support.command import invoked

BAR = "━"  # of a progress bar; reports on standard output draw lines with it too
TINY = ["--set", "nu=[1]", "--set", "channels=4", "--epochs", 1]


def piped(*words):
    """Returns standard output and standard error of a command, after looking for what a pipe must not get."""
    result = invoked(words)
    for text in (result.stdout, result.stderr):
        assert [c for c in text if not c.isprintable() and c != "\n"] == []
    assert BAR not in result.stderr
    return result.stdout, result.stderr


@pytest.fixture(autouse=True, scope="module")
def no_terminal():
    with pytest.MonkeyPatch.context() as patch:
        for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run, and what its training wrote."""
    path = tmp_path_factory.mktemp("pipes") / "run"
    return path, *piped("train", "digits", *TINY, "--out", path)


def test_train(trained):
    _, out, err = trained
    assert "finished after 1 epochs" in out
    (line,) = (line for line in err.splitlines() if "test loss" in line)
    assert line.startswith("epoch 1  loss")


def test_export(trained, tmp_path):
    out, err = piped("export", trained[0], "--format", "tflite", "--out", tmp_path / "out")
    assert "100.00%" in out and BAR not in out and err == ""


def test_reproduce(tmp_path):
    options = ["--rows", 1, "--seeds", 1, "--budget", "epochs=1", "--set", "base_width=2", "--data", "mnist=digits"]
    out, err = piped("reproduce", "he2019:2", *options, "--out", tmp_path / "out")
    assert "1 of 1 rows complete" in out and "resnet18_mnist, seed 1: finished after 1 epochs" in err


@pytest.mark.filterwarnings("ignore::DeprecationWarning:keras_tuner")
def test_tune(tmp_path, monkeypatch):
    pytest.importorskip("keras_tuner")

    def start(config, environment):
        """Trials in this process, in place of a chief and its workers."""
        if environment["KERASTUNER_TUNER_ID"] != local_search.CHIEF:
            TrialTuner(config).search()
        return subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE)

    monkeypatch.setattr(local_search, "_start", start)
    options = ["--trials", 1, "--epochs", 1, "--max-params", 4000, "--batch-size", 256, "--out", tmp_path / "out"]
    out, err = piped("tune", "digits", *options)
    assert "Pareto front" in out and "trial   0  accuracy" in err and "trial 0 is the best" in err
    assert open_run(tmp_path / "out" / "best").record["result"]["status"] == "finished"


def test_solve_with_a_learned_smoother(monkeypatch):
    pytest.importorskip("pyamg")
    others = [Row(name, "", 0.5, 2.0) for name in ("learned", *FAMILIES)]  # whose factors take a while
    monkeypatch.setattr(solve, "compare", lambda config, model: others)
    out, err = piped("solve", "poisson", "--n", 3, "--learn", "--train-n", 3, "--steps", 1, "--unrolled", 1)
    assert "learned" in out and err == ""
