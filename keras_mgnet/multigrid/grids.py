"""The grids of a solver: the operator A on each grid, and the layers made from it."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from keras_mgnet.errors import check_known
from keras_mgnet.layers import Inverse, Stencil, StencilField
from keras_mgnet.models.checks import is_integer
from keras_mgnet.multigrid.black_box import black_box
from keras_mgnet.multigrid.stencils import TRANSFERS, Transfer, galerkin, galerkin_field, real_array

LARGEST_INVERSE = 63  # points per side of a coarsest grid that is solved exactly: 126 MB
ROUND_OFF = 1e-13  # of the sum of a stencil, relative to its diagonal
COARSE = ("rediscretised", "galerkin")
COARSENING = ("full", "strong")
DOMINANT = (
    2.0  # how many times as strong the couplings along an axis must be, for semicoarsening to halve this axis alone
)
BLACK_BOX = "black_box"
CHOICES = (*TRANSFERS, BLACK_BOX)
Interpolation = Callable[[np.ndarray, tuple[bool, bool]], np.ndarray]  # as `black_box`


def grid_count(n: int) -> int:
    """Returns k for n = 2^k - 1, the number of grids down to a single point. Raises ValueError for any other n.

    Example:
        >>> grid_count(63)
        6
    """
    if not is_integer(n) or n < 1 or n & (n + 1):
        raise ValueError(
            "expected n = 2^k - 1 points per side of a square, such as 31, 63 or 127; interpolate other grids to one of these. "
            f"Received: n={n!r}"
        )
    return int(n).bit_length()


def neighbours(field: np.ndarray, outside: float) -> np.ndarray:
    """Returns the 3x3 values around each point of a field: (n, n) -> (n, n, 3, 3). Values beyond the edge are `outside`.

    Example:
        >>> neighbours(np.array([[1, 2], [3, 4]]), outside=0)[0, 0].tolist()
        [[0, 0, 0], [0, 1, 2], [0, 3, 4]]
    """
    return np.lib.stride_tricks.sliding_window_view(np.pad(field, 1, constant_values=outside), (3, 3))


class Grid(NamedTuple):
    """One grid of a solver."""

    A: np.ndarray  # a stencil (3, 3), one stencil per point (h, w, 3, 3), or those of N problems (N, h, w, 3, 3)
    shape: tuple[int, int]  # rows and columns of points
    transfer: Any  # the `Transfer` to the next coarser grid; None on the coarsest grid


def hierarchy(
    A,
    n: int,
    levels: int | None = None,
    transfer: str | Interpolation = "full_weighting",
    coarse: str = "rediscretised",
    coarsening: str = "full",
) -> list[Grid]:
    """Returns the grids of a solver, from fine to coarse. A is the operator on the first grid. Other arguments as in `solver`.

    With "galerkin" the operator of the next grid is R A P, with restriction R and interpolation P. With "rediscretised" the next
    grid has the same differential operator, discretised with the larger mesh size, see `rediscretised`.
    """
    A = checked(A, n)
    by_operator = transfer == BLACK_BOX or callable(transfer)
    if A.ndim == 5:
        if by_operator or coarsening == "strong":
            given = f"transfer={transfer!r}, coarsening={coarsening!r}"
            raise ValueError(f"expected the same transfer and full coarsening for all operators. Received: {given}")
        alike = zip(*(hierarchy(one, n, levels, transfer, coarse, coarsening) for one in A), strict=True)
        return [grids[0]._replace(A=np.stack([grid.A for grid in grids])) for grids in alike]
    check_known("coarse operator", coarse, COARSE)
    check_known("coarsening", coarsening, COARSENING)
    if not callable(transfer):
        check_known("transfer", transfer, CHOICES)
    if coarse == "rediscretised" and (coarsening == "strong" or by_operator):
        given = "coarsening='strong'" if coarsening == "strong" else f"transfer={transfer!r}"
        raise ValueError(f"expected coarse='galerkin' with {given}. Received: coarse={coarse!r}")
    if coarsening == "strong" and not (by_operator or transfer == "full_weighting"):
        raise ValueError(
            f"expected full_weighting or {BLACK_BOX} with coarsening='strong'. Received: transfer={transfer!r}"
        )
    if by_operator:
        A = np.broadcast_to(A, (n, n, 3, 3))
    depth = grid_count(n)
    if levels is not None and not (
        is_integer(levels) and 1 <= levels <= (depth if coarsening == "full" else 2 * depth)
    ):
        raise ValueError(f"expected 1 to {depth} levels for n={n}. Received: levels={levels!r}")
    grids: list[Grid] = []
    shape = (n, n)
    while shape != (1, 1) and len(grids) + 1 != levels:
        halves = (True, True) if coarsening == "full" else strong(A, shape)
        kernels = _kernels(A, transfer, halves)
        grids.append(Grid(A, shape, kernels))
        if coarse == "galerkin":
            A = (galerkin if A.ndim == 2 and kernels.P.ndim == 2 else galerkin_field)(A, kernels)
        else:
            A = rediscretised(A) if A.ndim == 2 else rediscretised_field(A)
        shape = (shape[0] // (1 + halves[0]), shape[1] // (1 + halves[1]))
    return [*grids, Grid(A, shape, None)]


def checked(A, n: int) -> np.ndarray:
    """Returns an operator as an array of float64. Raises ValueError if it is no operator on n x n points."""
    A = real_array("A", A)
    if A.ndim == 5 and len(A):
        return np.stack([checked(one, n) for one in A])
    field = (n, n, 3, 3)
    if A.shape not in ((3, 3), field) or not np.isfinite(A).all():
        raise ValueError(f"expected A to be a stencil (3, 3), or one per point, {field}. Received: shape {A.shape}")
    if not (diagonal(A) > 0).all():
        raise ValueError(f"expected a positive diagonal of A. Received: a smallest entry of {diagonal(A).min()}")
    if A.ndim == 4 and (np.abs(_of_ones(A)) <= ROUND_OFF * diagonal(A)).all():
        raise ValueError(
            "expected an invertible A, with u fixed at a boundary. Received: A * 1 = 0 at every point, as with Neumann boundaries"
        )
    return A


def _kernels(A: np.ndarray, transfer: str | Interpolation, halves: tuple[bool, bool]) -> Transfer:
    """Returns the stencils of a transfer from the grid of A that halves these axes."""
    if not isinstance(transfer, str) or transfer == BLACK_BOX:
        P = black_box(A, halves) if isinstance(transfer, str) else transfer(A, halves)
        return Transfer(P, P)
    if all(halves):
        return TRANSFERS[transfer]
    line = np.array([[1, 2, 1]]) / 2
    return Transfer(line.T, line.T) if halves[0] else Transfer(line, line)


def strong(A: np.ndarray, shape: tuple[int, int]) -> tuple[bool, bool]:
    """Returns the axes that semicoarsening halves: the one with couplings at least `DOMINANT` times as strong, or both.

    The couplings are the mean over the grid. An axis with a single point is never halved.

    Example:
        >>> strong(np.array([[0, -1, 0], [-0.1, 2.2, -0.1], [0, -1, 0]]), (7, 7))
        (True, False)
    """
    lumped = np.abs(A.sum(-1)), np.abs(A.sum(-2))
    rows, columns = (float(sums[..., ::2].mean()) for sums in lumped)
    return (
        shape[0] > 1 and (rows * DOMINANT > columns or shape[1] == 1),
        shape[1] > 1 and (columns * DOMINANT > rows or shape[0] == 1),
    )


def rediscretised(A: np.ndarray) -> np.ndarray:
    """Returns the stencil (3, 3) of the same differential operator on a grid with twice the mesh size h.

    Stencils are multiplied by h^2. So second derivatives keep their stencil, first derivatives (the odd part of the stencil) are
    doubled, and the term in u (the sum of the stencil) is four times as large.

    Example:
        >>> rediscretised(np.array([[0, -1, 0], [-1, 4 + 1, -1], [0, -1, 0]])).tolist()
        [[0.0, -1.0, 0.0], [-1.0, 8.0, -1.0], [0.0, -1.0, 0.0]]
    """
    coarse = A + (A - A[::-1, ::-1]) / 2
    coarse[1, 1] += 3 * _total(A)
    return coarse


def rediscretised_field(A: np.ndarray) -> np.ndarray:
    """Returns the stencils (m, n, 3, 3) of the same differential operator on a grid with twice the mesh size h.

    A coupling is the mean of both directions, which belongs to second derivatives, plus a drift, which belongs to first
    derivatives, see `rediscretised`. Two couplings lie between a coarse point and the next one. The coarse coupling is
    their harmonic mean, as for two resistors in series.

    Example:
        >>> A = np.zeros((3, 3, 3, 3))
        >>> A[:, :2, 1], A[:, 2, 1] = [-1, 2, -1], [-1, 4, -3]
        >>> rediscretised_field(A)[0, 0, 1].tolist()
        [-1.0, 2.5, -1.5]
    """
    here = A[1::2, 1::2]
    coarse = np.zeros_like(here)
    for i, j in itertools.product(range(3), repeat=2):
        if (i, j) != (1, 1):
            there = A[i : len(A) - 2 + i : 2, j : A.shape[1] - 2 + j : 2]  # the stencils of the fine points between
            drift = (here[..., i, j] - there[..., 2 - i, 2 - j]) / 2
            coarse[..., i, j] = _in_series(here[..., i, j] - drift, there[..., i, j] - drift) + 2 * drift
    coarse[..., 1, 1] = 4 * _total(here) - coarse.sum((-2, -1))
    return coarse


def _in_series(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns the harmonic mean of numbers of the same sign, and the arithmetic mean of others."""
    same = a * b > 0
    return np.where(same, 2 * a * b, (a + b) / 2) / np.where(same, a + b, 1)


