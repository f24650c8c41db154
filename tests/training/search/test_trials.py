"""Trials: the front of the best, and when their order means little."""

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_mgnet.training.search.trials import doubt, markdown, pareto_front
from support.search import trial


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), min_size=1, max_size=8))
def test_the_front_is_what_no_other_beats(points):
    trials = [trial(number, accuracy / 5, params) for number, (accuracy, params) in enumerate(points)]
    front = pareto_front(trials)

    def beats(a, b):
        return a.accuracy >= b.accuracy and a.params <= b.params and (a.accuracy, a.params) != (b.accuracy, b.params)

    best = {(t.accuracy, t.params) for t in trials if not any(beats(other, t) for other in trials)}
    assert {(t.accuracy, t.params) for t in front} == best and len(front) == len(best)
    assert all(a.params < b.params and a.accuracy < b.accuracy for a, b in pairwise(front))
    assert markdown(trials).count("▸") == len(front)


@pytest.mark.parametrize(
    ("accuracies", "message"),
    [
        ([0.19, 0.1], r"No network has learned anything: the best reaches 19\.00% on 100 .*, and guessing 10\.00%"),
        (
            [0.8, 0.75, 0.7],
            r"ranking means little: 3 of 3 trials are within 12\.00 points of the best\. .* 100 held-out",
        ),
        ([0.8, 0.75, 0.6, 0.5], None),
        ([0.8], None),
        ([1.0, 0.99], None),
    ],
)
def test_trials_too_short_to_tell_apart_are_doubted(accuracies, message):
    found = doubt([trial(number, accuracy, 1) for number, accuracy in enumerate(accuracies)], np.arange(100) % 10)
    assert found is None if message is None else re.search(message, found)
