"""Shared places and seeds."""

import gc
import os
import random
import sys
from importlib.util import find_spec

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as the package sets it when it is imported before TensorFlow
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")  # else the threads of several processes wait for each other
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF2ONNX_CATCH_ERRORS", "FALSE")  # else tf2onnx copies the graph before each of its fifty passes

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("support")
gc.set_threshold(50_000, 20, 100)  # traced graphs are many objects and few of them garbage

settings.register_profile(
    "keras_mgnet", deadline=None, max_examples=10, derandomize=True, suppress_health_check=list(HealthCheck)
)
settings.load_profile("keras_mgnet")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Gives the tests of a file to one process, which makes their fixtures once."""
    from support.scheduling import ByFile

    return ByFile(config, log)


def pytest_collection_modifyitems(items):
    """The folders from the last to the first: training takes longest, and what a process begins last should be short."""
    items.sort(key=lambda item: item.nodeid.split("/")[:2], reverse=True)


def pytest_collection_finish():
    """What has been imported stays: no collection looks through it again."""
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def no_power_cut():
    """The machine outlives its tests: to wait for the disk would only make them slow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True, scope="session")
def no_layout_of_figures():
    """To look for the places where labels do not overlap takes more time than to draw a figure."""
    with pytest.MonkeyPatch.context() as patch:
        if find_spec("matplotlib"):
            patch.setattr("matplotlib.figure.Figure.set_layout_engine", lambda figure, layout=None: None)
        yield


@pytest.fixture(autouse=True)
def seeded():
    """Every test starts from the same random state. Python's is that of Keras, too: it gives the seeds of layers.

    `keras.utils.set_random_seed` would make TensorFlow discard its kernels.
    """
    random.seed(0)
    np.random.seed(0)


@pytest.fixture(autouse=True, scope="module")
def settled_memory():
    """What a module leaves behind is not looked through again at each collection: traced graphs are millions of objects."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture
def refused(monkeypatch, capsys):
    """Returns a function that runs a command which must end with exit code 2, and gives its one line of error."""
    from keras_mgnet.cli import main

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["keras-mgnet", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        error = capsys.readouterr().err.strip()
        assert stop.value.code == 2 and error.startswith("error: ") and "\n" not in error, error
        return error

    return run


@pytest.fixture
def images():
    """Returns a function that draws N images of a model's input shape."""
    import numpy as np

    def draw(model, n=4):
        return np.random.default_rng(1).normal(size=(n, *model.input_shape[1:])).astype("float32")

    return draw


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder of smooth images of several sizes, two in colour, for denoisers."""
    from support.denoising import write_images

    return write_images(tmp_path_factory.mktemp("images"))
