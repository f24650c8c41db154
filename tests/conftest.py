"""Shared places and seeds."""

import gc
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as the package sets it when it is imported before TensorFlow

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from keras_mgnet.cli import main

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("KERAS_MGNET_SHARED", ROOT.parent / "shared"))

settings.register_profile(
    "keras_mgnet", deadline=None, max_examples=10, derandomize=True, suppress_health_check=list(HealthCheck)
)
settings.load_profile("keras_mgnet")


@pytest.fixture(autouse=True, scope="session")
def no_power_cut():
    """The machine outlives its tests: to wait for the disk would only make them slow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True)
def seeded():
    """Every test starts from the same random state."""
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True, scope="module")
def settled_memory():
    """What a module leaves behind is not looked through again at each collection: traced graphs are millions of objects."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture
def refused(monkeypatch, capsys):
    """Returns a function that runs a command which must end with exit code 2, and gives its one line of error."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["keras-mgnet", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        error = capsys.readouterr().err.strip()
        assert stop.value.code == 2 and error.startswith("error: ") and "\n" not in error, error
        return error

    return run


def slow_unless(fast, cases):
    """Returns parameters of which those that are not in `fast` are slow."""
    return [case if case in fast else pytest.param(case, marks=pytest.mark.slow) for case in cases]


@pytest.fixture
def images():
    """Returns a function that draws N images of a model's input shape."""

    def draw(model, n=4):
        return np.random.default_rng(1).normal(size=(n, *model.input_shape[1:])).astype("float32")

    return draw


def randomize(model, seed=2):
    """Gives every variable a value that no initialiser has: norms with negative gammas and moved statistics."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        value = rng.normal(size=variable.shape) * 0.3
        if "moving_variance" in variable.path:
            value = 0.5 + np.abs(value)
        elif "gamma" in variable.path:
            value = 1 + 2 * value
        variable.assign(value)
    return model


def assert_close(received, expected, tolerance=1e-4, err_msg=""):
    """Every element agrees within `tolerance` times the largest: each machine's kernels add up in an order of their own."""
    expected = np.asarray(expected)
    atol = tolerance * max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(received, expected, rtol=0, atol=atol, err_msg=err_msg)
