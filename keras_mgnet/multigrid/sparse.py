"""The solvers of this package with sparse matrices, as `pyamg.MultilevelSolver`, for checks and comparisons."""

from collections.abc import Callable

import numpy as np

from keras_mgnet.extras import SOLVE, extra
from keras_mgnet.multigrid.grids import entries, operators, sizes
from keras_mgnet.multigrid.operators import five_point
from keras_mgnet.multigrid.smoothers import SPECTRUM
from keras_mgnet.multigrid.stencils import TRANSFERS


def operator_matrix(A: np.ndarray, n: int):
    """Returns the sparse matrix (n^2, n^2) of a stencil (3, 3), or of one stencil per point (n, n, 3, 3), with zero padding.

    Example:
        >>> operator_matrix(five_point(), 3).toarray()[4].tolist()
        [0.0, -1.0, 0.0, -1.0, 4.0, -1.0, 0.0, -1.0, 0.0]
    """
    return extra("scipy.sparse", SOLVE).csr_matrix(entries(A, n), shape=(n * n, n * n))


def restriction_matrix(R: np.ndarray, n: int):
    """Returns the sparse matrix of a 3x3 restriction from n x n points. The transpose is the interpolation with the kernel R."""
    points = np.arange(n * n).reshape(n, n)[1::2, 1::2].ravel()
    return operator_matrix(R, n)[points]


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
    levels: int | None = None,
):
    """Returns a `pyamg.MultilevelSolver` with the same grids, operators, transfers and smoothers as the V-cycle of `solver`.

    Arguments as in `solver`. `spectrum` is the interval of eigenvalues of D^{-1} A that Chebyshev's smoother damps. D is the
    diagonal of A.
    """
    extra("pyamg", SOLVE)
    from pyamg.multilevel import MultilevelSolver

    points = sizes(n, levels)
    kernels, built = TRANSFERS[transfer], []
    grids = operators(five_point() if A is None else A, n, len(points), kernels, coarse)
    for m, stencil in zip(points, grids, strict=True):
        level = MultilevelSolver.Level()
        level.A = operator_matrix(stencil, m)
        level.R, level.P = restriction_matrix(kernels.R, m), restriction_matrix(kernels.P, m).T.tocsr()
        level.presmoother, level.postsmoother = (sweeps(smoother, m, count, omega, degree, spectrum) for count in nu)
        built.append(level)
    del built[-1].R, built[-1].P
    return MultilevelSolver(built, coarse_solver="splu" if points[-1] > 1 else "pinv")


def pyamg_methods() -> dict[str, Callable]:
    """Returns PyAMG's own methods by name. Each makes a `pyamg.MultilevelSolver` from a sparse matrix."""
    pyamg = extra("pyamg", SOLVE)
    return {
        "PyAMG, Ruge-Stuben": pyamg.ruge_stuben_solver,
        "PyAMG, smoothed aggregation": pyamg.smoothed_aggregation_solver,
    }


def sweeps(
    smoother: str, n: int, count: int, omega: float, degree: int, spectrum: tuple[float, float] = SPECTRUM
) -> Callable:
    """Returns a function (A, x, b) -> None that applies `count` smoothing steps of PyAMG to x, in place, on n x n points."""
    extra("pyamg", SOLVE)
    from pyamg.relaxation import relaxation
    from pyamg.relaxation.chebyshev import chebyshev_polynomial_coefficients

    if smoother == "jacobi":
        return lambda A, x, b: relaxation.jacobi(A, x, b, iterations=count, omega=omega) if count else None
    if smoother == "red_black":
        colour = np.indices((n, n)).sum(0).ravel() % 2
        order = np.argsort(colour, kind="stable").astype("int32")
        return lambda A, x, b: relaxation.gauss_seidel_indexed(A, x, b, order, iterations=count) if count else None

    coefficients = -chebyshev_polynomial_coefficients(*spectrum, degree)[:-1]

    def polynomial(A, x, b):
        d = 1 / A.diagonal()
        scaled = A.multiply(d[:, None]).tocsr() if np.ptp(d) > 1e-12 * d.max() else A * d[0]
        for _ in range(count):
            relaxation.polynomial(scaled, x, d * b, coefficients)

    return polynomial
