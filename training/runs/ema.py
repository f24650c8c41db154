"""The average of the weights over the steps, in place of the weights while it is asked for."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
from keras import ops


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """While open, a model whose optimiser keeps averages holds them; afterwards the weights are back bit for bit.

    Keras' SwapEMAWeights adds and subtracts, which rounds. Nothing happens to a model without averages, and before the first
    step. Moving statistics of norms are not averaged: the model keeps those of its own weights. After an exception the weights
    are back too, also where it ended an evaluation. On a tf.distribute strategy it is to be used outside of the replicas.

    Example:
        >>> from keras_mgnet import MgNet
        >>> with averaged_weights(MgNet(channels=2, input_shape=(8, 8, 1))):
        ...     pass
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # mixed_float16 wraps it
    pairs = getattr(optimizer, "averages", [])
    raw = [ops.convert_to_numpy(weight) for weight, _ in pairs]
    try:
        for weight, average in pairs:
            weight.assign(ops.convert_to_numpy(average))
        yield
    finally:
        # An evaluation that an exception ends has taken the values of all variables.
        if keras.backend.backend() == "jax":
            model.jax_state_sync()
        for (weight, _), value in zip(pairs, raw, strict=True):
            weight.assign(value)
