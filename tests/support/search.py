"""Small searches and trials for the tests."""

import pytest

from keras_mgnet.training.search.config import TuneConfig
from keras_mgnet.training.search.trials import Trial

KERAS_TUNER = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:keras_tuner"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),  # of the Bayesian oracle's model
]


class Killed(BaseException):
    """Stands for the kill of the process in a test."""


def small(images, out, **changes):
    values = {"trials": 3, "epochs": 1, "max_params": 4_000, "out": str(out), "batch_size": 48}
    return TuneConfig(images, **values | changes)


def trial(number, accuracy, params):
    return Trial(number, accuracy, params, 10 * params, {"nu": [1]}, 0.1, 1e-4, 1, 1.0, "finished", "worker0")
