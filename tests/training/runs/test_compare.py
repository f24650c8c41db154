"""The picture of a comparison."""

import pytest

from keras_mgnet.training.runs.compare import Entry, drawn


def entry(label, params, last, accuracies, learned):
    return Entry(label, params, (0, 1), last, last, (), "test", accuracies, learned, 1.0)


def test_errors_over_epochs_and_over_parameters():
    small = entry("small", 1000, (0.5, 0.75), ((0.25, 0.5), (0.25, 0.75)), ((0.5, 0.5), (0.5, 1.0)))
    large = entry("large", 4000, (0.75, 0.75), ((0.5, 0.75), (0.5, 0.75)), ((1.0, 1.0), (1.0, 1.0)))
    points, curves, sizes = drawn([large, small]).axes
    assert [label.get_text() for label in points.get_yticklabels()] == ["small", "large"]
    training, test = curves.lines[:2]
    assert training.get_linestyle() == "--" and list(training.get_ydata()) == [50, 25]
    assert test.get_linestyle() == "-" and list(test.get_ydata()) == [75, 37.5]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in sizes.lines] == [(1000, 37.5), (4000, 25)]
    (low, high) = sizes.collections[0].get_segments()[0]  # the spread of two seeds around their mean
    assert high[1] - low[1] == pytest.approx(2 * 100 * 0.25 / 2**0.5)
