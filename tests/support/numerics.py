"""Random values for variables, and comparison of results."""

import keras
import numpy as np

from keras_mgnet.layers import Norm

EXACT = {"dtype": "float64"}


def randomize(model, seed=2):
    """Gives every variable a random value, so that no gamma of a norm is 1 and no moving statistic is 0 or 1. Returns `model`."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        value = rng.normal(size=variable.shape) * 0.3
        if "moving_variance" in variable.path:
            value = 0.5 + np.abs(value)
        elif "gamma" in variable.path:
            value = 1 + 2 * value
        variable.assign(value)
    return model


def assert_close(received, expected, tolerance=1e-4, err_msg=""):
    """Checks that every element differs by at most tolerance * max(1, max |expected|). Machines sum in different orders."""
    expected = np.asarray(expected)
    atol = tolerance * max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(received, expected, rtol=0, atol=atol, err_msg=err_msg)


def normal(*shape):
    """Returns normally distributed numbers in float64, the same at each call."""
    return keras.ops.convert_to_tensor(np.random.default_rng(5).normal(size=shape))


def built(layer, x):
    """Returns the layer, built for the shape of x, with the weights of `randomize`."""
    layer.build(x.shape)
    return randomize(layer)


def frozen(layer):
    """Makes the norms use their moving statistics in training too, so that only drop-path differs from inference."""
    for norm in (part for part in layer._flatten_layers() if isinstance(part, Norm)):
        norm.trainable = False
    return layer
