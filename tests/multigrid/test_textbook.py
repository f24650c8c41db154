"""What docs/multigrid.md says of factors, jumps, anisotropy and transfers, by Fourier symbols and dense matrices in numpy."""

import numpy as np
import pytest

from keras_mgnet.multigrid import anisotropic, convergence_factor, diffusion, jumps, solve, solver, two_grid_factor
from keras_mgnet.multigrid.grids import matrix, rediscretised_field
from keras_mgnet.multigrid.learn import LearnConfig
from keras_mgnet.multigrid.stencils import FULL_WEIGHTING, transfer_stencil
from support import ROOT, slow_unless

PAGE = " ".join((ROOT / "docs" / "multigrid.md").read_text().split())
N = 15
BILINEAR = {"transfer": "full_weighting", "coarse": "rediscretised"}


def of_two_grids(smoother, nu, points=64):
    """The two-grid factor of local Fourier analysis for the five-point A, full weighting and bilinear interpolation."""
    low = ((np.arange(points) + 1 / 2) / points - 1 / 2) * np.pi
    a, b = (angle.ravel() for angle in np.meshgrid(low, low))
    high_a, high_b = a - np.sign(a) * np.pi, b - np.sign(b) * np.pi
    waves = np.array([(a, b), (high_a, high_b), (high_a, b), (a, high_b)])  # aliases on the coarse grid
    A = (4 - 2 * np.cos(waves).sum(1)).T
    P = (1 + np.cos(waves)).prod(1).T / 4
    coarse = 4 - 2 * np.cos(2 * a) - 2 * np.cos(2 * b)
    correction = np.eye(4) - P[:, :, None] * (4 * P * A)[:, None, :] / coarse[:, None, None]
    S = np.eye(4) * (1 - 0.8 * A / 4)[:, None, :] if smoother == "jacobi" else half(A, -1) @ half(A, 1)
    power = np.linalg.matrix_power
    return np.abs(np.linalg.eigvals(power(S, nu[1]) @ correction @ power(S, nu[0]))).max()


def half(A, sign):
    """Jacobi on one colour of a chessboard. It couples the waves w and w + (pi, pi)."""
    half_sweep, J = np.zeros((*A.shape, 4)), 1 - A / 4
    for i, partner in enumerate((1, 0, 3, 2)):
        half_sweep[:, i, i] = (J[:, i] + 1) / 2
        half_sweep[:, partner, i] = sign * (J[:, i] - 1) / 2
    return half_sweep


PREDICTED = {
    ("jacobi", (1, 1)): 0.360,
    ("red_black", (1, 1)): 0.074,
    ("jacobi", (2, 2)): 0.137,
    ("red_black", (2, 2)): 0.041,
}


@pytest.mark.parametrize(("smoother", "nu"), slow_unless(list(PREDICTED)[:1], PREDICTED))
def test_two_grids_have_the_factors_of_fourier_analysis(smoother, nu):
    predicted = PREDICTED[smoother, nu]
    assert of_two_grids(smoother, nu) == pytest.approx(predicted, abs=0.001)
    assert two_grid_factor(smoother=smoother, nu=nu) == pytest.approx(predicted, abs=0.001)
    computed = convergence_factor(solver(31, smoother=smoother, nu=nu, levels=2), 31, cycles=20)
    assert computed == pytest.approx(predicted, abs=0.01)
    assert f"{predicted:.3f}" in PAGE


@pytest.mark.slow
@pytest.mark.parametrize(("smoother", "nu"), PREDICTED)
def test_w_cycles_have_these_factors_too(smoother, nu):
    computed = convergence_factor(solver(31, smoother=smoother, nu=nu, cycle="W"), 31, cycles=20)
    assert computed == pytest.approx(PREDICTED[smoother, nu], abs=0.01)


