"""Replaces the weights of a model by their average over the steps, for as long as needed."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
from keras import ops


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """While open, a model holds its optimiser's averages as weights; afterwards its own weights are back bit for bit.

    Keras' SwapEMAWeights adds and subtracts, which rounds. A model without averages is left as it is, and so is one before
    its first step. Moving statistics of norms are not averaged: the model keeps its own. The weights also come back after an
    exception, even one that ends an evaluation. With a tf.distribute strategy, use it outside the replicas.

    Example:
        >>> from keras_mgnet import MgNet
        >>> with averaged_weights(MgNet(channels=2, input_shape=(8, 8, 1))):
        ...     pass
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # mixed_float16 wraps the optimiser
    pairs = getattr(optimizer, "averages", [])
    raw = [ops.convert_to_numpy(weight) for weight, _ in pairs]
    try:
        for weight, average in pairs:
            weight.assign(ops.convert_to_numpy(average))
        yield
    finally:
        # On JAX, an evaluation that ends with an exception still holds the values of all variables.
        if keras.backend.backend() == "jax":
            model.jax_state_sync()
        for (weight, _), value in zip(pairs, raw, strict=True):
            weight.assign(value)
