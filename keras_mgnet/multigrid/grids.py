"""The grids of a solver: the operator A on each grid, and the layers made from it."""

import numpy as np

from keras_mgnet.errors import check_known
from keras_mgnet.layers import Inverse, Stencil, StencilField
from keras_mgnet.models.checks import is_integer
from keras_mgnet.multigrid.stencils import Transfer, galerkin, galerkin_field, real_array

LARGEST_INVERSE = 63  # points per side of a coarsest grid that is solved exactly: 126 MB
ROUND_OFF = 1e-13  # of the sum of a stencil, relative to its diagonal
COARSE = ("rediscretised", "galerkin")


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


def operators(A, n: int, levels: int, transfer: Transfer, coarse: str) -> list[np.ndarray]:
    """Returns the operator on each grid, from fine to coarse: a stencil (3, 3), or one stencil per point (m, m, 3, 3).

    A is the operator on the first grid of n x n points. Other arguments as in `solver`. With "galerkin" the operator of the next
    grid is R A P, with restriction R and interpolation P. With "rediscretised" a coarse point takes the stencil of the fine point
    at the same place, rescaled to the larger mesh size as in `rediscretised`. For smooth coefficients this is the discretisation
    on the coarse grid up to a small error. For jumping coefficients it is not.

    An array (N, n, n, 3, 3) has the operators of N problems. So has each array of the result.
    """
    A = real_array("A", A)
    if A.ndim == 5:
        alike = zip(*(operators(one, n, levels, transfer, coarse) for one in A), strict=True)
        return [np.stack(grid) for grid in alike]
    field = (n, n, 3, 3)
    if A.shape not in ((3, 3), field) or not np.isfinite(A).all():
        raise ValueError(f"expected A to be a stencil (3, 3), or one per point, {field}. Received: shape {A.shape}")
    if not (diagonal(A) > 0).all():
        raise ValueError(f"expected a positive diagonal of A. Received: a smallest entry of {diagonal(A).min()}")
    if A.ndim == 4 and (np.abs(_of_ones(A)) <= ROUND_OFF * diagonal(A)).all():
        raise ValueError(
            "expected an invertible A, with u fixed at a boundary. Received: A * 1 = 0 at every point, as with Neumann boundaries"
        )
    check_known("coarse operator", coarse, COARSE)
    constant, grids = A.ndim == 2, [A]
    for _ in range(levels - 1):
        if coarse == "galerkin":
            grids.append((galerkin if constant else galerkin_field)(grids[-1], transfer))
        else:
            grids.append(rediscretised(grids[-1] if constant else grids[-1][1::2, 1::2]))
    return grids


def rediscretised(A: np.ndarray) -> np.ndarray:
    """Returns the stencils (..., 3, 3) of the same differential operator on a grid with twice the mesh size h.

    Stencils are multiplied by h^2. So second derivatives keep their stencil, first derivatives (the odd part of the stencil) are
    doubled, and the term in u (the sum of the stencil) is four times as large.

    Example:
        >>> rediscretised(np.array([[0, -1, 0], [-1, 4 + 1, -1], [0, -1, 0]])).tolist()
        [[0.0, -1.0, 0.0], [-1.0, 8.0, -1.0], [0.0, -1.0, 0.0]]
    """
    odd, total = (A - A[..., ::-1, ::-1]) / 2, A.sum((-2, -1))
    total = np.where(np.abs(total) > ROUND_OFF * diagonal(A), total, 0.0)
    coarse = A + odd
    coarse[..., 1, 1] += 3 * total
    return coarse


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
    """Returns a layer with stencils (n, n, k, k), or with stencils (N, n, n, k, k) for the grids of a batch."""
    batch = len(stencils) if stencils.ndim == 5 else None
    layer = StencilField(size, batch=batch, name=name, dtype=dtype)
    return assigned(layer, "kernel", stencils, stencils.shape[-3])


def inverse_layer(A: np.ndarray, n: int, dtype):
    """Returns a layer B = A^{-1} on a grid of n x n points. Raises ValueError if n exceeds `LARGEST_INVERSE`."""
    if n == 1:
        return diagonal_layer(A, 1.0, dtype)
    if A.ndim == 5:
        raise ValueError(f"expected all grids down to a single point for a batch of operators. Received: {n} points")
    if n > LARGEST_INVERSE:
        raise ValueError(
            f"expected at most {LARGEST_INVERSE} points per side on the coarsest grid, which is solved exactly. Received: {n}"
        )
    return assigned(Inverse(name="B", dtype=dtype), "matrix", np.linalg.inv(matrix(A, n)), n)


def matrix(A: np.ndarray, n: int) -> np.ndarray:
    """Returns the full matrix (n^2, n^2) of an operator on n x n points, with zero padding."""
    values, places = entries(A, n)
    full = np.zeros((n * n, n * n))
    full[places] = values
    return full


def entries(A: np.ndarray, n: int) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Returns the non-zero entries of `matrix`, and their rows and columns."""
    values, points = np.broadcast_to(A, (n, n, 3, 3)), np.arange(n * n).reshape(n, n)
    columns = neighbours(points, outside=-1)
    rows = np.broadcast_to(points[:, :, None, None], columns.shape)
    kept = (columns >= 0) & (values != 0)
    return values[kept], (rows[kept], columns[kept])


def assigned(layer, variable: str, values: np.ndarray, n: int):
    """Builds a layer for n x n points, sets one of its variables and returns the layer."""
    layer.build((None, n, n, 1))
    getattr(layer, variable).assign(values)
    return layer


def sizes(n: int, levels: int | None = None) -> list[int]:
    """Returns the points per side of each grid, by default down to a single point. Raises ValueError for too many levels."""
    depth = grid_count(n)
    levels = depth if levels is None else levels
    if not is_integer(levels) or not 1 <= levels <= depth:
        raise ValueError(f"expected 1 to {depth} levels for n={n}. Received: levels={levels!r}")
    return [(n + 1) // 2**j - 1 for j in range(levels)]
