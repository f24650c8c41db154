"""Values of variables, and how near two results are."""

import keras
import numpy as np

from keras_mgnet.layers import Norm

EXACT = {"dtype": "float64"}


def randomize(model, seed=2):
    """Gives every variable a value that no initialiser has: norms with negative gammas and moved statistics."""
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
    """Every element agrees within `tolerance` times the largest: each machine's kernels add up in an order of their own."""
    expected = np.asarray(expected)
    atol = tolerance * max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(received, expected, rtol=0, atol=atol, err_msg=err_msg)


def normal(*shape):
    """The same normal numbers at each call, in float64."""
    return keras.ops.convert_to_tensor(np.random.default_rng(5).normal(size=shape))


def built(layer, x):
    """A layer with weights for x, none as an initialiser has it."""
    layer.build(x.shape)
    return randomize(layer)


def frozen(layer):
    """Lets the norms use their statistics in training too, so that drop-path alone tells training from inference."""
    for norm in (part for part in layer._flatten_layers() if isinstance(part, Norm)):
        norm.trainable = False
    return layer