def block(n=N, contrast=1000.0):
    """-div(a grad u) with a = contrast in a square in the middle, whose sides are between lines of the coarse grid."""
    a = np.ones((n + 1, n + 1))
    a[n // 3 : n - n // 3 + 1, n // 3 : n - n // 3 + 1] = contrast
    return diffusion(a)


def bilinear(n):
    P = np.zeros((n, n // 2))
    for column in range(n // 2):
        P[2 * column : 2 * column + 3, column] = 1 / 2, 1, 1 / 2
    return np.kron(P, P)


def ideal(A, n):
    """The interpolation that solves A * u = 0 at all points that are not on the coarse grid."""
    coarse = np.zeros((n, n), bool)
    coarse[1::2, 1::2] = True
    fine, coarse = ~coarse.ravel(), coarse.ravel()
    P = np.zeros((n * n, coarse.sum()))
    P[coarse], P[fine] = np.eye(coarse.sum()), -np.linalg.solve(A[np.ix_(fine, fine)], A[np.ix_(fine, coarse)])
    return P


def v_cycle(operators, interpolations, steps):
    """The error matrix of V(steps, steps) with red-black Gauss-Seidel and R = P^T. The coarsest grid is solved exactly."""
    A, *coarser = operators
    if not coarser:
        return np.zeros_like(A)
    n = round(len(A) ** 0.5)
    colour = np.add.outer(np.arange(n), np.arange(n)).ravel() % 2
    red, black = (np.eye(n * n) - (colour == c)[:, None] * A / A.diagonal()[:, None] for c in (0, 1))
    S, P = np.linalg.matrix_power(black @ red, steps), interpolations[0]
    below = v_cycle(coarser, interpolations[1:], steps)
    correction = P @ (np.eye(len(below)) - below) @ np.linalg.inv(coarser[0]) @ P.T
    return S @ (np.eye(n * n) - correction @ A) @ S


def factor(operators, interpolations, steps):
    return np.abs(np.linalg.eigvals(v_cycle(operators, interpolations, steps))).max()


def galerkin(A, interpolations):
    operators = [A]
    for P in interpolations:
        operators.append(P.T @ operators[-1] @ P)
    return operators


GRIDS = [bilinear(n) for n in (15, 7, 3)]


@pytest.mark.slow
def test_for_jumps_the_interpolation_is_at_fault():
    A = matrix(block(), N)
    factors = [factor(galerkin(A, GRIDS), GRIDS, steps) for steps in (1, 20)]
    model = solver(N, A=block(), transfer="full_weighting", smoother="red_black")
    assert convergence_factor(model, N) == pytest.approx(factors[0], abs=0.001)
    factors += [factor(galerkin(A, [P]), [P], 1) for P in (bilinear(N), ideal(A, N))]
    assert [f"{value:.2f}" for value in factors] == ["0.99", "0.92", "0.62", "0.11"]
    assert "0.99 with V(1,1), and still 0.92 with V(20,20)" in PAGE
    assert "0.62 with bilinear interpolation, and 0.11 with the interpolation that" in PAGE


@pytest.mark.slow
def test_for_anisotropy_the_smoother_is_at_fault():
    operators = [matrix(anisotropic(0.001), n) for n in (15, 7, 3, 1)]
    factors = [factor(operators, GRIDS, steps) for steps in (1, 20)]
    model = solver(N, A=anisotropic(0.001), smoother="red_black")
    assert convergence_factor(model, N) == pytest.approx(factors[0], abs=0.001)
    assert "{:.2f} with V(1,1) and {:.2f} with V(20,20)".format(*factors) in PAGE


def test_bilinear_interpolation_diverges_on_jumps_of_a_rediscretised_field():
    """They are the stencils of the coarse grid if a is smooth. If a jumps they are not, cycles diverge, and `solve` says so."""
    a = np.where(np.random.default_rng(0).random((8, 8)) < 0.5, 1.0, 1000.0)
    fine, coarse = diffusion(a), diffusion(a[::2, ::2])
    assert np.abs(rediscretised_field(fine) - coarse).max() > 400
    smooth = 1 + np.add.outer(np.arange(64), np.arange(64)) / 640
    fine, coarse = diffusion(smooth), diffusion((smooth[::2, ::2] + smooth[1::2, 1::2]) / 2)
    assert np.abs(rediscretised_field(fine) - coarse).max() < 0.01

    f = np.random.default_rng(0).normal(size=(1, 15, 15, 1))
    with pytest.warns(UserWarning, match="the residual is .* and not below"):
        _, history = solve(solver(15, A=jumps(15, 1000.0), smoother="jacobi", **BILINEAR), f, accelerate="none")
    assert history[-1].max() > 1e6


@pytest.mark.slow
def test_the_example_of_jumps_needs_the_cycles_that_the_page_says():
    """The page runs it with `solve`, which would warn; here the same cycles with dense matrices."""
    a = np.where(np.random.default_rng(0).random((32, 32)) < 0.5, 1.0, 1000.0)
    f = np.random.default_rng(0).normal(size=(8, 63, 63, 1))[:, :31, :31].reshape(8, -1).T
    grids = [bilinear(n) for n in (31, 15, 7, 3)]
    A, *_ = operators = galerkin(matrix(diffusion(a), 31), grids)
    E = v_cycle(operators, grids, 1)
    u = e = -np.linalg.solve(A, f)
    cycles = 0
    while not (np.linalg.norm(A @ e, axis=0) <= 1e-2 * np.linalg.norm(A @ u, axis=0)).all():
        e, cycles = E @ e, cycles + 1
    assert f"the solver needs {cycles} cycles" in PAGE


def test_jacobi_needs_the_cycles_that_the_page_says():
    """V(1,0) on 63 x 63 points, for the right-hand sides of the page; and the defaults with which B is trained."""
    f = np.random.default_rng(0).normal(size=(8, 63, 63, 1))
    _, history = solve(solver(63, nu=(1, 0)), f, tolerance=1e-8)
    assert f"Jacobi {len(history) - 1}." in PAGE
    config = LearnConfig()
    assert (config.train_n, config.unrolled) == (31, 3)


def test_R_P_is_not_the_identity_where_P_is_4_R_transposed():
    """Both are on a slide of Lu2017. They exclude each other for these transfers, and hold together for cell averages."""
    P = bilinear(N)
    RP = P.T @ P / 4
    middle = RP.reshape(7, 7, 7, 7)[3, 3, 2:5, 2:5]
    np.testing.assert_allclose(middle, np.outer([1, 6, 1], [1, 6, 1]) / 64)
    np.testing.assert_allclose(transfer_stencil([[1.0]]), middle)
    assert FULL_WEIGHTING.sum() == 4 and middle[1, 1] == 0.5625 and "0.5625" in PAGE
    average = np.kron(*[np.kron(np.eye(4), [1 / 2, 1 / 2])] * 2)  # of 8 x 8 cells
    np.testing.assert_allclose(average @ (4 * average.T), np.eye(16))
