"""Accuracies against numpy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_mgnet.metrics import accuracy, top5_accuracy


@pytest.mark.parametrize(("measure", "most"), [(accuracy, 1), (top5_accuracy, 5)])
@given(st.integers(6, 30), st.integers(0, 2**31))
def test_accuracies_against_numpy(measure, most, classes, seed):
    rng = np.random.default_rng(seed)
    outputs, labels = (
        rng.permuted(np.tile(np.arange(classes, dtype="float32"), (7, 1)), axis=1),
        rng.integers(0, classes, 7),
    )
    expected = (outputs > outputs[np.arange(7), labels][:, None]).sum(axis=1) < most
    for given_labels in (labels, np.eye(classes, dtype="float32")[labels]):
        np.testing.assert_array_equal(np.asarray(measure(given_labels, outputs)), expected)