def _total(A: np.ndarray) -> np.ndarray:
    """Returns the sums of stencils, without round-off."""
    total = A.sum((-2, -1))
    return np.where(np.abs(total) > ROUND_OFF * diagonal(A), total, 0.0)


def _of_ones(A: np.ndarray) -> np.ndarray:
    """Returns A * 1 on the grid of A, (n, n). Values outside of the grid are zero."""
    n = len(A)
    ones = np.pad(np.ones((n, n)), 1)
    shifted = np.stack([ones[i : i + n, j : j + n] for i in range(3) for j in range(3)], axis=-1)
    return np.einsum("...k,...k", A.reshape(n, n, 9), shifted)


def diagonal(A: np.ndarray) -> np.ndarray:
    """Returns the diagonal of an operator: one number, or one number per point."""
    return A[..., 1, 1]


def operator_layer(A: np.ndarray, name: str, dtype):
    """Returns a layer that computes A * u."""
    if A.ndim == 2:
        return Stencil(A.tolist(), name=name, dtype=dtype)
    return _field(3, A, name, dtype)


def diagonal_layer(A: np.ndarray, weight: float, dtype):
    """Returns a layer B = weight D^{-1}, where D is the diagonal of A."""
    if A.ndim == 2:
        return Stencil([[weight / diagonal(A)]], None, name="B", dtype=dtype)
    return _field(1, (weight / diagonal(A))[..., None, None], "B", dtype)


