"""Runs are reproducible here, and later tests are not; and commands that signals stop."""

import signal
import sys

import keras
import pytest

from keras_mgnet.cli import main


@pytest.fixture(scope="module", autouse=True)
def undo_determinism():
    """Reproducible runs make the whole process deterministic; TensorFlow has no public way back."""
    yield
    if keras.backend.backend() == "tensorflow":
        from tensorflow.python.framework import config

        config.disable_op_determinism()


@pytest.fixture
def exit_code(monkeypatch):
    """Returns a function that runs a command as a process does, with its signal handlers, and gives its exit code."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["keras-mgnet", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # pytest-xdist ignores it
    yield run
    for number, handler in before.items():
        signal.signal(number, handler)
