"""What the pictures of a run draw."""

import pytest

from keras_mgnet.training.runs.plots import QUALITY


def test_accuracies_are_drawn_as_errors_in_percent():
    label, drawn, _ = QUALITY["accuracy"]
    assert label == "error in percent" and drawn(0.97) == pytest.approx(3)
