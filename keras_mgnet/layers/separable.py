"""Writes the scale per channel of a norm as a depthwise convolution, so that export converters store a shared kernel once."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from keras import ops

from keras_mgnet.annotations import Tensor

_separable: ContextVar[bool] = ContextVar("separable", default=False)


@contextmanager
def separable_scales() -> Iterator[None]:
    """Inside this context, each scaling next to a shared convolution is a 1x1 depthwise convolution. Only for inference.

    The TFLite and ONNX converters fold a factor per channel, such as the scale of a batch normalisation, into a copy of the
    adjacent kernel. The converters do not fold a depthwise convolution, so the exported file stores a shared kernel once. The
    outputs of the network are the same, for factors of any sign.

    Example:
        >>> from keras_mgnet import MgNet
        >>> with separable_scales():
        ...     tuple(MgNet((1,), 4, input_shape=(8, 8, 1))(ops.ones((1, 8, 8, 1))).shape)
        (1, 10)
    """
    token = _separable.set(True)
    try:
        yield
    finally:
        _separable.reset(token)


def is_separable() -> bool:
    """Returns whether the caller runs inside `separable_scales`."""
    return _separable.get()


def scaled(x: Tensor, factor: Any) -> Tensor:
    """Multiplies x (N, H, W, C) by a factor: one number or C numbers. Inside `separable_scales` this is a depthwise convolution.

    Example:
        >>> scaled(ops.ones((1, 1, 1, 2)), ops.array([3.0])).numpy().tolist()
        [[[[3.0, 3.0]]]]
    """
    if not is_separable():
        return factor * x
    channels = x.shape[-1]
    kernel = ops.reshape(ops.broadcast_to(ops.cast(factor, x.dtype), (channels,)), (1, 1, channels, 1))
    return ops.depthwise_conv(x, kernel, padding="same", data_format="channels_last")
