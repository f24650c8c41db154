"""Shortcuts R in x' = R x + f(x), for the blocks of a ResNet that change the grid or the number of channels."""

from typing import Any

import keras
from keras import ops

from keras_mgnet.annotations import Activation, DType, Shape, Tensor
from keras_mgnet.errors import check_known
from keras_mgnet.layers.fields.branch import Branch
from keras_mgnet.layers.operators.conv import Conv
from keras_mgnet.layers.operators.norm import norm_layer
from keras_mgnet.layers.transfers.transfer import coarser
from keras_mgnet.serialization import serializable

SAMPLINGS = ("injection", "average")


@serializable
class ZeroPadding(keras.layers.Layer):
    """Shortcut without parameters: samples the grid and adds zero channels, option A of He et al. 2015.

    Maps (N, H, W, c) to (N, ceil(H/s), ceil(W/s), channels).

    Args:
        channels: output channels, at least as many as the input has.
        strides: s, 1 or 2.
        sampling: how stride 2 samples the grid. "injection" takes the pixels 0, 2, 4 and so on. "average" takes the mean of each
            2x2 block.
        centered: whether half of the zero channels come before the input's channels. By default all come after them.

    Example:
        >>> ZeroPadding(4, 2)(ops.ones((1, 2, 2, 2)))[0, 0, 0].numpy().tolist()
        [1.0, 1.0, 0.0, 0.0]
    """

    def __init__(
        self,
        channels: int,
        strides: int = 1,
        *,
        sampling: str = "injection",
        centered: bool = False,
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        check_known("sampling", sampling, SAMPLINGS)
        if strides not in (1, 2):
            raise ValueError(f"expected strides to be 1 or 2. Received: strides={strides!r}")
        self.channels, self.strides, self.sampling, self.centered = channels, strides, sampling, centered

    def build(self, input_shape: Shape) -> None:
        if input_shape[-1] > self.channels:
            raise ValueError(
                f"expected at least {input_shape[-1]} channels, as the input has. Received: channels={self.channels}"
            )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return coarser(input_shape, self.channels) if self.strides == 2 else (*input_shape[:-1], self.channels)

    def call(self, x: Tensor) -> Tensor:
        if self.strides == 2:
            x = x[:, ::2, ::2] if self.sampling == "injection" else ops.average_pool(x, 2, 2, "same", "channels_last")
        extra = self.channels - x.shape[-1]
        before = extra // 2 if self.centered else 0
        return ops.pad(x, ((0, 0), (0, 0), (0, 0), (before, extra - before)))


@serializable
class ShiftedProjection(keras.layers.Layer):
    """Shortcut of shake-shake: n([K_1 s(x), K_2 S s(x)]). The two 1x1 convolutions K_1 and K_2 see different pixels.

    Maps (N, H, W, c) to (N, ceil(H/strides), ceil(W/strides), channels). s is the activation, S shifts an image by one pixel to
    the right and down, [ ] concatenates channels and n is the norm. K_1 and K_2 have channels / 2 output channels each.

    Args:
        channels: output channels, an even number.
        strides: 1 or 2.
        activation, norm, init: as in `Chain`.

    Example:
        >>> tuple(ShiftedProjection(4, 2)(ops.ones((1, 5, 5, 2))).shape)
        (1, 3, 3, 4)
    """

    def __init__(
        self,
        channels: int,
        strides: int = 1,
        *,
        activation: Activation = "relu",
        norm: str | None = "batch",
        init: str = "he_fan_out",
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if channels % 2:
            raise ValueError(f"expected an even number of channels. Received: {channels}")
        options = {"strides": strides, "init": init, "dtype": self.dtype_policy}
        self.sigma = keras.activations.get(activation)
        self.K1, self.K2 = (Conv(channels // 2, 1, name=name, **options) for name in ("K1", "K2"))
        self.n = norm_layer(norm, name="n", dtype=self.dtype_policy)

    def build(self, input_shape: Shape) -> None:
        self.K1.build(input_shape)
        self.K2.build(input_shape)
        self.n.build(self.compute_output_shape(input_shape))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        *grid, half = self.K1.compute_output_shape(input_shape)
        return *grid, 2 * half

    def call(self, x: Tensor) -> Tensor:
        x = self.sigma(x)
        shifted = ops.pad(x[:, :-1, :-1], ((0, 0), (1, 0), (1, 0), (0, 0)))
        return self.n(ops.concatenate([self.K1(x), self.K2(shifted)], axis=-1))


def padding(channels: int, strides: int, options: dict[str, Any]) -> ZeroPadding:
    """Returns option A of He et al. 2015: injection and zero channels."""
    return ZeroPadding(channels, strides, name="R", dtype=options["dtype"])


def projection(channels: int, strides: int, options: dict[str, Any]) -> Conv:
    """Returns a 1x1 convolution without a norm."""
    return Conv(channels, 1, strides=strides, init=options["init"], name="R", dtype=options["dtype"])


def projection_norm(channels: int, strides: int, options: dict[str, Any]) -> Branch:
    """Returns option B of He et al. 2015: a 1x1 convolution and a norm."""
    return Branch((channels,), (1,), strides=strides, order="postactivation", name="R", **options)


def shifted(channels: int, strides: int, options: dict[str, Any]) -> ShiftedProjection:
    """Returns the shortcut of shake-shake."""
    return ShiftedProjection(channels, strides, name="R", **options)


def norm_projection(channels: int, strides: int, options: dict[str, Any]) -> Branch:
    """Returns a norm, an activation and a 1x1 convolution in sequence, as in the released code of LM-ResNet."""
    return Branch((channels,), (1,), strides=strides, name="R", **options)
