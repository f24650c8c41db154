"""Batches that are prepared while the device computes."""

import os
from collections.abc import Callable, Iterable
from typing import Any

import keras

from keras_mgnet.training.data.plan import Batches

PARALLEL = min(8, os.cpu_count() or 1)  # batches in preparation at a time


def generated(make: Callable[[int], tuple[Any, ...]], count: int, shapes: Iterable[tuple[int | None, ...]]) -> Iterable:
    """Returns the batches make(0), ..., make(count - 1). Each is a tuple of float32 arrays with these shapes."""
    if keras.backend.backend() == "jax":
        return Batches(make, count)
    import tensorflow as tf

    signature = tuple(tf.TensorSpec(shape, tf.float32) for shape in shapes)
    batches = tf.data.Dataset.from_generator(lambda: map(make, range(count)), output_signature=signature)
    return prefetched(batches.apply(tf.data.experimental.assert_cardinality(count)))


def prefetched(batches):
    """Returns a `tf.data.Dataset` that prepares its batches ahead.

    The tuning of tf.data is off. Its thread sleeps between two looks, longer and longer up to a minute, and the end of an epoch
    often waits until it wakes up.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(2).with_options(options)
