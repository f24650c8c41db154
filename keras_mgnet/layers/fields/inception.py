"""Parallel paths of convolutions: the blocks, the stem and the reductions of the Very Deep PolyNet."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mgnet.annotations import Activation, DType, Shape, Tensor
from keras_mgnet.layers.fields.chain import Chain
from keras_mgnet.layers.fields.field import Field
from keras_mgnet.layers.operators.families import Kernel, apply, build_chain
from keras_mgnet.serialization import serializable

POOL = "pool"


@serializable
class Inception(Field):
    """Parallel paths of convolutions: F(x) = n A [p_1(x), p_2(x), ...] with paths p_j = s K ... s K.

    K is a convolution, s a norm followed by sigma, [ ] the concatenation, A a 1x1 convolution and n a norm. Maps (N, H, W, c) to
    (N, H', W', channels). `uses` counts how often the network applies F. Each application has its own norms and its own A.

    Args:
        paths: each path is a sequence of convolutions K, or "pool" for 3x3 max pooling with stride 2 and without padding. K is
            (filters, k) with zero padding, or (filters, k, stride) without padding, where H' = (H - k) // stride + 1. The kernel
            size k is an integer or (k_h, k_w).
        channels: output channels of A; None leaves n A out, so that F(x) is the concatenation.
        uses: number of applications. The argument i of the call is the index of the application.
        sharing: for each application an index. Applications with the same index share the kernels of all paths. By default each
            application has its own kernels.
        activation, norm, init: as in `Chain`.

    Example:
        >>> F = Inception((((2, 1), (3, (1, 7)), (3, (7, 1))), ((4, 1),)), 8)
        >>> tuple(F(ops.ones((1, 9, 9, 8))).shape), tuple(Inception(("pool", ((4, 3, 2),)))(ops.ones((1, 9, 9, 8))).shape)
        ((1, 9, 9, 8), (1, 4, 4, 12))
    """

    def __init__(
        self,
        paths: Sequence[Any],
        channels: int | None = None,
        *,
        uses: int = 1,
        sharing: Sequence[int] | None = None,
        activation: Activation = "relu",
        norm: str | None = "batch",
        init: str = "he_fan_out",
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.uses = uses
        options = {"uses": uses, "activation": activation, "norm": norm, "init": init, "dtype": self.dtype_policy}
        self.paths = [self._made(path, f"{self.name}_{p}", sharing, options) for p, path in enumerate(paths, start=1)]
        self.A = None if channels is None else Chain(((channels, 1),), (None, "norm"), name="A", **options)

    def _made(self, path: Any, name: str, sharing: Sequence[int] | None, options: dict[str, Any]) -> Any:
        if path == POOL:
            return keras.layers.MaxPooling2D(3, 2, data_format="channels_last", name=name, dtype=self.dtype_policy)
        kernels = [Kernel(*K)._replace(padded=len(K) == 2) for K in path]
        names = [f"{name}{q}" for q in range(1, len(kernels) + 1)]
        tables = None if sharing is None else (sharing,) * len(kernels)
        places = (None, *("sigma",) * len(kernels))
        return Chain(kernels, places, names=names, sharing=tables, name=name, **options)

    def build(self, input_shape: Shape) -> None:
        for path in self.paths:
            path.build(input_shape)
        if self.A is not None:
            self.A.build(self._concatenated(input_shape))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape = self._concatenated(input_shape)
        return shape if self.A is None else self.A.compute_output_shape(shape)

    def call(self, x: Tensor, i: int = 0) -> Tensor:
        x = ops.concatenate([path(x, i=i) if isinstance(path, Chain) else path(x) for path in self.paths], axis=-1)
        return x if self.A is None else self.A(x, i=i)

    def _concatenated(self, shape: Shape) -> Shape:
        ends = [path.compute_output_shape(shape) for path in self.paths]
        return *ends[0][:-1], sum(end[-1] for end in ends)


@serializable
class InceptionStem(keras.layers.Layer):
    """A sequence of `Inception` layers without the 1x1 convolution A: (N, H, W, c) -> (N, H', W', c').

    Args:
        parts: the argument `paths` of each `Inception` layer.
        activation, norm, init: as in `Chain`.

    Example:
        >>> tuple(InceptionStem(((((4, 3, 2),),), ("pool", ((6, 3, 2),))))(ops.ones((1, 15, 15, 3))).shape)
        (1, 3, 3, 10)
    """

    def __init__(
        self,
        parts: Sequence[Any],
        *,
        activation: Activation = "relu",
        norm: str | None = "batch",
        init: str = "he_fan_out",
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        options = {"activation": activation, "norm": norm, "init": init, "dtype": self.dtype_policy}
        self.parts = [Inception(paths, name=f"{self.name}{n}", **options) for n, paths in enumerate(parts, start=1)]

    def build(self, input_shape: Shape) -> None:
        build_chain(self.parts, input_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        for part in self.parts:
            input_shape = part.compute_output_shape(input_shape)
        return input_shape

    def call(self, x: Tensor) -> Tensor:
        return apply(self.parts, x)
