"""A network in the solver: its guess, its place in the preconditioner, and the command that compares."""

import keras
import numpy as np
import pytest

from keras_mgnet.multigrid import solve, solver
from keras_mgnet.multigrid.experiment import SolveConfig
from keras_mgnet.multigrid.neural import initial_guess, preconditioned
from keras_mgnet.multigrid.problems import ProblemConfig, at_centres, at_corners, draw_problems
from support.command import invoke

N = 7
CELLS = (N + 1) ** 2


def network(W):
    """A linear network between functions on 8 x 8 cells."""
    x = keras.Input((N + 1, N + 1, 1))
    dense = keras.layers.Dense(CELLS, use_bias=False)
    model = keras.Model(x, keras.layers.Reshape((N + 1, N + 1, 1))(dense(keras.layers.Flatten()(x))), name="linear")
    dense.set_weights([W.T])
    return model


def averages():
    """The matrix from inner corners to the centres of cells, as a Kronecker product."""
    along = (np.eye(N + 1, N) + np.eye(N + 1, N, -1)) / 2
    return np.kron(along, along)


def test_means_of_corners_and_of_cells():
    u = np.random.default_rng(0).normal(size=(2, N, N, 1))
    np.testing.assert_allclose(at_centres(u).reshape(2, -1), u.reshape(2, -1) @ averages().T, atol=1e-15)
    y = at_centres(u)
    np.testing.assert_allclose(at_corners(y).reshape(2, -1), y.reshape(2, -1) @ averages(), atol=1e-15)


def test_a_network_corrects_before_the_cycle():
    rng = np.random.default_rng(1)
    W, (u, f) = rng.normal(size=(CELLS, CELLS)) / 100, rng.normal(size=(2, 3, N, N, 1))
    cycle = solver(N)
    A = np.kron(np.eye(N), 2 * np.eye(N) - np.eye(N, k=1) - np.eye(N, k=-1))
    A += np.kron(2 * np.eye(N) - np.eye(N, k=1) - np.eye(N, k=-1), np.eye(N))
    r = f.reshape(3, -1) - u.reshape(3, -1) @ A
    e = (N + 1) ** 2 * r @ averages().T @ W.T @ averages()
    expected = cycle([u + e.reshape(u.shape), f])
    np.testing.assert_allclose(preconditioned(network(W), cycle)([u, f]), expected, rtol=0, atol=1e-4)


def test_the_size_of_a_residual_does_not_matter():
    model, f = preconditioned(network(np.eye(CELLS)), solver(N)), np.random.default_rng(2).normal(size=(1, N, N, 1))
    small, large = (np.asarray(model([0 * f, scale * f])) / scale for scale in (1e-9, 1e6))
    np.testing.assert_allclose(small, large, rtol=1e-5)
    np.testing.assert_array_equal(model([0 * f, 0 * f]), 0 * f)


def test_the_solution_is_that_of_the_problem_with_any_network():
    W = np.random.default_rng(3).normal(size=(CELLS, CELLS)) / 100
    f = draw_problems(ProblemConfig("poisson", grid=N + 1), range(2)).f
    u, _ = solve(preconditioned(network(W), solver(N)), f, accelerate="cg")
    np.testing.assert_allclose(u, solve(solver(N), f, tolerance=1e-12)[0], atol=1e-8)


def test_a_guess_is_what_the_network_says_at_the_corners():
    x = np.random.default_rng(4).normal(size=(2, N + 1, N + 1, 1)).astype("float32")
    np.testing.assert_allclose(initial_guess(network(np.eye(CELLS)), x), at_corners(x), atol=1e-7)


def test_problems_to_solve_are_none_of_the_training():
    solved = SolveConfig("darcy", n=7).drawn
    trained = draw_problems(ProblemConfig("darcy", grid=8), range(20))
    assert solved.A.shape == (1, 7, 7, 3, 3) and not any(np.array_equal(solved.x[0], x) for x in trained.x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SolveConfig("block", initial="run"), "expected initial only for darcy, darcy_rough, poisson"),
        (lambda: SolveConfig("darcy", batch=2), "expected batch=1 for darcy"),
        (lambda: initial_guess(network(np.eye(CELLS)), np.ones((1, 4, 4, 1))), r"of shape \(4, 4, 1\).*linear"),
        (lambda: preconditioned(network(np.eye(CELLS)), solver(15)), r"of shape \(16, 16, 1\)"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.slow
@pytest.mark.parametrize("problem", ["poisson", "darcy"])
def test_the_command_compares(problem, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_MGNET_CACHE", str(tmp_path))
    options = ["--grid", 8, "--pairs", 12, "--set", "channels=2", "--set", "layers=1", "--set", "steps=[[1,0],[1,0]]"]
    invoke("train", f"pde:{problem}", *options, "--epochs", 1, "--out", tmp_path / "run")
    output = invoke("solve", problem, "--n", 7, "--initial", tmp_path / "run")
    names = [
        "keras_mgnet",
        "initial guess",
        *(["conjugate gradients", "preconditioner"] if problem == "poisson" else []),
    ]
    rows = {line.split("  ")[0].strip(): line for line in output.splitlines()}
    assert all(" yes " in rows[name] for name in names)
