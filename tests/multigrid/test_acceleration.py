"""Conjugate gradients with a cycle as preconditioner, the defaults of each operator, and both beside PyAMG."""

import numpy as np
import pytest
from scipy.sparse.linalg import cg, spsolve

from keras_mgnet.cli.solve import LearnConfig
from keras_mgnet.multigrid import anisotropic, block, convergence_factor, diffusion, five_point, jumps, solve, solver
from keras_mgnet.multigrid.defaults import is_symmetric, suited
from keras_mgnet.multigrid.iteration import Iteration
from keras_mgnet.multigrid.sparse import operator_matrix, pyamg_solver
from support import ROOT
from support.command import invoke

F = np.random.default_rng(0).normal(size=(3, 31, 31, 1))
PAGE = (ROOT / "docs" / "multigrid.md").read_text()


def test_a_symmetric_cycle_gives_the_iterates_of_scipy():
    """Jacobi's V(1,1) with Galerkin operators is symmetric. scipy has the textbook's direction."""
    pytest.importorskip("pyamg")
    options = {"A": jumps(31), "smoother": "jacobi", "transfer": "full_weighting", "coarse": "galerkin"}
    matrix, twin = operator_matrix(options["A"], 31), pyamg_solver(31, **options)
    u, _ = Iteration(solver(31, **options), accelerate="cg")(F, cycles=6, tolerance=1e-12)
    for image, f in enumerate(F.reshape(3, -1)):
        expected, _ = cg(matrix, f, maxiter=6, rtol=1e-12, M=twin.aspreconditioner())
        np.testing.assert_allclose(u[image].ravel(), expected, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("A", [jumps(31, 1e6, 32), five_point()], ids=["jumps", "constant"])
def test_it_ends_at_the_solution_with_the_true_residuals(A):
    u, history = solve(solver(31, A=A), F, tolerance=1e-9, accelerate="cg")
    matrix = operator_matrix(A, 31)
    r = F.reshape(3, -1).T - matrix @ u.reshape(3, -1).T
    relative = np.linalg.norm(r, axis=0) / np.linalg.norm(F.reshape(3, -1), axis=1)
    np.testing.assert_allclose(history[-1], relative, rtol=1e-3)
    expected = spsolve(matrix.tocsc(), F[0].ravel())
    np.testing.assert_allclose(u[0].ravel(), expected, atol=1e-6 * np.abs(expected).max())
    np.testing.assert_array_equal(solve(solver(31, A=A), 0 * F, accelerate="cg")[1], [[0, 0, 0]])


def test_a_cycle_that_is_not_symmetric_is_allowed():
    model = solver(31, A=anisotropic(0.1), smoother="red_black")
    plain, accelerated = (len(solve(model, F, accelerate=how)[1]) for how in ("none", "cg"))
    assert accelerated < plain / 2


@pytest.mark.parametrize(
    ("A", "smoother", "accelerate"),
    [
        (five_point(), "jacobi", "none"),
        (anisotropic(0.01), "zebra_y", "none"),
        (anisotropic(100.0), "zebra_x", "none"),
        (jumps(7), "patches", "cg"),
    ],
)
def test_each_operator_has_its_components(A, smoother, accelerate):
    assert (suited(A).smoother, suited(A).accelerate) == (smoother, accelerate)


def test_convection_is_not_accelerated():
    A = diffusion(np.ones((8, 8)))
    assert is_symmetric(A)
    A[..., 1, 0] -= 0.1
    A[..., 1, 2] += 0.1
    assert not is_symmetric(A) and suited(A).accelerate == "none"


GOALS = {  # the rows of the page: operator, largest factor, iterations of conjugate gradients
    "0.001 u_xx + u_yy": (lambda n: anisotropic(1e-3), 0.1),
    "a = 1000 in a square, 1 outside": (block, 0.2),
    "a = 1 or 1000 at random in each cell": (lambda n: jumps(n, 1e3, n + 1), 1.0),
    "a = 1 or a million at random in each cell": (lambda n: jumps(n, 1e6, n + 1), 1.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("problem", GOALS)
def test_iterations_beside_pyamg(problem):
    """Each has at most 20 iterations of conjugate gradients to 1e-8, and at most twice as many as Ruge-Stuben."""
    pyamg = pytest.importorskip("pyamg")
    make, largest = GOALS[problem]
    A, f = make(127), np.random.default_rng(0).normal(size=(1, 127, 127, 1))
    model, ml = solver(127, A=A), pyamg.ruge_stuben_solver(operator_matrix(A, 127))
    counts = []
    for accelerate in ("none", "cg"):
        iterate = Iteration(model, jit_compile=False, accelerate=accelerate)
        counts.append(len(iterate(f, cycles=100)[1]) - 1)
        residuals = []
        accel = None if accelerate == "none" else accelerate
        ml.solve(f.ravel(), tol=1e-8, maxiter=200, accel=accel, residuals=residuals)
        counts.append(len(residuals) - 1)
    assert counts[2] <= 20 and counts[2] <= 2 * counts[3]
    assert f"| {problem} | {' | '.join(map(str, counts))} |" in PAGE
    assert convergence_factor(model, 127) <= largest


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "headline"),
    [
        pytest.param(
            "anisotropic --eps 0.01",
            "anisotropic, 15 x 15: V(1, 1), zebra_y, full_weighting, rediscretised",
            marks=pytest.mark.slow,
        ),
        ("block", "block, 15 x 15: V(1, 1) in conjugate gradients, patches, black_box, galerkin"),
        pytest.param(
            "jumps --tiles 16 --accelerate none",
            "jumps, 15 x 15: V(1, 1), patches, black_box, galerkin",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_headline_names_the_method(options, headline):
    output = invoke("solve", *options.split(), "--n", 15)
    assert headline in output and " yes " in output


def test_a_learned_smoother_is_alone_with_the_problem():
    config = LearnConfig("jumps", n=7, learn=True)
    assert config.acceleration() == "none" and config.components()["transfer"] == "full_weighting"


def test_errors():
    with pytest.raises(ValueError, match="unknown acceleration 'gmres'"):
        solve(solver(7), F[:, :7, :7], accelerate="gmres")
