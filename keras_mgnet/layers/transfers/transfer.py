"""Transfers to the next grid."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mgnet.annotations import Activation, DType, Shape, Tensor
from keras_mgnet.errors import check_known
from keras_mgnet.layers import steps
from keras_mgnet.layers.operators.conv import Conv, pad
from keras_mgnet.layers.operators.families import apply, build_all, identity
from keras_mgnet.layers.operators.norm import norm_layer
from keras_mgnet.serialization import serializable


def coarser(shape: Shape, channels: int) -> Shape:
    """Returns the shape (N, ceil(H/2), ceil(W/2), channels) of the next grid. Unknown sizes stay None."""
    n, h, w, _ = shape
    return n, *(size and -(-size // 2) for size in (h, w)), channels


@serializable
class FullWeighting(keras.layers.Layer):
    """Multigrid's full weighting on each channel: the stencil [1 2 1; 2 4 2; 1 2 1] / 16 with stride 2, zero-padded by 1.

    Example:
        >>> tuple(FullWeighting()(ops.ones((1, 8, 8, 3))).shape)
        (1, 4, 4, 3)
    """

    def __init__(self, *, name: str | None = None, dtype: DType = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return coarser(input_shape, input_shape[-1])

    def call(self, x: Tensor) -> Tensor:
        hat = np.array([1, 2, 1]) / 4
        stencil = np.broadcast_to(np.outer(hat, hat)[:, :, None, None], (3, 3, x.shape[-1], 1))
        kernel = ops.convert_to_tensor(stencil, dtype=x.dtype)
        return ops.depthwise_conv(pad(x, (1, 1)), kernel, 2, "valid", "channels_last")


def _pooling(kind: type[keras.layers.Layer]) -> Callable[[DType], keras.layers.Layer]:
    return lambda policy: kind(2, padding="same", data_format="channels_last", dtype=policy)


FIXED_RESTRICTIONS: dict[str, Callable[[DType], keras.layers.Layer]] = {
    "average": _pooling(keras.layers.AveragePooling2D),
    "max": _pooling(keras.layers.MaxPooling2D),
    "full_weighting": lambda policy: FullWeighting(dtype=policy),
}
RESTRICTIONS = ("conv", "conv_max", "depthwise", *FIXED_RESTRICTIONS)


@serializable
class Restriction(keras.layers.Layer):
    """Restricts a tensor to the next grid: (N, H, W, c) -> (N, ceil(H/2), ceil(W/2), channels).

    A transfer of an MgNet has two restrictions: Pi restricts the feature u, and R restricts the residual r.

    Args:
        channels: output channels.
        kind: the kind of restriction.

            - "conv" is a learned 3x3 convolution with stride 2.
            - "depthwise" is a learned depthwise 3x3 convolution with stride 2. `channels` must be a multiple of c.
            - "conv_max" is a learned 3x3 convolution, followed by the maximum of each 2x2 block on each channel. It costs four
              times the multiply-adds of "conv".
            - "average" takes the mean of each 2x2 block on each channel. If `channels` differs from c, a learned 1x1 convolution
              follows.
            - "max" takes the maximum in place of the mean.
            - "full_weighting" applies a fixed stencil (`FullWeighting`) to each channel. If `channels` differs from c, a learned
              1x1 convolution follows.
        padded: what surrounds the grid in a "conv", as in `Conv`. With False the next grid has (H - 1) // 2 rows, at the rows
            1, 3, 5 and so on of this one.
        init: kernel initialiser, a key of `conv.INITIALIZERS`.

    Example:
        >>> tuple(Restriction(8, "average")(ops.ones((1, 7, 7, 4))).shape)
        (1, 4, 4, 8)
    """

    def __init__(
        self,
        channels: int,
        kind: str = "conv",
        *,
        padded: bool | str = True,
        init: str = "he_fan_out",
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        check_known("restriction", kind, RESTRICTIONS)
        self.channels, self.kind, self.init = channels, kind, init
        fixed = "max" if kind == "conv_max" else kind
        self.grid = FIXED_RESTRICTIONS[fixed](self.dtype_policy) if fixed in FIXED_RESTRICTIONS else None
        self.conv: Any = None  # `build` makes the convolution of the other kinds, if they need one
        self.options = {"init": init, "name": self.name, "dtype": self.dtype_policy}
        if kind in ("conv", "conv_max"):
            strides, padded = (2, padded) if kind == "conv" else (1, True)
            self.conv = Conv(channels, strides=strides, padded=padded, **self.options)

    def build(self, input_shape: Shape) -> None:
        c = input_shape[-1]
        if self.kind == "depthwise":
            self.conv = Conv(self.channels, strides=2, groups=check_groups(c, self.channels), **self.options)
        elif self.conv is None and c != self.channels:
            self.conv = Conv(self.channels, 1, **self.options)
        if self.conv is not None:
            self.conv.build(input_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if self.kind == "conv":
            return self.conv.compute_output_shape(input_shape)
        return coarser(input_shape, self.channels)

    def call(self, x: Tensor) -> Tensor:
        layers = [self.conv, self.grid] if self.kind == "conv_max" else [self.grid, self.conv]
        return apply(filter(None, layers), x)


def check_groups(c: int, channels: int) -> int:
    """Returns c, the number of groups of a depthwise restriction from c channels to a multiple of c."""
    if channels % c:
        raise ValueError(f"expected channels to be a multiple of the {c} input channels. Received: channels={channels}")
    return c


@serializable
class GridTransfer(keras.layers.Layer):
    """Restricts feature and residual to MgNet's next grid: (u, r) -> (s1(Pi *_2 u), s2(R *_2 r)).

    *_2 is a convolution with stride 2. s1 and s2 are each a norm followed by the activation.

    The next grid needs the residual only, not the data. He2019 defines the data of the next grid as f' = s2(R *_2 r) + A' * u',
    where A' and u' are A and the first u of that grid. The first residual there is f' - A' * u' = s2(R *_2 r), and the transfer
    returns this residual.

    Args:
        channels, channels_f: numbers of channels of u and of r on the next grid.
        Pi, R: the kinds of the two restrictions, see `Restriction`.
        normalize: whether to apply s1 and s2. Without s1 and s2 the transfer is He2019 (4.4) as printed.
        padded: what surrounds the grid in a "conv", as in `Restriction`.
        activation, norm, init: as in `Chain`.

    Example:
        >>> u, r = GridTransfer(8, 8)(ops.ones((1, 8, 8, 4)), ops.ones((1, 8, 8, 4)))
        >>> tuple(u.shape)
        (1, 4, 4, 8)
    """

    def __init__(
        self,
        channels: int,
        channels_f: int,
        *,
        Pi: str = "conv",
        R: str = "conv",
        normalize: bool = True,
        padded: bool | str = True,
        activation: Activation = "relu",
        norm: str | None = "batch",
        init: str = "he_fan_out",
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        policy = self.dtype_policy
        self.Pi = Restriction(channels, Pi, padded=padded, init=init, name="Pi", dtype=policy)
        self.R = Restriction(channels_f, R, padded=padded, init=init, name="R", dtype=policy)
        self.s1 = norm_layer(norm, activation, name="s1", dtype=policy) if normalize else identity
        self.s2 = norm_layer(norm, activation, name="s2", dtype=policy) if normalize else identity

    def build(self, u_shape: Shape, r_shape: Shape) -> None:
        self.Pi.build(u_shape)
        self.R.build(r_shape)
        u_shape, r_shape = self.compute_output_shape(u_shape, r_shape)
        build_all(u_shape, [self.s1])
        build_all(r_shape, [self.s2])

    def compute_output_shape(self, u_shape: Shape, r_shape: Shape) -> Shape:
        return self.Pi.compute_output_shape(u_shape), self.R.compute_output_shape(r_shape)

    def call(self, u: Tensor, r: Tensor) -> Tensor:
        return steps.transfer(u, r, self.Pi, self.R, self.s1, self.s2)


@serializable
class IdleTransfer(GridTransfer):
    """Returns r unchanged. As in the published code of Poly-MgNet, the layer has kernels Pi and R and never uses them.

    The published number of parameters of Poly-MgNet includes these kernels. The arguments are as in `GridTransfer`.

    Example:
        >>> transfer = IdleTransfer(4, 4, Pi="depthwise", R="depthwise", normalize=False)
        >>> transfer(ops.ones((1, 8, 8, 4))).shape[1], transfer.count_params()
        (8, 72)
    """

    def build(self, r_shape: Shape) -> None:
        self.Pi.build(r_shape)
        self.R.build(r_shape)

    def compute_output_shape(self, r_shape: Shape) -> Shape:
        return r_shape

    def call(self, r: Tensor) -> Tensor:
        return r
