"""The stem, which computes the data of the first grid from an image."""

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_mgnet.annotations import Activation, DType, Shape, Tensor
from keras_mgnet.errors import check_known
from keras_mgnet.layers.operators.conv import Conv, pad
from keras_mgnet.layers.operators.families import identity
from keras_mgnet.layers.operators.norm import norm_layer
from keras_mgnet.layers.operators.whitening import Whitening
from keras_mgnet.layers.transfers.transfer import coarser
from keras_mgnet.serialization import serializable


class StemKind(NamedTuple):
    """Describes a stem."""

    kernel_size: int
    strides: int = 1  # of the convolution
    pool: int | None = None  # size of a max pooling with stride 2
    whitening: int | None = None  # size of the patches that a whitening layer takes in front of the convolution

    @property
    def reduction(self) -> int:
        """How many pixels of the image a grid point stands for, per side."""
        return self.strides * (2 if self.pool else 1)


STEMS = {
    "cifar": StemKind(3),
    "mnist": StemKind(3),
    "imagenet": StemKind(7, 2, pool=3),
    "strided": StemKind(3, 2),
    "whitening": StemKind(3, pool=2, whitening=2),
}


@serializable
class Stem(keras.layers.Layer):
    """Computes the data of the first grid from an image: f = sigma(norm(theta * image)) with a kernel theta.

    The stem maps (N, H, W, c_in) to (N, ceil(H/s), ceil(W/s), channels).

    Args:
        channels: number of channels of the data.
        kind: the kind of stem.

            - "cifar" and "mnist" have a 3x3 kernel, and s = 1.
            - "imagenet" has a 7x7 kernel with stride 2 and 3x3 max pooling with stride 2, so s = 4.
            - "strided" has a 3x3 kernel with stride 2, so s = 2.
            - "whitening" has a `Whitening` of 2x2 patches, a 3x3 kernel and 2x2 max pooling before the norm, so s = 2:
              f = sigma(norm(pool(theta * sigma(W * image + b)))).
        normalize: whether a norm and the activation follow the convolution. A pre-activation ResNet for CIFAR has neither.
        activation, norm, init: as in `Chain`.

    Example:
        >>> tuple(Stem(16, "imagenet")(ops.ones((1, 64, 64, 3))).shape)
        (1, 16, 16, 16)
    """

    def __init__(
        self,
        channels: int,
        kind: str = "cifar",
        *,
        normalize: bool = True,
        activation: Activation = "relu",
        norm: str | None = "batch",
        init: str = "he_fan_out",
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        check_known("stem", kind, STEMS)
        self.kind, policy = STEMS[kind], self.dtype_policy
        size, strides = self.kind.kernel_size, self.kind.strides
        self.whitening: Any = identity
        if self.kind.whitening:
            self.whitening = Whitening(self.kind.whitening, activation=activation, name="whitening", dtype=policy)
        self.conv = Conv(channels, size, strides=strides, init=init, name="conv", dtype=policy)
        self.s = norm_layer(norm, activation, name="s", dtype=policy) if normalize else None

    def build(self, input_shape: Shape) -> None:
        if self.kind.whitening:
            self.whitening.build(input_shape)
            input_shape = self.whitening.compute_output_shape(input_shape)
        self.conv.build(input_shape)
        if self.s is not None:
            self.s.build(self.conv.compute_output_shape(input_shape))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape = self.conv.compute_output_shape(input_shape)
        return coarser(shape, shape[-1]) if self.kind.pool else shape

    def call(self, x: Tensor) -> Tensor:
        x = self.conv(self.whitening(x))
        if self.kind.pool == 2:
            x = ops.max_pool(x, 2, 2, "same", "channels_last")
        x = x if self.s is None else self.s(x)
        return ops.max_pool(pad(x, (1, 1)), 3, 2, "valid", "channels_last") if self.kind.pool == 3 else x
