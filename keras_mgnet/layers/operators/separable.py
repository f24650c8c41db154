"""The form in which export converters leave a shared kernel one tensor."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from keras import ops

from keras_mgnet.annotations import Tensor

_separable: ContextVar[bool] = ContextVar("separable", default=False)


@contextmanager
def separable_scales() -> Iterator[None]:
    """While open, inference writes each scaling beside a shared convolution as a 1x1 depthwise convolution.

    The TFLite and ONNX converters multiply a factor per channel, that of a batch normalisation too, into a copy of the kernel
    beside it; a depthwise convolution they leave alone, so a shared kernel stays one tensor in the exported file. Same
    values, any sign.

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
    """Returns whether `separable_scales` is open."""
    return _separable.get()


def scaled(x: Tensor, factor: Any) -> Tensor:
    """Returns factor x, for x (N, H, W, C) and a trained factor of one number or C of them, which stands beside a shared kernel.

    Example:
        >>> scaled(ops.ones((1, 1, 1, 2)), ops.array([3.0])).numpy().tolist()
        [[[[3.0, 3.0]]]]
    """
    if not is_separable():
        return factor * x
    channels = x.shape[-1]
    kernel = ops.reshape(ops.broadcast_to(ops.cast(factor, x.dtype), (channels,)), (1, 1, channels, 1))
    return ops.depthwise_conv(x, kernel, padding="same", data_format="channels_last")
