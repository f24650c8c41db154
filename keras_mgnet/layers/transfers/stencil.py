"""Multigrid transfers with fixed stencils: the same stencil at all points, or one stencil for each coarse point."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mgnet.annotations import DType, Shape, Tensor
from keras_mgnet.layers.operators.stencil import Divided, by_offset, offsets
from keras_mgnet.layers.operators.strided import Halves, interpolate, restrict
from keras_mgnet.serialization import serializable


@serializable
class StencilTransfer(Divided):
    """Transfers between two grids of a multigrid cycle with fixed stencils on each channel: R on the way down, P on the way up.

    Call the layer like `CycleTransfer`. `transfer(r)` maps (N, 2 m + 1, 2 m + 1, c) to (N, m, m, c). `transfer(r, e)` maps the
    correction e of the coarse grid to the grid of r. The coarse point j is at the fine point 2 j + 1, so the zero boundary is at
    the same place on both grids.

    Args:
        R: kernel of the restriction: (3, 3), or (3, 1) to halve only the rows, or (1, 3) to halve only the columns.
        P: kernel of the interpolation, of the same shape; None for P = R^T.
        divisor: divisor of both kernels.

    Example:
        >>> transfer, r = StencilTransfer([[1, 2, 1], [2, 4, 2], [1, 2, 1]], divisor=4), ops.ones((1, 7, 7, 1))
        >>> e = transfer(r)
        >>> float(e[0, 0, 0, 0]), tuple(transfer(r, e).shape)
        (4.0, (1, 7, 7, 1))
    """

    def __init__(
        self, R: Any, P: Any = None, divisor: float | None = 1.0, *, name: str | None = None, dtype: DType = None
    ) -> None:
        super().__init__(divisor, name, dtype)
        self.R, self.P = offsets(R), offsets(R if P is None else P)
        self.halves = _halves(np.shape(R))

    def build(self, r_shape: Shape, e_shape: Shape | None = None) -> None:
        super().build(r_shape)

    def compute_output_shape(self, r_shape: Shape, e_shape: Shape | None = None) -> Shape:
        return _coarser(r_shape, self.halves) if e_shape is None else tuple(r_shape)

    def call(self, r: Tensor, e: Tensor | None = None) -> Tensor:
        return self.divided(restrict(r, self.R, self.halves) if e is None else interpolate(e, self.P, self.halves))


def _halves(size: Sequence[int]) -> Halves:
    """Returns which axes a transfer halves, from the size of its kernel."""
    if tuple(size) not in ((3, 3), (3, 1), (1, 3)):
        raise ValueError(f"expected a kernel of size (3, 3), (3, 1) or (1, 3). Received: size {tuple(size)}")
    return size[0] > 1, size[1] > 1


def _coarser(shape: Shape, halves: Halves) -> Shape:
    n, h, w, c = shape
    return n, h // 2 if halves[0] else h, w // 2 if halves[1] else w, c


@serializable
class StencilFieldTransfer(keras.layers.Layer):
    """Transfers between two grids of a multigrid cycle with its own stencil P at each coarse point, and R = P^T.

    Call the layer like `StencilTransfer`. P[x, y, d, e] is the weight of the coarse point (x, y) in the fine point that is
    (d - 1, e - 1) from it. The stencils are initially zero and are not trained. `kernel.assign` sets them, and files store them.

    Args:
        size: (3, 3), or (3, 1) to halve only the rows, or (1, 3) to halve only the columns.

    Example:
        >>> transfer, r = StencilFieldTransfer(), ops.ones((1, 3, 3, 1))
        >>> transfer.build(r.shape)
        >>> _ = transfer.kernel.assign([[[[0.25, 0.5, 0.25], [0.5, 1, 0.5], [0.25, 0.5, 0.25]]]])
        >>> float(transfer(r)[0, 0, 0, 0]), float(transfer(r, transfer(r))[0, 0, 0, 0])
        (4.0, 1.0)
    """

    def __init__(self, size: tuple[int, int] = (3, 3), *, name: str | None = None, dtype: DType = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.size, self.halves = tuple(size), _halves(size)

    def build(self, r_shape: Shape, e_shape: Shape | None = None) -> None:
        shape = (*_coarser(r_shape, self.halves)[1:3], *self.size)
        self.kernel = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="kernel")

    def compute_output_shape(self, r_shape: Shape, e_shape: Shape | None = None) -> Shape:
        return _coarser(r_shape, self.halves) if e_shape is None else tuple(r_shape)

    def call(self, r: Tensor, e: Tensor | None = None) -> Tensor:
        weights = by_offset(ops.convert_to_tensor(self.kernel))
        return restrict(r, weights, self.halves) if e is None else interpolate(e, weights, self.halves)
