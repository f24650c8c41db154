"""Parallel paths of convolutions: the blocks, the stem and the reductions of the Very Deep PolyNet."""

import keras
from keras import ops

from keras_mgnet.layers.conv import Conv
from keras_mgnet.layers.level import build_chain
from keras_mgnet.layers.norm import Norm
from keras_mgnet.layers.sharing import own
from keras_mgnet.serialization import serializable

POOL = "pool"


@serializable
class Inception(keras.layers.Layer):
    """F(x) = n A [p_1(x), p_2(x), ...] with paths p = s K ... s K; [ ] is the concatenation, s norm and sigma, n the norm.

    (N, H, W, c) -> (N, H', W', channels). The norms of each use are its own, and so is its A.

    Args:
        paths: each a sequence of K. (filters, k) is zero-padded; (filters, k, s) has the stride s and no padding, so H' is
            (H - k) // s + 1; k is an integer or (k_h, k_w). The path "pool" is the 3x3 max pooling with stride 2, unpadded.
        channels: output channels of A, 1x1; None for the concatenation as it is, without n A.
        uses: how many applications it serves.
        sharing: table use -> kernels of the paths (see `sharing`); None gives each use its own.
        activation: sigma.
        init: a key of `conv.INITIALIZERS`.

    Example:
        >>> F = Inception((((2, 1), (3, (1, 7)), (3, (7, 1))), ((4, 1),)), 8)
        >>> tuple(F(ops.ones((1, 9, 9, 8))).shape), tuple(Inception(("pool", ((4, 3, 2),)))(ops.ones((1, 9, 9, 8))).shape)
        ((1, 9, 9, 8), (1, 4, 4, 12))
    """

    def __init__(
        self, paths, channels=None, *, uses=1, sharing=None, activation="relu", init="he_fan_out", name=None, dtype=None
    ):
        super().__init__(name=name, dtype=dtype)
        self.uses = uses
        options = {"init": init, "dtype": self.dtype_policy}
        activated = {"sharing": sharing or own(uses), "activation": activation, **options}
        self.paths = [_path(path, f"{self.name}_{p}", activated) for p, path in enumerate(paths, start=1)]
        self.A = None if channels is None else SharedConv(channels, 1, sharing=own(uses), name="A", **options)

    def build(self, input_shape):
        for path in self.paths:
            build_chain(path, input_shape)
        if self.A is not None:
            self.A.build(self._concatenated(input_shape))

    def compute_output_shape(self, input_shape):
        shape = self._concatenated(input_shape)
        return shape if self.A is None else self.A.compute_output_shape(shape)

    def call(self, x, i=0):
        x = ops.concatenate([_follow(path, x, i) for path in self.paths], axis=-1)
        return x if self.A is None else self.A(x, i=i)

    def _concatenated(self, shape):
        shapes = []
        for path in self.paths:
            end = shape
            for layer in path:
                end = layer.compute_output_shape(end)
            shapes.append(end)
        return *shapes[0][:-1], sum(end[-1] for end in shapes)


@serializable
class InceptionStem(keras.layers.Layer):
    """`Inception` layers without A, one behind the other: (N, H, W, c) -> (N, H', W', c').

    Args:
        parts: the paths of each.
        activation: sigma.
        init: a key of `conv.INITIALIZERS`.

    Example:
        >>> tuple(InceptionStem(((((4, 3, 2),),), ("pool", ((6, 3, 2),))))(ops.ones((1, 15, 15, 3))).shape)
        (1, 3, 3, 10)
    """

    def __init__(self, parts, *, activation="relu", init="he_fan_out", name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        options = {"activation": activation, "init": init, "dtype": self.dtype_policy}
        self.parts = [Inception(paths, name=f"{self.name}{n}", **options) for n, paths in enumerate(parts, start=1)]

    def build(self, input_shape):
        build_chain(self.parts, input_shape)

    def compute_output_shape(self, input_shape):
        for part in self.parts:
            input_shape = part.compute_output_shape(input_shape)
        return input_shape

    def call(self, x):
        for part in self.parts:
            x = part(x)
        return x


@serializable
class SharedConv(keras.layers.Layer):
    """s_i K x: a convolution and, for each of its uses i, a norm with sigma.

    Args:
        filters, kernel_size: as `Conv`.
        strides: None for stride 1 with zero padding; else the stride, without padding.
        sharing: table use -> kernel (see `sharing`).
        activation: sigma.
        init: a key of `conv.INITIALIZERS`.

    Example:
        >>> tuple(SharedConv(4, 3, 2, sharing=(0, 0))(ops.ones((1, 9, 9, 3)), i=1).shape)
        (1, 4, 4, 4)
    """

    def __init__(
        self, filters, kernel_size, strides=None, *, sharing, activation=None, init="he_fan_out", name=None, dtype=None
    ):
        super().__init__(name=name, dtype=dtype)
        self.sharing = sharing
        count = max(sharing) + 1
        options = {"strides": strides or 1, "padded": strides is None, "init": init, "dtype": self.dtype_policy}
        names = [f"{self.name}_{k}" for k in range(count)] if count > 1 else [self.name]
        self.K = [Conv(filters, kernel_size, name=n, **options) for n in names]
        self.s = [
            Norm(activation, foldable=sharing.count(k) == 1, name=f"s{i}", dtype=self.dtype_policy)
            for i, k in enumerate(sharing)
        ]

    def build(self, input_shape):
        for conv in self.K:
            conv.build(input_shape)
        for norm in self.s:
            norm.build(self.compute_output_shape(input_shape))

    def compute_output_shape(self, input_shape):
        return self.K[0].compute_output_shape(input_shape)

    def call(self, x, i=0):
        return self.s[i](self.K[self.sharing[i]](x))


def _path(path, name, options):
    if path == POOL:
        return [keras.layers.MaxPooling2D(3, 2, data_format="channels_last", dtype=options["dtype"])]
    return [SharedConv(*K, name=f"{name}{q}", **options) for q, K in enumerate(path, start=1)]


def _follow(path, x, i):
    for layer in path:
        x = layer(x, i=i) if isinstance(layer, SharedConv) else layer(x)
    return x
