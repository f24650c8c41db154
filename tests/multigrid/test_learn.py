"""Learned smoothers: exact fixed points, the layers against their matrices, training that pays, files, and other grids."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras.ops import convert_to_tensor as tensor
from scipy.sparse.linalg import spsolve

from keras_mgnet.layers import CoefficientStencil, KernelChain, LineSolver
from keras_mgnet.layers.operators.learned_stencil import odd_extension
from keras_mgnet.multigrid import comparison, convergence_factor, diffusion, five_point, solver
from keras_mgnet.multigrid.comparison import LINE, cycle_work, factor, fixed_cost
from keras_mgnet.multigrid.experiment import SolveConfig
from keras_mgnet.multigrid.learn import LearnConfig, learnable, learned_solver, load_smoother, smoothed_levels, train
from keras_mgnet.multigrid.learned_report import responses
from keras_mgnet.multigrid.report import level_rows
from keras_mgnet.multigrid.sparse import operator_matrix, pyamg_solver
from support.command import invoke

PROBLEMS = ("poisson", "anisotropic", "jumps")


def quick(problem="poisson", **options):
    given = {"n": 7, "nu": (1, 1), "learn": True, "train_n": 7, "steps": 2, "unrolled": 1, "errors": 4, "problems": 2}
    return LearnConfig(problem, **given | options)


def scrambled(config, scale=0.3, seed=0):
    """The solver to train, with weights that no training has made."""
    small = replace(config, n=config.train_n)
    model = solver(small.n, nu=small.nu, dtype="float32", **small.components() | {"smoother": learnable(config)})
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(variable + scale * rng.normal(size=variable.shape))
    return model


@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_solution_is_a_fixed_point_whatever_was_learned(problem):
    """By construction: a cycle sees f - A * u alone, linearly, and so maps u to u where that is zero."""
    config = quick(problem, channels=3)
    model = learned_solver(scrambled(config), config)
    f = config.right_hand_sides()
    u = spsolve(operator_matrix(config.operator(), config.n).tocsc(), f.ravel()).reshape(f.shape)
    np.testing.assert_allclose(model([tensor(u), tensor(f)]), u, atol=1e-12 * np.abs(u).max())
    other = model([tensor(0 * u), tensor(f)]).numpy()
    assert np.abs(other - u).max() > 1e-3 * np.abs(u).max()  # and nothing else to the solution


@pytest.mark.parametrize("problem", PROBLEMS)
def test_B_is_linear_in_the_residual(problem):
    B = smoothed_levels(scrambled(quick(problem, channels=2)))[0].field.B[0]
    x, y = np.random.default_rng(1).normal(size=(2, 1, 7, 7, 1)).astype("float32")
    combined = 2 * B(tensor(x)).numpy() - 3 * B(tensor(y)).numpy()
    np.testing.assert_allclose(B(tensor(2 * x - 3 * y)), combined, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_training_begins_as_weighted_jacobi(problem):
    config = quick(problem)
    begun = solver(config.n, nu=(1, 1), **config.components() | {"smoother": learnable(config)})
    jacobi = solver(config.n, nu=(1, 1), **config.components() | {"smoother": "jacobi", "omega": 0.8})
    u, f = np.random.default_rng(0).normal(size=(2, 2, config.n, config.n, 1))
    np.testing.assert_allclose(begun([tensor(u), tensor(f)]), jacobi([tensor(u), tensor(f)]), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_training_beats_what_it_begins_with():
    losses = []
    config = quick(n=31, nu=(1, 0), train_n=7, steps=60, unrolled=2, errors=8, learning_rate=0.03)
    trained = train(config, lambda step, loss: losses.append(loss))
    assert len(losses) == 60 and np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.3
    assert convergence_factor(learned_solver(trained, config), 31, 20) < 0.35  # 0.60 with weighted Jacobi


@pytest.mark.parametrize(
    ("problem", "share_B"),
    [
        ("poisson", False),
        pytest.param("anisotropic", True, marks=pytest.mark.slow),
        pytest.param("jumps", True, marks=pytest.mark.slow),
    ],
)
def test_files_keep_what_was_learned(problem, share_B, tmp_path):
    config = quick(problem, share_B=share_B)
    trained = train(config)
    trained.save(tmp_path / "smoother.keras")
    loaded = load_smoother(tmp_path / "smoother.keras")
    u, f = np.random.default_rng(0).normal(size=(2, 1, config.n, config.n, 1))
    expected = learned_solver(trained, config)([tensor(u), tensor(f)])
    np.testing.assert_array_equal(learned_solver(loaded, config)([tensor(u), tensor(f)]), expected)
    first, second = (level.field.B[0].get_weights() for level in smoothed_levels(trained))
    pairs = list(zip(first, second, strict=True))[-1:]
    assert all(np.array_equal(a, b) for a, b in pairs) == share_B


def test_stencils_made_of_coefficients_are_those_of_the_layer_that_was_trained():
    config = quick("jumps", n=7)
    model = scrambled(config)
    given = smoothed_levels(model)[0].field.B[0]
    given.assign(config.operator())
    computed = smoothed_levels(learned_solver(model, config))[0].field.B[0]
    r = np.random.default_rng(0).normal(size=(2, 7, 7, 1))
    np.testing.assert_allclose(computed(tensor(r)), given(tensor(r.astype("float32"))), rtol=1e-4, atol=1e-4)


def test_stencils_of_coefficients_scale_as_the_inverse_of_A():
    A = diffusion(np.random.default_rng(0).uniform(1, 10, (8, 8)))
    B = CoefficientStencil()
    r = tensor(np.random.default_rng(1).normal(size=(1, 7, 7, 1)).astype("float32"))
    B(r)
    results = []
    for scale in (1.0, 50.0):
        B.assign(scale * A)
        results.append(scale * B(r).numpy())
    np.testing.assert_allclose(*results, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("reach", [1, 2, 5, 12])
def test_the_odd_extension_goes_on_with_the_same_sines(reach):
    n, place = 4, np.arange(1 - reach, 5 + reach)
    for k in range(1, n + 1):
        x = np.sin(np.pi * k * np.arange(1, n + 1) / (n + 1))[None]
        extended = odd_extension(tensor(x), reach, 1)
        np.testing.assert_allclose(extended, np.sin(np.pi * k * place / (n + 1))[None], atol=1e-14)


def test_a_chain_of_symmetric_kernels_has_the_eigenvectors_of_A():
    """Three factors of cyclic reduction, of reach seven on a grid of seven, are the inverse of a line but for 2 / 256."""
    B = KernelChain(("column", "column:2", "column:4"), scale=1.0, initial=1.0, dtype="float64")
    B.build((None, 7, 7, 1))
    d = 2.5
    for kernel in B.kernels:  # (d - T)^-1 = (d + T) (d^2 - 2 - T^2)^-1, T^2 the shifts by twice as much
        kernel.assign(np.reshape([1, d, 1], (3, 1, 1)))
        d = d**2 - 2
    u = np.random.default_rng(0).normal(size=(1, 7, 7, 1))
    T = np.diag(np.full(7, 2.5)) - np.eye(7, k=1) - np.eye(7, k=-1)
    computed = B(tensor(np.einsum("ij,njkc->nikc", T, u))).numpy() / d
    remainder = np.abs(computed - u).max()
    assert remainder < 2.1 / d * np.abs(u).max()  # (d_3 - T_8) / d_3


@pytest.mark.parametrize(("kernels", "channels", "cost"), [("cross", 1, 5), ("square column:2", 4, 9 * 4 + 3 * 4)])
def test_cost_is_the_number_of_weights(kernels, channels, cost):
    B = KernelChain(kernels.split(), channels)
    B.build((None, 7, 7, 1))
    assert B.cost == B.count_params() == cost


@pytest.mark.parametrize("problem", PROBLEMS)
def test_work_counts_the_products_of_the_level_table(problem):
    config = SolveConfig(problem, n=31, nu=(2, 1), smoother="jacobi")
    model = solver(31, nu=(2, 1), **config.components())
    entries = [9 if problem == "jumps" and j else 5 for j in range(5)]
    rows = level_rows(model, "V")[:-1]
    A = sum(row.products * entry * np.prod(row.points) for row, entry in zip(rows, entries, strict=False))
    B = sum(3 * np.prod(row.points) for row in rows)
    transfers = 2 * 9 * sum(n**2 for n in (15, 7, 3, 1))  # R and P, and a single point in the end
    np.testing.assert_allclose(cycle_work(config, 3, 1), (A + B + transfers + 1) / (5 * 31**2))
    more = cycle_work(config, 3, (1, 6)) - cycle_work(config, 3, 1)
    np.testing.assert_allclose(more, 3 * 5 * sum(n**2 for n in (15, 7, 3)) / (5 * 31**2))


def test_lines_cost_what_cyclic_reduction_takes():
    """Multiply-adds of R and P, three per point that is left, and of D, which is zero there; then the last point."""
    layer = LineSolver("x")
    layer.build((None, 1, 127, 1))
    count = sum(R.shape[1] * 3 + P.shape[1] * 3 + D.shape[1] - R.shape[1] for R, P, D in layer.reductions) + 1
    assert LINE - 1 < count / 127 <= LINE == fixed_cost("zebra_x")


def test_textbook_remedies_are_rows_of_the_comparison(monkeypatch):
    chosen = {name: comparison.TEXTBOOK[name] for name in ("lines along x", "black box, red-black")}
    monkeypatch.setattr(comparison, "TEXTBOOK", chosen)
    monkeypatch.setattr(comparison, "TEXTBOOK_STEPS", ((1, 1),))
    monkeypatch.setattr(comparison, "CYCLES", 5)
    config = quick("jumps", n=7)
    lines, points = comparison._textbook(config)
    model = solver(7, A=config.operator(), smoother="red_black", transfer="black_box", coarse="galerkin")
    np.testing.assert_allclose(points.factor, convergence_factor(model, 7, 5), rtol=1e-9)
    assert points.factor < lines.factor and points.settings == "nu (1, 1)"  # jumps need the interpolation
    poisson = quick(n=3)  # where the interpolation is bilinear
    assert [row.name for row in comparison._textbook(poisson)] == ["lines along x"]


def test_factors_of_the_sparse_twin_are_those_of_the_layers():
    pytest.importorskip("pyamg")
    jumps = SolveConfig("jumps", n=7, smoother="chebyshev", degree=3)
    for config in (SolveConfig(n=7), SolveConfig("anisotropic", n=7, smoother="red_black"), jumps):
        expected = convergence_factor(solver(7, **config.components()), 7)
        assert abs(factor(pyamg_solver(7, **config.components()), 7) - expected) < 1e-6


def test_responses_are_the_symbol():
    B, gain = responses(solver(127, nu=(1, 0)))
    assert B[8, 8] == 0.2 and np.count_nonzero(B) == 1
    theta = 2 * np.pi * np.fft.fftshift(np.fft.fftfreq(64))
    symbol = 1 - 0.2 * (4 - 2 * np.cos(theta)[:, None] - 2 * np.cos(theta))
    np.testing.assert_allclose(gain, abs(symbol), atol=1e-12)


def test_command(tmp_path, monkeypatch):
    pytest.importorskip("pyamg")
    monkeypatch.setattr(comparison, "TEXTBOOK", {"lines along x": comparison.TEXTBOOK["lines along x"]})
    monkeypatch.setattr(comparison, "CURVE", 2)
    options = ["--n", 7, "--nu", 1, 0, "--train-n", 3, "--steps", 3, "--errors", 4, "--unrolled", 1]
    output = invoke("solve", "poisson", "--learn", *options, "--against", "pyamg", "--out", tmp_path)
    assert (
        "rate: -ln(factor)" in " ".join(output.split())
        and "PyAMG, Ruge-Stuben" in output
        and "same components" not in output
    )
    record = json.loads((tmp_path / "solve.json").read_text())
    learned, *others = record["learned"]["comparison"]
    assert len(record["learned"]["losses"]) == 3 and learned["name"] == "learned"
    assert {row["name"] for row in others} >= {"jacobi", "red_black", "chebyshev", "PyAMG, Ruge-Stuben"}
    assert all(
        0 < row["factor"] < 1 and abs(row["rate"] + np.log(row["factor"]) / row["work"]) < 1e-12 for row in others
    )
    assert (tmp_path / "smoother.png").stat().st_size > 10_000 and (tmp_path / "errors.png").stat().st_size > 10_000
    curves = record["learned"]["errors"]
    assert all(len(curve["total"]) == 3 for curve in curves.values()) and "learned" in curves

    again = ["--n", 7, "--nu", 1, 0, "--smoother", tmp_path / "smoother.keras", "--out", tmp_path / "again"]
    invoke("solve", "poisson", *again)
    repeated = json.loads((tmp_path / "again" / "solve.json").read_text())
    np.testing.assert_allclose(repeated["solutions"][0]["history"], record["solutions"][0]["history"], rtol=1e-9)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["poisson", "--kernels", "crss"], "unknown kernel 'crss'; did you mean 'cross'"),
        (["poisson", "--kernels", "column:x"], "expected a dilation such as column:2"),
        (["poisson", "--channels", "9"], "expected channels <= 8. Received: channels=9"),
        (["poisson", "--train-n", "30"], "expected n = 2^k - 1"),
        (["poisson", "--train-n", "1"], "train_n >= 3"),
        (["poisson", "--steps", "0"], "expected steps >= 1"),
        (["poisson", "--cycle", "W"], "expected cycle V or backslash with --learn"),
        (["jumps", "--kernels", "cross"], "expected no kernels for jumps"),
    ],
)
def test_errors_are_one_line(words, message, tmp_path, refused):
    error = refused("solve", "--learn", *words, "--out", tmp_path / "out")
    assert message in error and not (tmp_path / "out").exists()


def test_files_that_hold_no_smoother_are_refused(tmp_path):
    config = quick(nu=(1, 0))
    trained = scrambled(config)
    with pytest.raises(
        ValueError, match=r"expected nu=\(1, 0\), with which the smoother was trained. Received: nu=\(1, 1\)"
    ):
        learned_solver(trained, replace(config, nu=(1, 1)))
    (tmp_path / "damaged.keras").write_bytes(b"PK")
    x = keras.Input((4,))
    keras.Model(x, keras.layers.Dense(1)(x)).save(tmp_path / "other.keras")
    solver(7, smoother=five_point() / 16).save(tmp_path / "fixed.keras")
    keras.Model(x, keras.layers.Lambda(lambda x: x)(x)).save(tmp_path / "code.keras")
    for name in ("damaged", "other", "fixed", "code"):
        with pytest.raises(ValueError, match=f"expected the smoother.keras of --learn. Received: .*{name}"):
            load_smoother(tmp_path / f"{name}.keras")


def test_stencils_share_a_network_that_is_given():
    """One set of weights for all grids; a copy from a config has a network of its own."""
    first = CoefficientStencil(2)
    second = CoefficientStencil(2, net=first.net)
    for layer, n in ((first, 3), (second, 7)):
        layer.build((None, n, n, 1))
    assert second.net is first.net and len({id(v) for v in (*first.variables, *second.variables)}) == 4 + 2 * 2
    copy = CoefficientStencil.from_config(second.get_config())
    copy.build((None, 7, 7, 1))
    assert copy.net is not first.net
    assert [v.shape for v in copy.variables] == [v.shape for v in second.variables]
