"""The solvers of this package with sparse matrices, as `pyamg.MultilevelSolver`, for checks and comparisons."""

from collections.abc import Callable

import numpy as np

from keras_mgnet.extras import SOLVE, extra
from keras_mgnet.multigrid.grids import entries, hierarchy, rectangle
from keras_mgnet.multigrid.operators import five_point
from keras_mgnet.multigrid.smoothers import SPECTRUM


def operator_matrix(A: np.ndarray, shape: int | tuple[int, int]):
    """Returns the sparse matrix of a stencil (3, 3), or of one stencil per point (h, w, 3, 3), with zero padding.

    `shape` is (h, w), or n for n x n points.

    Example:
        >>> operator_matrix(five_point(), 3).toarray()[4].tolist()
        [0.0, -1.0, 0.0, -1.0, 4.0, -1.0, 0.0, -1.0, 0.0]
    """
    return extra("scipy.sparse", SOLVE).csr_matrix(entries(A, shape), shape=(np.prod(rectangle(shape)),) * 2)


def restriction_matrix(R: np.ndarray, shape: int | tuple[int, int]):
    """Returns the sparse matrix of a restriction from a grid. The transpose is the interpolation with the kernels R.

    Args:
        R: kernels as in `Transfer`.
        shape: (h, w), the points of the fine grid, or n for n x n points.
    """
    h, w = rectangle(shape)
    rows, columns = (slice(1, None, 2) if size > 1 else slice(None) for size in R.shape[-2:])
    field = np.zeros((h, w, 3, 3))
    field[rows, columns, 1 - R.shape[-2] // 2 : 2 + R.shape[-2] // 2, 1 - R.shape[-1] // 2 : 2 + R.shape[-1] // 2] = R
    return operator_matrix(field, (h, w))[np.arange(h * w).reshape(h, w)[rows, columns].ravel()]


def pyamg_solver(
    n: int,
    *,
    nu: tuple[int, int] = (1, 1),
    smoother: str = "jacobi",
    omega: float = 0.8,
    degree: int = 2,
    spectrum: tuple[float, float] = SPECTRUM,
    A=None,
    transfer: str = "full_weighting",
    coarse: str = "rediscretised",
    coarsening: str = "full",
    levels: int | None = None,
):
    """Returns a `pyamg.MultilevelSolver` with the same grids, operators, transfers and smoothers as the V-cycle of `solver`.

    Arguments as in `solver`. `spectrum` is the interval of eigenvalues of D^{-1} A that Chebyshev's smoother damps. D is the
    diagonal of A.
    """
    extra("pyamg", SOLVE)
    from pyamg.multilevel import MultilevelSolver

    grids, built = hierarchy(five_point() if A is None else A, n, levels, transfer, coarse, coarsening), []
    for grid in grids:
        level = MultilevelSolver.Level()
        level.A = operator_matrix(grid.A, grid.shape)
        if grid.transfer:
            level.R, P = (restriction_matrix(kernels, grid.shape) for kernels in grid.transfer)
            level.P = P.T.tocsr()
        level.presmoother, level.postsmoother = (
            sweeps(smoother, grid.shape, count, omega, degree, spectrum) for count in nu
        )
        built.append(level)
    return MultilevelSolver(built, coarse_solver="splu" if grids[-1].shape != (1, 1) else "pinv")


def pyamg_methods() -> dict[str, Callable]:
    """Returns PyAMG's own methods by name. Each makes a `pyamg.MultilevelSolver` from a sparse matrix."""
    pyamg = extra("pyamg", SOLVE)
    return {
        "PyAMG, Ruge-Stuben": pyamg.ruge_stuben_solver,
        "PyAMG, smoothed aggregation": pyamg.smoothed_aggregation_solver,
    }


def sweeps(
    smoother: str, shape, count: int, omega: float, degree: int, spectrum: tuple[float, float] = SPECTRUM
) -> Callable:
    """Returns a function (A, x, b) -> None that applies `count` smoothing steps of PyAMG to x, in place."""
    extra("pyamg", SOLVE)
    from pyamg.relaxation import relaxation
    from pyamg.relaxation.chebyshev import chebyshev_polynomial_coefficients

    if smoother == "jacobi":
        return lambda A, x, b: relaxation.jacobi(A, x, b, iterations=count, omega=omega) if count else None
    if smoother == "red_black":
        colour = np.indices(rectangle(shape)).sum(0).ravel() % 2
        order = np.argsort(colour, kind="stable").astype("int32")
        return lambda A, x, b: relaxation.gauss_seidel_indexed(A, x, b, order, iterations=count) if count else None

    coefficients = -chebyshev_polynomial_coefficients(*spectrum, degree)[:-1]

    def polynomial(A, x, b):
        d = 1 / A.diagonal()
        scaled = A.multiply(d[:, None]).tocsr() if np.ptp(d) > 1e-12 * d.max() else A * d[0]
        for _ in range(count):
            relaxation.polynomial(scaled, x, d * b, coefficients)

    return polynomial
