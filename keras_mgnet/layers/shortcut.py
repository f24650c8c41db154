"""Shortcuts of a ResNet where grid or channels change: R in x' = R x + f(x)."""

import keras
from keras import ops

from keras_mgnet.errors import unknown
from keras_mgnet.layers.branch import Branch
from keras_mgnet.layers.conv import Conv
from keras_mgnet.layers.transfer import coarser
from keras_mgnet.serialization import serializable

SAMPLINGS = ("injection", "average")


@serializable
class ZeroPadding(keras.layers.Layer):
    """The shortcut without parameters (option A of He et al. 2015): (N, H, W, c) -> (N, H/s, W/s, channels).

    The grid is sampled, zero channels are added.

    Args:
        channels: output channels, no fewer than those of the input.
        strides: s, 1 or 2.
        sampling: "injection" takes the pixels 0, 2, 4, ...; "average" takes 2x2 means, of what lies inside the image at its
            edge.
        centered: zeros on both sides of the channels; else behind them.

    Example:
        >>> ZeroPadding(4, 2)(ops.ones((1, 2, 2, 2)))[0, 0, 0].numpy().tolist()
        [1.0, 1.0, 0.0, 0.0]
    """

    def __init__(self, channels, strides=1, *, sampling="injection", centered=False, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        if sampling not in SAMPLINGS:
            raise unknown("sampling", sampling, SAMPLINGS)
        self.channels, self.strides, self.sampling, self.centered = channels, strides, sampling, centered

    def compute_output_shape(self, input_shape):
        return coarser(input_shape, self.channels) if self.strides == 2 else (*input_shape[:-1], self.channels)

    def call(self, x):
        if self.strides == 2:
            x = x[:, ::2, ::2] if self.sampling == "injection" else ops.average_pool(x, 2, 2, "same", "channels_last")
        extra = self.channels - x.shape[-1]
        before = extra // 2 if self.centered else 0
        return ops.pad(x, ((0, 0), (0, 0), (0, 0), (before, extra - before)))


def padding(channels, strides, options) -> ZeroPadding:
    """Option A: injection and zero channels."""
    return ZeroPadding(channels, strides, name="R", dtype=options["dtype"])


def projection(channels, strides, options) -> Conv:
    """A 1x1 convolution and nothing else."""
    return Conv(channels, 1, strides=strides, init=options["init"], name="R", dtype=options["dtype"])


def projection_norm(channels, strides, options) -> Branch:
    """Option B: a 1x1 convolution and its norm."""
    return Branch((channels,), (1,), strides=strides, order="postactivation", name="R", **options)


def norm_projection(channels, strides, options) -> Branch:
    """Norm, sigma and a 1x1 convolution, as in the released code of LM-ResNet."""
    return Branch((channels,), (1,), strides=strides, name="R", **options)
