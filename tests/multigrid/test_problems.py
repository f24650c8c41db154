"""Pairs of functions: solutions against SciPy's direct solver, random fields against their covariance, and the command."""

import itertools

import numpy as np
import pytest

from keras_mgnet.multigrid import ProblemConfig, diffusion, five_point, generate, helmholtz, problems, solver
from keras_mgnet.multigrid.helmholtz import pressures
from keras_mgnet.multigrid.sparse import operator_matrix
from support.command import invoke


def centres(u):
    """The means of the four corners of each cell; u is 0 on the boundary."""
    u = np.pad(u, 1)
    return (u[1:, 1:] + u[1:, :-1] + u[:-1, 1:] + u[:-1, :-1]) / 4


@pytest.mark.parametrize("problem", ["darcy", "darcy_rough"])
def test_solutions_are_those_of_scipy(problem, monkeypatch):
    linalg = pytest.importorskip("scipy.sparse.linalg")
    monkeypatch.setattr(problems, "BATCH", 2)
    pairs = generate(ProblemConfig(problem, samples=3, grid=16, seed=5))
    assert pairs["x"].dtype == pairs["y"].dtype == np.float64 and pairs["residual"].max() <= 1e-10
    for x, y in zip(pairs["x"][..., 0], pairs["y"][..., 0], strict=True):
        assert set(np.unique(x)) == set(problems.FIELDS[problem].values)
        u = linalg.spsolve(operator_matrix(diffusion(x), 15).tocsc(), np.full(225, 1 / 16**2))
        np.testing.assert_allclose(y, centres(u.reshape(15, 15)), rtol=0, atol=1e-9 * u.max())


def test_solutions_of_poissons_equation_are_those_of_the_continuous_problem():
    """Each mode of x is a cosine; sine series solve the problem, and both meet on a fine grid up to O(h^2)."""
    pairs = generate(ProblemConfig("poisson", samples=2, grid=64))
    n, m = 64, 200
    t, k = (np.arange(n) + 0.5) / n, np.arange(1, m)
    noise = [np.random.default_rng([0, i]).normal(size=(n, n)) for i in range(2)]
    fine = (np.arange(4 * n) + 0.5) / (4 * n)
    x = problems.gaussian_fields(np.stack(noise), fine, 2.0, 3.0)
    sines, at = (np.sin(np.pi * k * points[:, None]) for points in (fine, t))
    coefficients = 4 * sines.T @ x @ sines / (4 * n) ** 2
    y = at @ (coefficients / (np.pi**2 * (k[:, None] ** 2 + k**2))) @ at.T
    np.testing.assert_allclose(pairs["y"][..., 0], y, rtol=0, atol=5e-3 * np.abs(y).max())


@pytest.mark.parametrize("speed", [19.5, 20.3, 200.0])
def test_pressures_of_a_constant_speed_are_those_of_the_continuous_problem(speed):
    """Separation of variables: along x each cosine of y is a cosine or a hyperbolic cosine."""
    n, k = 64, np.pi * np.arange(1, 4000)
    x = (np.arange(n) + 0.5) / n
    source = np.append(0.3, np.sqrt(2) * (np.sin(k * 0.65) - np.sin(k * 0.35)) / k)
    s = np.sqrt((np.append(0, k) ** 2 - (1000 / speed) ** 2).astype(complex))
    along = (np.exp(s * (x[:, None] - 1)) + np.exp(-s * (x[:, None] + 1))) / (s * -np.expm1(-2 * s))
    expected = (along.real * source) @ np.append(np.ones((1, n)), np.sqrt(2) * np.cos(k[:, None] * x), axis=0)
    u, residuals = pressures(np.full((1, 96, 96), speed), n)
    assert np.linalg.norm(u[0] - expected) < 1e-3 * np.linalg.norm(expected) and residuals.max() < 1e-10


def test_pressures_of_any_speed_are_those_of_finite_differences_at_a_low_frequency(monkeypatch):
    linalg, sparse = pytest.importorskip("scipy.sparse.linalg"), pytest.importorskip("scipy.sparse")
    monkeypatch.setattr(helmholtz, "OMEGA", 150.0)
    noise = np.random.default_rng(0).normal(size=(1, 32, 32))

    def speeds(n):
        return 20 + 5 * np.tanh(problems.gaussian_fields(noise, helmholtz.centres(n), 2.0, 3.0))

    n = 128
    second = sparse.diags([np.ones(n - 1), np.ones(n - 1)], [-1, 1])
    second = sparse.diags(np.asarray(second.sum(1)).ravel()) - second
    edges, f = np.arange(n + 1) / n, np.zeros((n, n))
    f[-1] = np.clip(np.minimum(edges[1:], 0.65) - np.maximum(edges[:-1], 0.35), 0, None)
    A = sparse.kronsum(second, second) - sparse.diags((150 / (n * speeds(n))).ravel() ** 2)
    expected = linalg.spsolve(A.tocsc(), f.ravel())
    found = pressures(speeds(96), n)[0].ravel()
    assert np.linalg.norm(found - expected) < 5e-3 * np.linalg.norm(expected)


