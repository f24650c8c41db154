"""The grids of a solver: the operator A on each of them, and the layers made of it."""

from collections.abc import Sequence

import numpy as np

from keras_mgnet.errors import check_known
from keras_mgnet.layers import Inverse, Stencil, StencilField
from keras_mgnet.multigrid.stencils import Transfer, galerkin, galerkin_field

LARGEST_INVERSE = 63  # points a side of a coarsest grid that is solved exactly: 126 MB
COARSE = ("rediscretised", "galerkin")


def grid_count(n: int) -> int:
    """Returns k of n = 2^k - 1, the number of grids down to a single point.

    Raises:
        ValueError: for another n.

    Example:
        >>> grid_count(63)
        6
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1 or n & (n + 1):
        raise ValueError(f"expected n = 2^k - 1 points a side, such as 31, 63 or 127. Received: n={n!r}")
    return int(n).bit_length()


def neighbours(field: np.ndarray, outside: float) -> np.ndarray:
    """Returns the values (n, n, 3, 3) around each point of a field (n, n), on which a stencil acts.

    Example:
        >>> neighbours(np.array([[1, 2], [3, 4]]), outside=0)[0, 0].tolist()
        [[0, 0, 0], [0, 1, 2], [0, 3, 4]]
    """
    return np.lib.stride_tricks.sliding_window_view(np.pad(field, 1, constant_values=outside), (3, 3))


def operators(A, n: int, levels: int, transfer: Transfer, coarse: str) -> list[np.ndarray]:
    """Returns A on each grid, fine to coarse: a 3x3 stencil, or (m, m, 3, 3), a stencil for each point.

    Args:
        A: (3, 3) or (n, n, 3, 3), scaled by h^2.
        n: points a side of the first grid.
        levels: number of grids.
        transfer: R and P, for "galerkin".
        coarse: "rediscretised" takes the stencil itself, of a field that of the fine point there; "galerkin" is R A P.
    """
    A = np.asarray(A, "float64")
    if A.shape not in ((3, 3), (n, n, 3, 3)) or not np.isfinite(A).all():
        raise ValueError(
            f"expected A to be a stencil (3, 3), or one per point, {(n, n, 3, 3)}. Received: shape {A.shape}"
        )
    if not (diagonal(A) > 0).all():
        raise ValueError(f"expected a positive diagonal of A. Received: {diagonal(A).min()} as its least entry")
    check_known("coarse operator", coarse, COARSE)
    grids = [A]
    for _ in range(levels - 1):
        grids.append(_coarser(grids[-1], transfer, coarse))
    return grids


def _coarser(A: np.ndarray, transfer: Transfer, coarse: str) -> np.ndarray:
    if coarse == "galerkin":
        return (galerkin if A.ndim == 2 else galerkin_field)(A, transfer)
    return A if A.ndim == 2 else A[1::2, 1::2]


def diagonal(A: np.ndarray) -> np.ndarray:
    """Returns the diagonal of an operator: a number, or one per point."""
    return A[..., 1, 1]


def operator_layer(A: np.ndarray, name: str, dtype):
    """Returns the layer A * u."""
    if A.ndim == 2:
        return Stencil(A.tolist(), name=name, dtype=dtype)
    return assigned(StencilField(3, name=name, dtype=dtype), "kernel", A, len(A))


def diagonal_layer(A: np.ndarray, weight: float, dtype):
    """Returns the layer B = weight D^{-1}, D the diagonal of A."""
    if A.ndim == 2:
        return Stencil([[weight / diagonal(A)]], None, name="B", dtype=dtype)
    values = (weight / diagonal(A))[:, :, None, None]
    return assigned(StencilField(1, name="B", dtype=dtype), "kernel", values, len(A))


def inverse_layer(A: np.ndarray, n: int, dtype) -> Inverse:
    """Returns the layer B = A^{-1} on a grid of n x n points.

    Raises:
        ValueError: where the grid is larger than `LARGEST_INVERSE`.
    """
    if n > LARGEST_INVERSE:
        raise ValueError(
            f"expected at most {LARGEST_INVERSE} points a side on the coarsest grid, which is solved exactly. Received: {n}"
        )
    return assigned(Inverse(name="B", dtype=dtype), "matrix", np.linalg.inv(matrix(A, n)), n)


def matrix(A: np.ndarray, n: int) -> np.ndarray:
    """Returns the full matrix (n^2, n^2) of an operator on n x n points, with zero padding.

    Example:
        >>> matrix(np.outer((0, 1, 0), (-1, 2, -1)), 2)[0].tolist()
        [2.0, -1.0, 0.0, 0.0]
    """
    field = np.broadcast_to(A, (n, n, 3, 3))
    full = np.zeros((n + 2, n + 2, n, n))
    y, x = np.indices((n, n))
    for i in range(3):
        for j in range(3):
            full[y + i, x + j, y, x] = field[:, :, i, j]
    return full[1:-1, 1:-1].reshape(n * n, n * n).T


def assigned(layer, variable: str, values: np.ndarray, n: int):
    layer.build((None, n, n, 1))
    getattr(layer, variable).assign(values)
    return layer


def sizes(n: int, levels: int) -> Sequence[int]:
    """Returns the points a side of each grid.

    Example:
        >>> sizes(7, 3)
        [7, 3, 1]
    """
    return [(n + 1) // 2**j - 1 for j in range(levels)]
