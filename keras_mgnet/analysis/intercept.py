"""Surgery on a built network: for a while a method of one of its layers does something else."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import keras


@contextmanager
def intercepted(owner: Any, method: str, around: Callable) -> Iterator[None]:
    """While open, owner.method(...) is around(original, ...); afterwards the object is as it was.

    The network is not rebuilt. Call it directly, `model(x, training=False)`: what `predict` has compiled before stays as it was.

    Example:
        >>> from keras_mgnet.layers import Conv
        >>> conv, x = Conv(2), keras.ops.ones((1, 4, 4, 1))
        >>> with intercepted(conv, "call", lambda original, x: 0 * original(x)):
        ...     float(keras.ops.max(conv(x)))
        0.0
    """
    attributes = vars(owner)  # past Keras' tracking, which a method has no part in
    before = {method: attributes[method]} if method in attributes else {}
    attributes[method] = partial(around, getattr(owner, method))
    try:
        yield
    finally:
        del attributes[method]
        attributes.update(before)


@contextmanager
def all_intercepted(owners: Iterable[Any], method: str, around: Callable) -> Iterator[None]:
    """As `intercepted`, for several objects: around(owner, original, ...)."""
    with ExitStack() as stack:
        for owner in owners:
            stack.enter_context(intercepted(owner, method, partial(around, owner)))
        yield


def levels(model: keras.Model, *kinds: type) -> list[keras.layers.Layer]:
    """Returns the levels of a network that are of these kinds, or whose schemes are, finest first."""
    return [
        layer for layer in model.layers if isinstance(layer, kinds) or isinstance(getattr(layer, "scheme", None), kinds)
    ]
