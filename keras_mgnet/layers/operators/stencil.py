"""Fixed stencils of numerical analysis, applied to each channel as sums of shifted grids.

On a CPU such a sum is many times faster than a convolution with one channel, because convolution routines are made for many
channels.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mgnet.annotations import DType, Shape, Tensor
from keras_mgnet.layers import steps
from keras_mgnet.layers.operators.families import build_all
from keras_mgnet.serialization import serializable


def shifted_sum(x: Tensor, weights: Mapping[tuple[int, int], Any]) -> Tensor:
    """Applies a zero-padded stencil: returns sum_{d,e} weights[d, e] x(i + d, j + e) at each point (i, j).

    Args:
        x: (N, H, W, c).
        weights: maps an offset (d, e) to a number, or to a tensor that can be multiplied with x. Missing offsets count as zero.
    """
    _, h, w, _ = x.shape
    rows, columns = (max(abs(offset[axis]) for offset in weights) for axis in (0, 1))
    x = ops.pad(x, ((0, 0), (rows, rows), (columns, columns), (0, 0)))
    parts = {(d, e): x[:, rows + d : rows + d + h, columns + e : columns + e + w] for d, e in weights}
    return steps.superpose([weight * parts[offset] for offset, weight in weights.items()])


def by_offset(field: Tensor) -> dict[tuple[int, int], Tensor]:
    """Returns the weights of `shifted_sum` for a stencil at each point, given as a tensor (H, W, k_h, k_w).

    The sizes k_h and k_w are odd. A tensor (N, H, W, k_h, k_w) has another field for each of N grids.
    """
    *_, height, width = field.shape
    field = field[None] if len(field.shape) == 4 else field
    places = [(i, j) for i in range(height) for j in range(width)]
    return {(i - height // 2, j - width // 2): field[:, :, :, i, j, None] for i, j in places}


def offsets(kernel: Any) -> dict[tuple[int, int], float]:
    """Returns the non-zero entries of a kernel (k_h, k_w), both odd, by their offset from the centre.

    Example:
        >>> offsets([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])[0, 0]
        4.0
    """
    kernel = np.asarray(kernel, "float64")
    if kernel.ndim != 2 or not all(size % 2 for size in kernel.shape) or not np.isfinite(kernel).all():
        raise ValueError(f"expected a kernel of finite numbers with odd height and width. Received: {kernel.tolist()}")
    if not kernel.any():
        raise ValueError(f"expected a kernel that is not zero. Received: {kernel.tolist()}")
    centre = (kernel.shape[0] // 2, kernel.shape[1] // 2)
    return {(int(i) - centre[0], int(j) - centre[1]): float(kernel[i, j]) for i, j in np.argwhere(kernel)}


class Divided(keras.layers.Layer):
    """Base class of fixed operators K / q. The divisor q is a variable that is not trained.

    XLA recomputes a sum for each point that reads the sum, so a chain of m five-point stencils would cost 5^m. XLA does not
    recompute a division by a variable. This is why q exists even where q = 1. The division makes a V-cycle five times as fast.
    """

    def __init__(self, divisor: float | None, name: str | None, dtype: DType) -> None:
        super().__init__(name=name, dtype=dtype)
        self.divisor = divisor

    def build(self, input_shape: Shape) -> None:
        if self.divisor is not None:
            self.q = self.add_weight(shape=(), initializer=self._start, trainable=False, name="q")

    def _start(self, shape: Shape, dtype: DType) -> Tensor:
        return ops.full(shape, self.divisor, dtype)  # Keras' Constant rounds to float32

    def divided(self, x: Tensor) -> Tensor:
        """Returns x / q, or x itself if there is no divisor."""
        return x if self.divisor is None else x / ops.cast(self.q, x.dtype)


@serializable
class Stencil(Divided):
    """Applies a constant stencil with zero padding to each channel, K * u / q: an operator A or a smoother B.

    Args:
        kernel: K, (k_h, k_w), both odd.
        divisor: q. None leaves the division out, for a kernel that is cheap to apply twice, such as a 1x1 kernel.

    Example:
        >>> laplacian = Stencil([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])
        >>> ops.convert_to_numpy(laplacian(ops.ones((1, 3, 3, 1))))[0, :, :, 0].tolist()
        [[2.0, 1.0, 2.0], [1.0, 0.0, 1.0], [2.0, 1.0, 2.0]]
    """

    def __init__(
        self, kernel: Any, divisor: float | None = 1.0, *, name: str | None = None, dtype: DType = None
    ) -> None:
        super().__init__(divisor, name, dtype)
        self.weights_by_offset = offsets(kernel)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def call(self, u: Tensor) -> Tensor:
        return self.divided(shifted_sum(u, self.weights_by_offset))


@serializable
class StencilField(Divided):
    """Applies a different stencil at each point (variable coefficients): sum_{d,e} K[x, y, d, e] u(x + d, y + e).

    The stencils K are initially zero and are not trained. `kernel.assign` sets K, and files store K alone.

    Args:
        size: k_h and k_w, odd.
        batch: number of grids in a batch, each with stencils of its own; None for one field of stencils for all grids.

    Example:
        >>> double = StencilField(1)
        >>> double.build((None, 3, 3, 1))
        >>> _ = double.kernel.assign(2 * ops.ones((3, 3, 1, 1)))
        >>> float(double(ops.ones((1, 3, 3, 1)))[0, 0, 0, 0])
        2.0
    """

    def __init__(
        self, size: int = 3, *, batch: int | None = None, name: str | None = None, dtype: DType = None
    ) -> None:
        super().__init__(1.0, name, dtype)
        self.size, self.batch = size, batch

    def build(self, input_shape: Shape) -> None:
        _, h, w, _ = input_shape
        shape = (*(() if self.batch is None else (self.batch,)), h, w, self.size, self.size)
        self.kernel = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="kernel")
        super().build(input_shape)

    def save_own_variables(self, store: Any) -> None:
        store["0"] = ops.convert_to_numpy(self.kernel)

    def load_own_variables(self, store: Any) -> None:
        self.kernel.assign(store["0"])

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def call(self, u: Tensor) -> Tensor:
        return self.divided(shifted_sum(u, by_offset(ops.convert_to_tensor(self.kernel))))


@serializable
class Inverse(keras.layers.Layer):
    """Solves A u = f exactly on one small grid by the full inverse matrix. The layer is the smoother B of the coarsest grid.

    `matrix.assign` sets the inverse, (H W, H W). The matrix is not trained.

    Example:
        >>> halves = Inverse()
        >>> halves.build((None, 1, 1, 1))
        >>> _ = halves.matrix.assign([[0.5]])
        >>> float(halves(ops.ones((1, 1, 1, 1)))[0, 0, 0, 0])
        0.5
    """

    def __init__(self, *, name: str | None = None, dtype: DType = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def build(self, input_shape: Shape) -> None:
        size = input_shape[1] * input_shape[2]
        self.matrix = self.add_weight(shape=(size, size), initializer="zeros", trainable=False, name="matrix")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def call(self, f: Tensor) -> Tensor:
        _, h, w, c = f.shape
        points = ops.reshape(ops.transpose(f, (0, 3, 1, 2)), (-1, h * w))
        solved = ops.reshape(points @ ops.transpose(self.matrix), (-1, c, h, w))
        return ops.transpose(solved, (0, 2, 3, 1))


@serializable
class Residual(keras.layers.Layer):
    """Returns the residual r = f - A * u on the finest grid, where a cycle begins.

    Args:
        A: the operator, a layer.

    Example:
        >>> residual = Residual(Stencil([[1.0]]))
        >>> float(residual(ops.ones((1, 1, 1, 1)), ops.ones((1, 1, 1, 1)))[0, 0, 0, 0])
        0.0
    """

    def __init__(self, A: keras.layers.Layer, *, name: str | None = None, dtype: DType = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.A = A

    def build(self, f_shape: Shape, u_shape: Shape) -> None:
        build_all(u_shape, [self.A])

    def compute_output_shape(self, f_shape: Shape, u_shape: Shape) -> Shape:
        return f_shape

    def call(self, f: Tensor, u: Tensor) -> Tensor:
        return steps.residual(f, u, self.A)
