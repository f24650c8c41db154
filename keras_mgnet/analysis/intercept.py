"""Temporarily replaces methods of the layers of a built network."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import keras


@contextmanager
def intercepted(owner: Any, method: str, around: Callable) -> Iterator[None]:
    """Replaces owner.method(...) by around(original, ...) within the `with` block.

    The network is not rebuilt. Call the model directly, as in `model(x, training=False)`. `predict` may run a program that was
    compiled before the replacement.

    Example:
        >>> from keras_mgnet.layers import Conv
        >>> conv, x = Conv(2), keras.ops.ones((1, 4, 4, 1))
        >>> with intercepted(conv, "call", lambda original, x: 0 * original(x)):
        ...     float(keras.ops.max(conv(x)))
        0.0
    """
    attributes = vars(owner)  # bypasses Keras' tracking, which does not concern methods
    before = {method: attributes[method]} if method in attributes else {}
    attributes[method] = partial(around, getattr(owner, method))
    try:
        yield
    finally:
        del attributes[method]
        attributes.update(before)


@contextmanager
def all_intercepted(owners: Iterable[Any], method: str, around: Callable) -> Iterator[None]:
    """Works as `intercepted` for several objects. `around` also gets the object, as in around(owner, original, ...)."""
    with ExitStack() as stack:
        for owner in owners:
            stack.enter_context(intercepted(owner, method, partial(around, owner)))
        yield


def levels(model: keras.Model, *kinds: type) -> list[keras.layers.Layer]:
    """Returns the levels of a network that are instances of `kinds` or have a scheme of `kinds`, from fine to coarse."""
    return [
        layer for layer in model.layers if isinstance(layer, kinds) or isinstance(getattr(layer, "scheme", None), kinds)
    ]
