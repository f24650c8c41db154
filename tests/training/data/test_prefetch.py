"""Batches that are prepared ahead."""

import numpy as np
import pytest

from keras_mgnet.training.data import dataset, denoise, functions, pipeline
from keras_mgnet.training.data.plan import Plan

SPLIT = dataset.Split(np.zeros((6, 8, 8, 1), np.uint8), np.zeros(6, np.int32))
NOISY = denoise.CleanImages("grey", *2 * ((np.zeros((9, 9), np.uint8),),), sigma=25.0, patch_size=8)
PAIR = functions.Pairs(*np.zeros((2, 6, 8, 8, 1), np.float32))
BATCHES = {
    "images": lambda: pipeline.train_batches(SPLIT, 2, mean=(0.0,), std=(1.0,), seed=0, epochs=1),
    "test images": lambda: pipeline.test_batches(SPLIT, 2, mean=(0.0,), std=(1.0,)),
    "patches": lambda: denoise.test_batches(NOISY),
    "functions": lambda: functions.train_batches(functions.FunctionPairs("zeros", PAIR, PAIR), Plan(0, 6, 2, 0, 0, 1)),
}


@pytest.mark.parametrize("name", BATCHES)
def test_no_thread_of_tf_data_delays_the_end_of_an_epoch(name):
    """The thread of its tuning sleeps for up to a minute, and the end of an epoch waits for it."""
    assert BATCHES[name]().options().autotune.enabled is False
