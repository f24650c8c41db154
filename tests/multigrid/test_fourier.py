"""Local Fourier analysis: factors of the textbook, and those of two-grid and W-cycles within 0.01."""

import numpy as np
import pytest

from keras_mgnet.multigrid import (
    anisotropic,
    convergence_factor,
    plot_factors,
    smoothing_factor,
    solver,
    two_grid_factor,
)
from support import slow_unless

S = [[0, 1 / 32, 0], [1 / 32, 6 / 32, 1 / 32], [0, 1 / 32, 0]]


@pytest.mark.parametrize(
    ("smoother", "factor"),
    [("jacobi", 0.6), ("red_black", 0.25), ("zebra_x", 0.25), ("zebra_y", 0.25), ("zebra", 0.048)],
)
def test_smoothing_factors_of_the_textbook(smoother, factor):
    """Trottenberg, Oosterlee, Schüller 2001, sections 2.1, 4.5 and 5.1, for the five-point Laplacian."""
    assert smoothing_factor(smoother=smoother) == pytest.approx(factor, abs=0.001)


def test_anisotropy_and_its_remedies():
    A = anisotropic(1e-3)
    assert smoothing_factor(A, smoother="jacobi") > 0.99 and smoothing_factor(A, smoother="red_black") > 0.99
    assert smoothing_factor(A) < 0.13
    assert smoothing_factor(A, smoother="red_black", coarsening="strong") < 0.13


def dense_step(smoother, A, n=16):
    """The error of a step on an n x n torus, point after point or line after line, as a matrix."""
    points = np.arange(n * n).reshape(n, n)
    matrix = np.zeros((n * n, n * n))
    for d in (-1, 0, 1):
        for e in (-1, 0, 1):
            matrix[points, np.roll(points, (-d, -e), (0, 1))] += A[d + 1, e + 1]
    rows, columns = np.indices((n, n))
    colour = rows + columns if smoother == "red_black" else rows if smoother == "zebra_x" else columns
    step = np.eye(n * n)
    for parity in (0, 1):  # the coarse points have odd rows and columns
        chosen = points[colour % 2 == parity]
        block = matrix[np.ix_(chosen, chosen)]
        update = np.zeros_like(matrix)
        update[np.ix_(chosen, chosen)] = np.linalg.inv(block)
        step = (np.eye(n * n) - update @ matrix) @ step
    return step


@pytest.mark.parametrize("smoother", ["red_black", "zebra_x", "zebra_y"])
def test_smoothing_factors_are_those_on_a_torus(smoother):
    """The discrete Fourier transform removes the low frequencies. The torus has only some of all frequencies."""
    A, n = anisotropic(0.3), 16
    frequencies = np.abs(np.fft.fftfreq(n))
    high = np.maximum.outer(frequencies, frequencies) >= 0.25
    F = np.fft.fft(np.eye(n))
    F = np.kron(F, F)
    ideal = np.linalg.inv(F) @ np.diag(high.ravel().astype(float)) @ F
    expected = np.abs(np.linalg.eigvals(ideal @ dense_step(smoother, A))).max()
    assert smoothing_factor(A, smoother=smoother, points=32) == pytest.approx(expected, abs=0.03)


CASES = [
    (1.0, {}),
    (1.0, {"smoother": "red_black"}),
    (1.0, {"smoother": "zebra_y"}),
    (1.0, {"smoother": "patches"}),
    (0.1, {}),
    (0.1, {"smoother": "red_black", "coarsening": "strong"}),
    (1.0, {"smoother": "chebyshev", "degree": 3}),
    (1.0, {"smoother": "zebra"}),
    (1.0, {"smoother": S}),
    (1.0, {"omega": 0.6, "nu": (2, 1)}),
    (1.0, {"transfer": "fem", "coarse": "galerkin"}),
    (1.0, {"transfer": "injection"}),
    (1.0, {"transfer": "black_box"}),
    (0.1, {"smoother": "red_black"}),
    (10.0, {"smoother": "jacobi", "coarsening": "strong"}),
]


@pytest.mark.parametrize(("eps", "options"), slow_unless(CASES[:6], CASES))
def test_cycles_on_two_grids_have_the_predicted_factor(eps, options):
    computed = convergence_factor(solver(31, A=anisotropic(eps), levels=2, **options), 31, cycles=20)
    assert computed == pytest.approx(two_grid_factor(anisotropic(eps), **options), abs=0.01)


W = [(1.0, {}), (1.0, {"smoother": "red_black"}), (1.0, {"smoother": "zebra_y"}), (1.0, {"nu": (2, 2)}), (0.1, {})]


@pytest.mark.parametrize(("eps", "options"), slow_unless(W[:1], W))
def test_w_cycles_have_the_predicted_factor(eps, options):
    computed = convergence_factor(solver(31, A=anisotropic(eps), cycle="W", **options), 31, cycles=20)
    assert computed == pytest.approx(two_grid_factor(anisotropic(eps), **options), abs=0.01)


def test_the_picture_is_drawn(tmp_path):
    plot_factors(tmp_path / "factors.png", smoother="red_black")
    assert (tmp_path / "factors.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: two_grid_factor(np.ones((3, 3, 3, 3))), r"expected A to be a stencil \(3, 3\)"),
        (lambda: smoothing_factor(smoother="jacoby"), "did you mean 'jacobi'"),
        (lambda: two_grid_factor(transfers="fem"), "did you mean 'transfer'"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
