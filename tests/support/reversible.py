"""Reversible levels, and states for these levels."""

import keras
import numpy as np

from keras_mgnet import HamiltonianNet, RevNet

STABLE = ("hamiltonian", "midpoint", "leapfrog", "verlet", "second_order", "damped", "velocity_verlet")
DAMPING = 0.4


def network(scheme, blocks, **options):
    """Returns a reversible network with one grid and 8 channels."""
    options = {"blocks": (blocks,), "channels": (8,), "input_shape": (8, 8, 1), **options}
    if scheme == "damped":
        scheme, options = "second_order", {"damping": DAMPING, **options}
    return RevNet(**options) if scheme == "revnet" else HamiltonianNet(scheme, **options)


def level_of(scheme, blocks, **options):
    """Returns a built level and a function that draws a pair of states for it."""
    keras.utils.set_random_seed(3)
    level = network(scheme, blocks, **options).get_layer("level1")
    rng, shape = np.random.default_rng(0), [4, *level.output[0].shape[1:]]
    return level, lambda: [keras.ops.convert_to_tensor(rng.normal(size=shape), level.state_dtype) for _ in range(2)]


def relative(a, b):
    """Returns max |a - b| / max |b|."""
    a, b = (np.asarray(keras.ops.convert_to_numpy(x), "float64") for x in (a, b))
    return np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)
