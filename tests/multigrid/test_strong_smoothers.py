"""Line relaxation and Schwarz patches: against dense matrices, and what they do for anisotropy and jumps."""

import numpy as np
import pytest
from keras.ops import convert_to_tensor as tensor

from keras_mgnet.multigrid import anisotropic, convergence_factor, diffusion, solver
from keras_mgnet.multigrid.grids import matrix
from keras_mgnet.multigrid.patches import additive_schwarz

N = 7


def jumping(n, contrast=1000.0, seed=0):
    return diffusion(np.where(np.random.default_rng(seed).random((n + 1, n + 1)) < 0.5, 1.0, contrast))


def zebra_step(A, e, axes):
    """The error after one step, line after line. Lines of one colour do not touch each other."""
    points = np.arange(N * N).reshape(N, N)
    for axis in axes:
        for colour in (0, 1):
            for line in (points if axis == "x" else points.T)[colour::2]:
                e = e.copy()
                e[line] -= np.linalg.solve(A[np.ix_(line, line)], A[line] @ e)
    return e


@pytest.mark.parametrize(("smoother", "axes"), [("zebra_x", "x"), ("zebra_y", "y"), ("zebra", "xy")])
@pytest.mark.parametrize("A", [anisotropic(0.1), jumping(N)], ids=["constant", "field"])
def test_zebra_solves_line_after_line(smoother, axes, A):
    e = np.random.default_rng(0).normal(size=(1, N, N, 1))
    model = solver(N, A=A, smoother=smoother, levels=1, coarsest="smooth", nu=(2, 0))
    dense = matrix(A, N)
    expected = zebra_step(dense, zebra_step(dense, e.ravel(), axes), axes)
    np.testing.assert_allclose(model([tensor(e), tensor(0 * e)]).numpy().ravel(), expected, atol=1e-12)


def averaged_inverses(A, n, size):
    """The mean of the inverses on all size x size patches of a dense matrix."""
    points, B = np.arange(n * n).reshape(n, n), np.zeros_like(A)
    for i in range(1 - size, n):
        for j in range(1 - size, n):
            patch = points[max(i, 0) : i + size, max(j, 0) : j + size].ravel()
            B[np.ix_(patch, patch)] += np.linalg.inv(A[np.ix_(patch, patch)]) / size**2
    return B


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_patches_are_solved_exactly_and_averaged(size):
    A = jumping(N, 1e6)
    dense, kernels = matrix(A, N), additive_schwarz(A, size)
    expected = averaged_inverses(dense, N, size)
    B = np.zeros((N + 4 * size, N + 4 * size) * 2)
    for i in range(N):
        for j in range(N):
            B[i, j, i + size + 1 : i + 3 * size, j + size + 1 : j + 3 * size] = kernels[i, j]
    inner = slice(2 * size, 2 * size + N)
    np.testing.assert_allclose(B[:N, :N, inner, inner].reshape(N * N, -1), expected, atol=1e-13)
    eigenvalues = np.linalg.eigvals(expected @ dense).real
    assert eigenvalues.min() > 0 and (size == 1 or eigenvalues.max() < 1 + 2 / size)


@pytest.mark.parametrize(
    ("A", "options", "factor"),
    [
        (anisotropic(1e-3), {"smoother": "zebra_y"}, 0.003),
        pytest.param(anisotropic(1e3), {"smoother": "zebra_x"}, 0.003, marks=pytest.mark.slow),
        pytest.param(anisotropic(1e3), {"smoother": "zebra"}, 0.003, marks=pytest.mark.slow),
        pytest.param(
            jumping(15),
            {"smoother": "patches", "transfer": "black_box", "coarse": "galerkin"},
            0.31,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_factors(A, options, factor):
    assert convergence_factor(solver(15, A=A, **options), 15) < factor