def test_pairs_of_helmholtz_equation_have_the_speeds_of_their_definition():
    one, two = (generate(ProblemConfig("helmholtz", samples=samples, grid=16, seed=2)) for samples in (1, 2))
    np.testing.assert_array_equal(one["y"], two["y"][:1])
    noise = np.random.default_rng([2, 1]).normal(size=(1, 16, 16))
    field = problems.gaussian_fields(noise, (np.arange(16) + 0.5) / 16, 2.0, 3.0)
    np.testing.assert_allclose(np.arctanh(two["x"][1, ..., 0] - 20), field[0] / 3, atol=1e-8)
    assert two["y"].shape == (2, 16, 16, 1) and two["residual"].max() <= 1e-10
    with pytest.raises(ValueError, match=r"unknown problem 'helmholtz'. Expected one of: darcy, .* Received"):
        problems.draw_problems(ProblemConfig("helmholtz"), [0])


def test_the_covariance_of_the_fields_is_that_of_their_formula():
    n, count, (alpha, tau) = 6, 20_000, (2.0, 3.0)
    t = (np.arange(n) + 0.5) / n
    fields = problems.gaussian_fields(np.random.default_rng(0).normal(size=(count, n, n)), t, alpha, tau)
    expected = np.zeros((n, n, n, n))
    for k, l in itertools.product(range(n), repeat=2):  # noqa: E741
        e = np.outer(np.cos(np.pi * k * t), np.cos(np.pi * l * t)) * np.sqrt(2) ** ((k > 0) + (l > 0))
        weight = tau ** (2 * alpha - 2) * (np.pi**2 * (k**2 + l**2) + tau**2) ** -alpha
        expected += (k + l > 0) * weight * np.multiply.outer(e, e)
    flat, expected = fields.reshape(count, -1), expected.reshape(n * n, n * n)
    variances = np.diag(expected)
    error = np.sqrt((np.outer(variances, variances) + expected**2) / count)
    assert (np.abs(flat.T @ flat / count - expected) < 5 * error).all()


def test_a_pair_does_not_depend_on_the_number_of_samples_and_a_batch_solves_other_problems_each():
    few, more = (generate(ProblemConfig("darcy", samples=samples, grid=8, seed=3)) for samples in (1, 2))
    for key in ("x", "y"):
        np.testing.assert_allclose(more[key][:1], few[key], rtol=1e-8)
    A = np.stack([five_point(), 2 * five_point()])
    A = np.broadcast_to(A[:, None, None], (2, 7, 7, 3, 3))
    f = np.random.default_rng(0).normal(size=(1, 7, 7, 1))
    once = solver(7, smoother="red_black", coarse="galerkin")([np.zeros_like(f), f]).numpy()
    both = solver(7, A=A)([np.zeros((2, 7, 7, 1)), np.repeat(f, 2, axis=0)]).numpy()
    np.testing.assert_allclose(both, np.concatenate([once, once / 2]), rtol=1e-10)
    with pytest.raises(
        ValueError, match=r"all grids down to a single point for a batch of operators. Received: 3 x 3 points"
    ):
        solver(7, A=A, levels=2)


def test_the_command_writes_the_file_whole(tmp_path, monkeypatch):
    out = tmp_path / "pairs.npz"
    output = invoke("generate", "poisson", "--samples", 2, "--grid", 8, "--out", out)
    assert "2 pairs on 8 x 8 points, largest relative residual" in output
    with np.load(out, allow_pickle=False) as file:
        assert {key: file[key].shape for key in file.files} == {"x": (2, 8, 8, 1), "y": (2, 8, 8, 1), "residual": (2,)}
    monkeypatch.setattr(problems, "CYCLES", 1)
    with pytest.raises(ValueError, match=r"expected residuals of at most tolerance=1e-10. Received: .* after 1 cycles"):
        problems.write_pairs(ProblemConfig("darcy", samples=2, grid=8), tmp_path / "other.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.npz"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("darci",), "unknown problem 'darci'; did you mean 'darcy'"),
        (("darcy", "--grid", 60), "expected grid to be a power of 2, such as 64. Received: grid=60"),
        (("darcy", "--samples", 0), "expected samples >= 1"),
        (("darcy", "--seed", -1), "expected seed >= 0"),
        (("darcy", "--out", "pairs.txt"), "expected the path of a .npz file"),
    ],
)
def test_wrong_options_are_refused(refused, words, message):
    assert message in refused("generate", *words)
