"""Line relaxation: tridiagonal systems along the lines of a grid, solved by cyclic reduction."""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_mgnet.annotations import DType, Shape, Tensor
from keras_mgnet.errors import check_known
from keras_mgnet.layers.operators.stencil import by_offset
from keras_mgnet.layers.operators.strided import interpolate, restrict
from keras_mgnet.serialization import serializable

AXES = ("x", "y")


class Reduction(NamedTuple):
    """One step of cyclic reduction: T^{-1} r = D r + P S^{-1} R r, where S couples every second unknown."""

    R: np.ndarray  # (lines, m, 3)
    P: np.ndarray  # (lines, m, 3)
    D: np.ndarray  # (lines, 2 m + 1), zero at the unknowns of S


def cyclic_reduction(T: np.ndarray) -> tuple[list[Reduction], np.ndarray]:
    """Returns the steps that solve tridiagonal systems, and the inverses (lines, 1) of the last systems, which have one unknown.

    Each step solves the equations of the unknowns 0, 2, 4, ... for these unknowns and inserts them into the other equations. A
    step is a two-grid cycle with an interpolation that is exact in one dimension.

    Args:
        T: (lines, n, 3) with n = 2^k - 1, the coefficients of the previous, the same and the next unknown.
    """
    steps = []
    while T.shape[1] > 1:
        even, odd = T[:, ::2], T[:, 1::2]
        left, right = even[:, :-1], even[:, 1:]
        one = np.ones(odd.shape[:2])
        R = np.stack([-odd[..., 0] / left[..., 1], one, -odd[..., 2] / right[..., 1]], -1)
        P = np.stack([-left[..., 2] / left[..., 1], one, -right[..., 0] / right[..., 1]], -1)
        D = np.zeros(T.shape[:2])
        D[:, ::2] = 1 / even[..., 1]
        steps.append(Reduction(R, P, D))
        same = odd[..., 1] + R[..., 0] * left[..., 2] + R[..., 2] * right[..., 0]
        T = np.stack([R[..., 0] * left[..., 0], same, R[..., 2] * right[..., 2]], -1)
    return steps, 1 / T[..., 1]


@serializable
class LineSolver(keras.layers.Layer):
    """Solves for all unknowns of a line at once: the smoother B of line relaxation, B r = T^{-1} r.

    T is the part of A that couples the points of a line. `assign` sets A. Cyclic reduction solves for the points of a line in
    log2(n) steps, for all lines and all images at once.

    Args:
        axis: direction of the lines: "x" for the rows of the grid, "y" for its columns. A line has 2^k - 1 points.
        colour: 0 for every second line from the first on, 1 for the other lines. Other lines get zero. None for all lines.
        shared: whether all lines have the same T.

    Example:
        >>> lines = LineSolver("x", shared=True)
        >>> lines.build((None, 2, 3, 1))
        >>> lines.assign(np.array([[0, -1, 0], [-1, 2, -1], [0, -1, 0]]))
        >>> ops.convert_to_numpy(lines(ops.ones((1, 2, 3, 1))))[0, 1, :, 0].tolist()
        [1.5, 2.0, 1.5]
    """

    def __init__(
        self,
        axis: str,
        colour: int | None = None,
        shared: bool = False,
        *,
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        check_known("axis", axis, AXES)
        self.along_x, self.colour, self.shared = axis == "x", colour, shared

    def build(self, input_shape: Shape) -> None:
        _, h, w, _ = input_shape
        count, n = (h, w) if self.along_x else (w, h)
        if n & (n + 1):
            raise ValueError(f"expected 2^k - 1 points along {'x' if self.along_x else 'y'}. Received: {n}")
        lines = 1 if self.shared else len(range(count)[self._lines])
        self.reductions = []
        while n > 1:
            sizes = ((lines, n // 2, 3), (lines, n // 2, 3), (lines, n))
            self.reductions.append(tuple(self._weight(name, size) for name, size in zip("RPD", sizes, strict=True)))
            n //= 2
        self.last = self._weight("last", (lines, 1))

    def _weight(self, name: str, size: tuple[int, ...]) -> keras.Variable:
        lines, n, *kernel = size
        k = kernel[0] if kernel else 1
        shape = (lines, n, 1, k) if self.along_x else (n, lines, k, 1)
        return self.add_weight(shape=shape, initializer="zeros", trainable=False, name=f"{name}{n}")

    @property
    def _lines(self) -> slice:
        return slice(None) if self.colour is None else slice(self.colour, None, 2)

    def assign(self, A: np.ndarray) -> None:
        """Sets A: a stencil (3, 3) if all lines have the same T, or the stencil at each point, (h, w, 3, 3)."""
        n = self.reductions[0][2].shape[1 if self.along_x else 0] if self.reductions else 1
        if A.ndim == 2:
            A = np.broadcast_to(A, (1, n, 3, 3) if self.along_x else (n, 1, 3, 3))
        T = A[:, :, 1, :] if self.along_x else np.swapaxes(A[:, :, :, 1], 0, 1)
        T = np.array(T if self.shared else T[self._lines])
        T[:, 0, 0], T[:, -1, 2] = 0, 0
        steps, last = cyclic_reduction(T)
        for variables, values in zip([*self.reductions, (self.last,)], [*steps, (last,)], strict=True):
            for variable, value in zip(variables, values, strict=True):
                value = value if self.along_x else np.swapaxes(value, 0, 1)
                variable.assign(value.reshape(variable.shape))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def call(self, r: Tensor) -> Tensor:
        across = 1 if self.along_x else 2
        chosen = (slice(None),) * across + (self._lines,)
        x = self._solved(r[chosen], self.reductions)
        return x if self.colour is None else self._spread(x, across, r.shape[across])

    def _solved(self, r: Tensor, reductions: Sequence[tuple[np.ndarray, ...]]) -> Tensor:
        if not reductions:
            return r * ops.convert_to_tensor(self.last)[None, :, :, 0]
        R, P, D = map(ops.convert_to_tensor, reductions[0])
        halves = (not self.along_x, self.along_x)
        x = self._solved(restrict(r, by_offset(R), halves), reductions[1:])
        return r * D[None, :, :, 0] + interpolate(x, by_offset(P), halves)

    def _spread(self, x: Tensor, axis: int, size: int) -> Tensor:
        """Puts the lines of the colour back to their places, among lines of zeros."""
        shape = list(x.shape)
        zeros = ops.zeros_like(x)
        both = ops.stack([x, zeros] if self.colour == 0 else [zeros, x], axis=axis + 1)
        shape[0], shape[axis] = -1, 2 * shape[axis]
        both = ops.reshape(both, shape)
        missing = size - shape[axis]
        if missing > 0:
            return ops.pad(both, [(0, missing) if a == axis else (0, 0) for a in range(4)])
        return both[(slice(None),) * axis + (slice(0, size),)]
