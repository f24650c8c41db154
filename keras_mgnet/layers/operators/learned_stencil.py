"""Learned smoothers B of multigrid. They are linear, so with any weights the solution stays a fixed point of the cycle."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops

from keras_mgnet.annotations import DType, Shape, Tensor
from keras_mgnet.errors import check_known
from keras_mgnet.layers import steps
from keras_mgnet.layers.operators.stencil import by_offset, shifted_sum
from keras_mgnet.serialization import serializable

SHAPES = {
    "point": ((0, 0),),
    "column": ((-1, 0), (0, 0), (1, 0)),
    "row": ((0, -1), (0, 0), (0, 1)),
    "cross": ((-1, 0), (0, -1), (0, 0), (0, 1), (1, 0)),
    "square": tuple((d, e) for d in (-1, 0, 1) for e in (-1, 0, 1)),
}


def taps(kernel: str) -> list[tuple[int, int]]:
    """Returns the offsets (row, column) of a kernel from its centre.

    Args:
        kernel: a shape of `SHAPES`, or a shape with a dilation, such as "column:4".

    Raises:
        ValueError: if the shape is unknown, or the dilation is not a positive integer.

    Example:
        >>> taps("column:4")
        [(-4, 0), (0, 0), (4, 0)]
    """
    shape, _, dilation = kernel.partition(":")
    check_known("kernel", shape, SHAPES)
    if not (dilation or "1").isdecimal() or int(dilation or 1) < 1:
        raise ValueError(f"expected a dilation such as column:2, an integer >= 1. Received: {kernel!r}")
    return [(d * int(dilation or 1), e * int(dilation or 1)) for d, e in SHAPES[shape]]


def odd_extension(x: Tensor, reach: int, axis: int) -> Tensor:
    """Extends x along an axis by `reach` values on both sides: zero on the boundary, then x mirrored with the opposite sign.

    With this extension, the eigenvectors of symmetric stencils of any size are sine functions, like those of the Laplacian.

    Example:
        >>> ops.convert_to_numpy(odd_extension(ops.ones((1, 2)), 3, 1))[0].tolist()
        [-1.0, -1.0, 0.0, 1.0, 1.0, 0.0, -1.0, -1.0]
    """
    if reach == 0:
        return x
    if reach == 1:
        return ops.pad(x, [(1, 1) if a == axis else (0, 0) for a in range(len(x.shape))])
    n = x.shape[axis]
    place = np.arange(1 - reach, n + reach + 1) % (2 * (n + 1))  # 0 and n + 1 are the boundary
    index = np.clip(np.where(place <= n, place - 1, 2 * n + 1 - place), 0, n - 1)
    sign = np.where(place % (n + 1) == 0, 0, np.where(place <= n, 1, -1))
    shape = [-1 if a == axis else 1 for a in range(len(x.shape))]
    return ops.take(x, index, axis=axis) * ops.cast(sign.reshape(shape), x.dtype)


@serializable
class KernelChain(keras.layers.Layer):
    """A learned smoother, a sequence of linear convolutions on one channel: B * r = scale K_m * ... * K_1 * r.

    The convolutions have no bias, and no activation follows them. Dilated kernels cover a large neighbourhood at low cost. For
    example, columns of dilation 1, 2, 4 and so on are the factors of cyclic reduction, and can learn a line relaxation.

    Initially B = scale * initial * I, which is weighted Jacobi if scale = 1 / diagonal of A. With several channels, small random
    numbers are added to the initial kernels.

    Args:
        kernels: the shapes of K_1, ..., K_m, such as "cross" or "column:2", see `taps`.
        channels: number of channels between the convolutions.
        scale: a fixed factor.
        initial: factor of the initial K_1.

    Example:
        >>> B = KernelChain(("cross", "column:2"), scale=0.25, initial=0.8)
        >>> float(B(ops.ones((1, 7, 7, 1)))[0, 3, 3, 0]), B.cost
        (0.2..., 8)
    """

    def __init__(
        self,
        kernels: Sequence[str],
        channels: int = 1,
        *,
        scale: float = 1.0,
        initial: float = 1.0,
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.taps = [taps(kernel) for kernel in kernels]
        self.widths = (1, *(channels,) * (len(kernels) - 1), 1)
        self.scale, self.initial = scale, initial

    @property
    def cost(self) -> int:
        """Multiply-adds per point."""
        return sum(len(offsets) * self.widths[i] * self.widths[i + 1] for i, offsets in enumerate(self.taps))

    def build(self, input_shape: Shape) -> None:
        self.kernels = [
            self.add_weight(
                shape=(len(offsets), *self.widths[i : i + 2]),
                initializer=self._initializer(i, offsets.index((0, 0))),
                name=f"K{i + 1}",
            )
            for i, offsets in enumerate(self.taps)
        ]

    def _initializer(self, i: int, centre: int) -> Callable[..., Tensor]:
        def values(shape: tuple[int, ...], dtype: DType) -> Tensor:
            kernel = np.zeros(shape)
            if max(shape[1:]) > 1:  # equal channels would stay equal
                kernel += 0.02 * np.random.default_rng(i).normal(size=shape)
            kernel[centre] += np.eye(shape[1], shape[2]) if shape[1] == shape[2] else 1 / shape[1]
            return ops.convert_to_tensor(kernel * (self.initial if i == 0 else 1.0), dtype=dtype)

        return values

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def call(self, r: Tensor) -> Tensor:
        for offsets, kernel in zip(self.taps, self.kernels, strict=True):
            r = _convolved(r, offsets, ops.convert_to_tensor(kernel))
        return self.scale * r


def _convolved(x: Tensor, offsets: Sequence[tuple[int, int]], kernel: Tensor) -> Tensor:
    """Returns sum_t kernel[t]^T x(i + offset_t) at each point i. The values beyond the edges come from `odd_extension`.

    x is (N, H, W, c_in) and kernel (taps, c_in, c_out).
    """
    _, h, w, channels = x.shape
    rows, columns = (max(abs(offset[axis]) for offset in offsets) for axis in (0, 1))
    x = odd_extension(odd_extension(x, rows, 1), columns, 2)
    parts = [x[:, rows + d : rows + d + h, columns + e : columns + e + w] for d, e in offsets]
    terms = [part * kernel[t, 0] if channels == 1 else part @ kernel[t] for t, part in enumerate(parts)]
    return steps.superpose(terms)


@serializable
class CoefficientStencil(keras.layers.Layer):
    """A learned smoother with a different 3x3 stencil at each point: B r = S D^{-1} r, where D is the diagonal of A.

    A small network computes the stencils S from the coefficients of A, divided by D. S is 0.8 I + the output of the network. S
    does not depend on r, so B is linear. `assign` sets the coefficients of A. `field` returns S, for a `StencilField`, which
    needs no network.

    Args:
        channels: number of channels between the two convolutions of the network, 3x3 and 1x1, with relu between them.
        net: the network of another grid, to share its weights; None for a new network. Saved models have a copy on each grid.

    Example:
        >>> B = CoefficientStencil()
        >>> _ = B(ops.ones((1, 3, 3, 1)))
        >>> B.assign(np.broadcast_to([[0, -1, 0], [-1, 4, -1], [0, -1, 0]], (3, 3, 3, 3)))
        >>> float(B(ops.ones((1, 3, 3, 1)))[0, 1, 1, 0])
        0.2...
    """

    cost = 9

    def __init__(
        self, channels: int = 8, *, net: keras.Sequential | None = None, name: str | None = None, dtype: DType = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.net = stencil_net(channels, self.dtype_policy) if net is None else net

    def build(self, input_shape: Shape) -> None:
        _, h, w, _ = input_shape
        self.ratios = self.add_weight(shape=(1, h, w, 9), initializer="zeros", trainable=False, name="ratios")
        self.inverse = self.add_weight(shape=(h, w), initializer="ones", trainable=False, name="inverse_diagonal")
        if not self.net.built:
            self.net.build((1, h, w, 9))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def assign(self, A: np.ndarray) -> None:
        """Sets the coefficients of A: the 3x3 stencil at each point, (H, W, 3, 3)."""
        D = A[:, :, 1:2, 1:2]
        self.ratios.assign((A / D).reshape(1, *A.shape[:2], 9))
        self.inverse.assign(1 / D[:, :, 0, 0])

    def field(self) -> Tensor:
        """Returns the stencils S, (H, W, 3, 3)."""
        identity = 0.8 * np.eye(9)[4]
        S = self.net(ops.convert_to_tensor(self.ratios))[0] + ops.cast(identity, self.compute_dtype)
        return ops.reshape(S, (*S.shape[:2], 3, 3))

    def call(self, r: Tensor) -> Tensor:
        r = r * ops.convert_to_tensor(self.inverse)[None, :, :, None]
        return shifted_sum(r, by_offset(self.field()))


def stencil_net(channels: int, dtype: DType = None) -> keras.Sequential:
    """Returns the network of `CoefficientStencil`. The initial output of the network is zero."""
    conv = keras.layers.Conv2D
    hidden = conv(channels, 3, padding="same", activation="relu", name="hidden", dtype=dtype)
    return keras.Sequential([hidden, conv(9, 1, kernel_initializer="zeros", name="stencil", dtype=dtype)], name="net")
