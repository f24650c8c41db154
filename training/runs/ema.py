"""Replaces the weights of a model temporarily by their average over the steps."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
from keras import ops


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """A context in which the weights of a model are the averages that its optimiser keeps. At the end, the weights are restored.

    The weights are restored bit for bit, also after an exception. Keras' SwapEMAWeights adds and subtracts, which rounds.
    Without averages, or before the first step, nothing changes. The moving statistics of norms are not averaged. With a
    tf.distribute strategy, enter the context outside the replicas.

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
