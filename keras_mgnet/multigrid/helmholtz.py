"""Helmholtz' equation as data: pressures in a box. The operator is indefinite, so it is factorised, and no cycles are used."""

import numpy as np

from keras_mgnet.extras import SOLVE, extra
from keras_mgnet.multigrid.sparse import operator_matrix

OMEGA = 1000.0


def stencils(c: np.ndarray) -> np.ndarray:
    """Returns h^2 times -Laplace - (omega / c)^2 on n x n cells, with normal derivative zero on the boundary.

    Args:
        c: wave speeds at the centres of the cells, (n, n).

    Returns:
        One stencil per cell, (n, n, 3, 3). No stencil reads beyond the grid.

    Example:
        >>> stencils(np.full((2, 2), np.inf))[0, 0].tolist()
        [[0.0, 0.0, 0.0], [0.0, 2.0, -1.0], [0.0, -1.0, 0.0]]
    """
    n = len(c)
    A = np.zeros((n, n, 3, 3))
    A[1:, :, 0, 1] = A[:-1, :, 2, 1] = A[:, 1:, 1, 0] = A[:, :-1, 1, 2] = -1
    A[..., 1, 1] = -A.sum((-2, -1)) - (OMEGA / (n * c)) ** 2
    return A


def pressures(c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solves -Laplace u - (omega / c)^2 u = 0 by LU factorisation. omega is 1000.

    The normal derivative of u is 1 on the part [0.35, 0.65] of the last row's side, and 0 on the rest of the boundary. Source:
    the data of de Hoop et al., "The cost-accuracy trade-off in operator learning with neural networks" (2022).

    Args:
        c: wave speeds at the centres of n x n cells, (N, n, n).

    Returns:
        u at the centres, (N, n, n), and the relative residuals, (N,).

    Example:
        >>> u, residuals = pressures(np.full((1, 16, 16), 20.0))
        >>> u.shape, bool(residuals[0] < 1e-10)
        ((1, 16, 16), True)
    """
    solve = extra("scipy.sparse.linalg", SOLVE).spsolve
    n = c.shape[-1]
    f = np.zeros((n, n))
    f[-1] = (np.abs((np.arange(n) + 0.5) / n - 0.5) <= 0.15) / n
    matrices = [operator_matrix(stencils(speeds), n).tocsc() for speeds in c]
    u = np.stack([solve(A, f.ravel()) for A in matrices])
    residuals = [np.linalg.norm(f.ravel() - A @ one) / np.linalg.norm(f) for A, one in zip(matrices, u, strict=True)]
    return u.reshape(c.shape), np.array(residuals)
