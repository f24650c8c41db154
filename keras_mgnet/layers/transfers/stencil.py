"""Multigrid transfers with fixed stencils, between grids of 2 m + 1 and m points per side."""

from collections.abc import Mapping
from typing import Any

from keras import ops

from keras_mgnet.annotations import DType, Shape, Tensor
from keras_mgnet.layers import steps
from keras_mgnet.layers.operators.stencil import Divided, offsets, shifted_sum
from keras_mgnet.serialization import serializable


def restrict(x: Tensor, weights: Mapping[tuple[int, int], Any]) -> Tensor:
    """Restricts x by a stride-2 stencil without padding.

    Returns sum_{d,e} weights[d, e] x(2 i + 1 + d, 2 j + 1 + e) at each coarse point (i, j).

    Args:
        x: (N, 2 m + 1, 2 m + 1, c). The result is (N, m, m, c).
        weights: maps an offset (d, e) with |d|, |e| <= 1 to a number.
    """
    _, h, w, _ = x.shape
    terms = [weight * x[:, 1 + d : h - 1 + d : 2, 1 + e : w - 1 + e : 2] for (d, e), weight in weights.items()]
    return steps.superpose(terms)


def interpolate(e: Tensor, weights: Mapping[tuple[int, int], Any]) -> Tensor:
    """Applies the adjoint of `restrict` to e (N, m, m, c). Returns (N, 2 m + 1, 2 m + 1, c).

    The fine points form four grids: even or odd rows with even or odd columns. Each of these grids is a sum of shifted coarse
    grids. The function computes the four grids and interlaces them.
    """
    e = ops.pad(e, ((0, 0), (0, 1), (0, 1), (0, 0)))  # a row and a column of zeros, removed at the end
    _, m, n, c = e.shape
    rows = [ops.stack([_parity(e, weights, (a, b)) for b in (0, 1)], axis=3) for a in (0, 1)]
    x = ops.reshape(ops.stack(rows, axis=2), (-1, 2 * m, 2 * n, c))
    return x[:, :-1, :-1]


def _parity(e: Tensor, weights: Mapping[tuple[int, int], Any], parity: tuple[int, int]) -> Tensor:
    """Returns the values at the fine points (2 i + a, 2 j + b), (a, b) = `parity`. Coarse point j is at fine point 2 j + 1."""
    shifts = {tuple((p - 1 - d) / 2 for p, d in zip(parity, offset, strict=True)): w for offset, w in weights.items()}
    own = {(int(a), int(b)): weight for (a, b), weight in shifts.items() if a % 1 == b % 1 == 0}
    return shifted_sum(e, own) if own else ops.zeros_like(e)


@serializable
class StencilTransfer(Divided):
    """Transfers between two grids of a multigrid cycle with fixed stencils on each channel: R on the way down, P on the way up.

    Call the layer like `CycleTransfer`. `transfer(r)` maps (N, 2 m + 1, 2 m + 1, c) to (N, m, m, c). `transfer(r, e)` maps the
    correction e of the coarse grid to the grid of r. The coarse point j is at the fine point 2 j + 1, so the zero boundary is at
    the same place on both grids.

    Args:
        R: kernel of the restriction, (3, 3).
        P: kernel of the interpolation, (3, 3); None for P = R^T.
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

    def build(self, r_shape: Shape, e_shape: Shape | None = None) -> None:
        super().build(r_shape)

    def compute_output_shape(self, r_shape: Shape, e_shape: Shape | None = None) -> Shape:
        n, h, w, c = r_shape
        return (n, h // 2, w // 2, c) if e_shape is None else tuple(r_shape)

    def call(self, r: Tensor, e: Tensor | None = None) -> Tensor:
        return self.divided(restrict(r, self.R) if e is None else interpolate(e, self.P))
