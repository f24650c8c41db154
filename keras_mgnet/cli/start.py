"""The program `keras-mgnet`: the command line without the notes that TensorFlow writes to standard error when it starts.

Without TensorFlow, the default backend is JAX. The list of commands, and commands that do not need Keras such as `serve`, start
without Keras.
"""

import importlib.util
import os
import sys
from contextlib import suppress

from keras_mgnet.cli import COMPLETION, asked, main
from keras_mgnet.notes import hidden_notes

# Commands that start without Keras. If they need it, they call `preload_keras` themselves.
LIGHT = (None, "list", "describe", "predict", "serve", "bench", "doctor")


def needs_keras(words: list[str]) -> bool:
    return asked(words) not in LIGHT


def preload_keras() -> None:
    if importlib.util.find_spec("tensorflow") is None:
        os.environ.setdefault("KERAS_BACKEND", "jax")
    with suppress(Exception), hidden_notes():  # the command meets the same error again and reports it
        import keras

        if keras.backend.backend() == "tensorflow":
            import tensorflow

            tensorflow.config.list_physical_devices()


def prepare_completion() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # a shell would show notes among the completions
    if importlib.util.find_spec("jax"):
        os.environ["KERAS_BACKEND"] = "numpy"  # loads fastest, and needs JAX


def start() -> None:
    """Runs the command line with the arguments of this process."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if COMPLETION in os.environ:
        prepare_completion()
    elif needs_keras(sys.argv[1:]):
        preload_keras()
    main()