def _field(size: int, stencils: np.ndarray, name: str, dtype) -> StencilField:
    """Returns a layer with stencils (h, w, k, k), or with stencils (N, h, w, k, k) for the grids of a batch."""
    batch = len(stencils) if stencils.ndim == 5 else None
    layer = StencilField(size, batch=batch, name=name, dtype=dtype)
    return assigned(layer, stencils, stencils.shape[-4:-2])


def inverse_layer(grid: Grid, dtype):
    """Returns a layer B = A^{-1} on a grid. Raises ValueError if the grid has more than `LARGEST_INVERSE`^2 points."""
    h, w = grid.shape
    if grid.shape == (1, 1):
        return diagonal_layer(grid.A, 1.0, dtype)
    if grid.A.ndim == 5:
        raise ValueError(
            f"expected all grids down to a single point for a batch of operators. Received: {h} x {w} points"
        )
    if h * w > LARGEST_INVERSE**2:
        raise ValueError(
            f"expected at most {LARGEST_INVERSE} points per side on the coarsest grid, which is solved exactly. "
            f"Received: {max(h, w)}"
        )
    return assigned(Inverse(name="B", dtype=dtype), np.linalg.inv(matrix(grid.A, grid.shape)), grid.shape)


def matrix(A: np.ndarray, shape: int | tuple[int, int]) -> np.ndarray:
    """Returns the full matrix of an operator with zero padding. `shape` as in `entries`."""
    values, places = entries(A, shape)
    size = np.prod(rectangle(shape))
    full = np.zeros((size, size))
    full[places] = values
    return full


def entries(A: np.ndarray, shape: int | tuple[int, int]) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Returns the non-zero entries of `matrix`, and their rows and columns. `shape` is (h, w), or n for n x n points."""
    h, w = rectangle(shape)
    values, points = np.broadcast_to(A, (h, w, 3, 3)), np.arange(h * w).reshape(h, w)
    columns = neighbours(points, outside=-1)
    rows = np.broadcast_to(points[:, :, None, None], columns.shape)
    kept = (columns >= 0) & (values != 0)
    return values[kept], (rows[kept], columns[kept])


def rectangle(shape: int | tuple[int, int]) -> tuple[int, int]:
    """Returns (n, n) for n, and a pair unchanged."""
    return (shape, shape) if isinstance(shape, int) else shape


def assigned(layer, values: np.ndarray, shape: tuple[int, int]):
    """Builds a layer for h x w points, sets its first variable and returns the layer."""
    layer.build((None, *shape, 1))
    layer.variables[0].assign(values)
    return layer
