"""Runs are reproducible here, and later tests are not."""

import keras
import pytest


@pytest.fixture(scope="module", autouse=True)
def undo_determinism():
    """Reproducible runs make the whole process deterministic; TensorFlow has no public way back."""
    yield
    if keras.backend.backend() == "tensorflow":
        from tensorflow.python.framework import config

        config.disable_op_determinism()
