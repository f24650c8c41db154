"""The weights that inference needs, in few variables: a graph repeats much for every variable it reads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_mgnet.layers import Norm
from keras_mgnet.layers.norm import EPSILON

if TYPE_CHECKING:
    import tensorflow as tf

Values = list[tuple[keras.Variable, "tf.Tensor"]]


def inference_weights(model: keras.Model) -> tuple[list[tf.Variable], Callable[[], Values]]:
    """Returns variables with what a model computes from in inference, and a function that reads them within a graph.

    A norm then is y = scale x + shift, half its numbers. All vectors of one length, and all single numbers, are the rows of
    one variable, so neither the number of variables nor what a graph holds for each grows with the iterations of a level.
    A kernel keeps its own variable, read once however often it is used.

    Returns:
        (variables, read): `keras.StatelessScope(read())` gives the model those values.

    Example:
        >>> from keras_mgnet import MgNet
        >>> model = MgNet((9,), 4, input_shape=(8, 8, 1))
        >>> variables, read = inference_weights(model)
        >>> len(model.weights), len(variables)
        (81, 6)
        >>> with keras.StatelessScope(read()):
        ...     tuple(model(keras.ops.ones((1, 8, 8, 1)), training=False).shape)
        (1, 10)
    """
    import tensorflow as tf

    norms = [part for part in model._flatten_layers() if isinstance(part, Norm) and part.scale and part.center]
    in_norms = {id(weight) for norm in norms for weight in norm.weights}
    others = [weight for weight in model.weights if id(weight) not in in_norms]
    kernels = [weight for weight in others if len(weight.shape) > 1]
    groups = _by_shape(
        [pair for norm in norms for pair in zip((norm.gamma, norm.beta), norm.affine(), strict=True)]
        + [(weight, weight.value) for weight in others if len(weight.shape) <= 1]
    )
    tables = [tf.Variable(tf.stack([value for _, value in group])) for group in groups]

    def read() -> Values:
        values = [(kernel, tf.convert_to_tensor(kernel.value)) for kernel in kernels]
        for group, table in zip(groups, tables, strict=True):
            values += zip((weight for weight, _ in group), tf.unstack(table), strict=True)
        return values + _neutral_statistics(norms)

    return [*tables, *(kernel.value for kernel in kernels)], read


def _by_shape(values: Values) -> list[Values]:
    groups = defaultdict(list)
    for weight, value in values:
        groups[tuple(weight.shape)].append((weight, value))
    return list(groups.values())


def _neutral_statistics(norms: list[Norm]) -> Values:
    """Moving statistics with which a norm only scales and shifts; one constant for all norms of one width."""
    import tensorflow as tf

    constants = {}
    for norm in norms:
        width = norm.gamma.shape[0]
        if width not in constants:
            constants[width] = tf.zeros(width), tf.fill([width], np.float32(1 - EPSILON))
    return [
        pair
        for norm in norms
        for pair in zip((norm.moving_mean, norm.moving_variance), constants[norm.gamma.shape[0]], strict=True)
    ]
