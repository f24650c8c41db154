"""Shared by the tests of fractal levels and networks."""

import keras
import numpy as np


def images(shape=(2, 8, 8, 3), dtype="float64"):
    return keras.ops.convert_to_tensor(np.random.default_rng(1).normal(size=shape).astype(dtype))


def one_hot(column, columns):
    return keras.ops.convert_to_tensor(np.eye(columns)[column])
