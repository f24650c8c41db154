"""The layers with fixed stencils are multigrid: sparse twins, PyAMG, convergence factors, smoothers, precision, files, XLA."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.ops import convert_to_tensor as tensor
from scipy.sparse.linalg import spsolve

from keras_mgnet.layers import CycleLevel, Inverse, Stencil, StencilTransfer
from keras_mgnet.layers.schemes.smoothers import Chebyshev, RedBlack, ResidualCorrection, chebyshev_omegas
from keras_mgnet.multigrid import anisotropic, convergence_factor, diffusion, five_point, solve, solver
from keras_mgnet.multigrid.iteration import Iteration
from keras_mgnet.multigrid.sparse import operator_matrix, restriction_matrix, sweeps
from keras_mgnet.multigrid.stencils import TRANSFERS
from support import slow_unless

N = 15
CYCLES = {"V(1,0)": (1, 0), "V(1,1)": (1, 1), "V(2,2)": (2, 2)}


def draw(n=N, batch=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(batch, n, n, 1)), rng.normal(size=(batch, n, n, 1))


def flat(x):
    return np.reshape(x, (len(x), -1)).T


def twin_cycle(u, f, grids, R, P, nu, smooth, visits=1):
    """The textbook cycle with sparse matrices: the coarse grid solves the error equation from zero."""
    A, *coarser = grids
    if not coarser:
        return spsolve(A.tocsc(), f).reshape(f.shape)
    for _ in range(nu[0]):
        u = smooth(A, u, f)
    r, e = R[0] @ (f - A @ u), None
    for _ in range(visits if len(coarser) > 1 else 1):
        e = twin_cycle(np.zeros_like(r) if e is None else e, r, coarser, R[1:], P[1:], nu, smooth, visits)
    u = u + P[0] @ e
    for _ in range(nu[1]):
        u = smooth(A, u, f)
    return u


def twin(nu, visits=1, n=N, A=None, transfer="full_weighting", galerkin=False):
    sizes = [(n + 1) // 2**j - 1 for j in range((n + 1).bit_length() - 1)]
    kernels = TRANSFERS[transfer]
    R = [restriction_matrix(kernels.R, m) for m in sizes[:-1]]
    P = [restriction_matrix(kernels.P, m).T for m in sizes[:-1]]
    A = five_point() if A is None else A
    grids = [operator_matrix(A, n)]
    for j, m in enumerate(sizes[1:]):
        grids.append(R[j] @ grids[-1] @ P[j] if galerkin else operator_matrix(A, m))

    def jacobi(A, u, f):
        return u + 0.8 * (f - A @ u) / A.diagonal()[:, None]

    return lambda u, f: twin_cycle(flat(u), flat(f), grids, R, P, nu, jacobi, visits).T.reshape(u.shape)


def agree(computed, expected, tolerance):
    assert np.abs(np.asarray(computed) - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("Pi", ["zero", "injection", "random"])
@pytest.mark.parametrize("nu", CYCLES.values(), ids=CYCLES)
def test_a_cycle_is_that_of_sparse_matrices_whatever_Pi(nu, Pi):
    u, f = draw()
    agree(solver(N, nu=nu, Pi=Pi)([tensor(u), tensor(f)]), twin(nu)(u, f), 1e-13)


@pytest.mark.parametrize(
    ("options", "twin_options"),
    [
        ({"cycle": "W", "nu": (2, 1)}, {"nu": (2, 1), "visits": 2}),
        ({"cycle": "W", "Pi": "injection"}, {"nu": (1, 1), "visits": 2}),
        ({"cycle": "backslash", "nu": (2, 2)}, {"nu": (2, 0)}),
        ({"transfer": "fem", "coarse": "galerkin"}, {"nu": (1, 1), "transfer": "fem", "galerkin": True}),
        ({"transfer": "injection"}, {"nu": (1, 1), "transfer": "injection"}),
        ({"coarse": "galerkin"}, {"nu": (1, 1), "galerkin": True}),
        (
            {"A": anisotropic(0.1), "coarse": "galerkin", "smoother": "jacobi"},
            {"nu": (1, 1), "A": anisotropic(0.1), "galerkin": True},
        ),
    ],
)
def test_components(options, twin_options):
    u, f = draw()
    agree(solver(N, **options)([tensor(u), tensor(f)]), twin(**twin_options)(u, f), 1e-13)


@pytest.mark.parametrize("levels", [2, None])
def test_variable_coefficients(levels):
    """Jumps of 1:1000 with Galerkin operators: the sparse cycle, and the solution of the sparse system."""
    a = np.where(np.random.default_rng(0).random((16, 16)) < 0.5, 1.0, 1000.0)
    A = diffusion(a)
    model = solver(15, A=A, coarse="galerkin", levels=levels, smoother="red_black")
    f = draw(15)[1]
    u, history = solve(model, f, tolerance=1e-9, cycles=200)
    assert (history[-1] <= 1e-9).all()
    agree(u, spsolve(operator_matrix(A, 15).tocsc(), flat(f)).T.reshape(f.shape), 1e-8)
    if levels is None:
        u, f = draw(15)
        expected = twin((1, 1), n=15, A=A, galerkin=True)(u, f)
        textbook = solver(15, A=A, coarse="galerkin", transfer="full_weighting", smoother="jacobi")
        agree(textbook([tensor(u), tensor(f)]), expected, 1e-12)


@pytest.mark.parametrize("Pi", slow_unless(["zero"], ["zero", "injection", "random"]))
@pytest.mark.parametrize("nu", CYCLES.values(), ids=CYCLES)
def test_a_cycle_is_pyamgs(nu, Pi):
    """PyAMG's own cycle with the same A, R, P; its Jacobi by `change_smoothers`, which would divide omega by a norm of A."""
    pyamg = pytest.importorskip("pyamg")
    from pyamg.relaxation.smoothing import change_smoothers

    levels = []
    for m in (15, 7, 3, 1):
        level = pyamg.multilevel.MultilevelSolver.Level()
        level.A = pyamg.gallery.poisson((m, m), format="csr")
        if m > 1:
            level.R = restriction_matrix(TRANSFERS["full_weighting"].R, m)
            level.P = level.R.T.tocsr()
        levels.append(level)
    ml = pyamg.multilevel.MultilevelSolver(levels, coarse_solver="pinv")
    steps = [("jacobi", {"omega": 0.8, "iterations": count, "withrho": False}) if count else None for count in nu]
    change_smoothers(ml, *steps)
    u, f = draw(batch=1)
    expected = ml.solve(f.ravel(), x0=u.ravel(), maxiter=1, tol=1e-16).reshape(f.shape)
    agree(solver(N, nu=nu, Pi=Pi)([tensor(u), tensor(f)]), expected, 1e-12)


FACTORS = {  # smoother, degree -> factors of V(1,0), V(1,1), V(2,1), V(2,2) on n = 63
    ("jacobi", 2): (0.597, 0.367, 0.239, 0.191),
    ("red_black", 2): (0.340, 0.119, 0.0815, 0.0617),
    ("chebyshev", 2): (0.224, 0.160, 0.112, 0.087),
    ("chebyshev", 3): (0.187, 0.108, 0.077, 0.060),
    ("chebyshev", 4): (0.152, 0.084, 0.060, 0.047),
}
STEPS = ((1, 0), (1, 1), (2, 1), (2, 2))
CASES = [(*key, nu, factor) for key, row in FACTORS.items() for nu, factor in zip(STEPS, row, strict=True)]
QUICK = [("jacobi", (2, 1)), ("red_black", (1, 1)), ("chebyshev", (1, 1))]


@pytest.mark.parametrize(
    ("smoother", "degree", "nu", "factor"),
    [
        pytest.param(*case, marks=[] if (case[0], case[2]) in QUICK and case[1] == 2 else pytest.mark.slow)
        for case in CASES
    ],
)
def test_factors(smoother, degree, nu, factor):
    model = solver(63, smoother=smoother, degree=degree, nu=nu)
    assert abs(convergence_factor(model, 63) - factor) < 0.002


@pytest.mark.parametrize(
    ("smoother", "nu", "sizes"),
    [
        ("jacobi", (1, 1), (31, 63)),
        *(
            pytest.param(name, nu, (31, 63, 127), marks=pytest.mark.slow)
            for name in ("jacobi", "red_black", "chebyshev")
            for nu in ((1, 1), (2, 2))
        ),
    ],
)
def test_factors_do_not_depend_on_n(smoother, nu, sizes):
    factors = [convergence_factor(solver(n, smoother=smoother, nu=nu), n) for n in sizes]
    assert np.ptp(factors) < 0.01


def test_single_precision_has_the_same_factor():
    assert abs(convergence_factor(solver(63, dtype="float32"), 63) - FACTORS["jacobi", 2][1]) < 0.002


TWO_GRIDS = {  # as FACTORS, the coarse grid solved exactly
    ("jacobi", 2): (0.597, 0.358, 0.215, 0.136),
    ("red_black", 2): (0.249, 0.0739, 0.0525, 0.0408),
    ("chebyshev", 2): (0.219, 0.120, 0.079, 0.062),
    ("chebyshev", 3): (0.125, 0.079, 0.055, 0.042),
    ("chebyshev", 4): (0.110, 0.060, 0.042, 0.032),
}


@pytest.mark.slow
@pytest.mark.parametrize(("smoother", "degree"), TWO_GRIDS)
def test_factors_of_two_grids(smoother, degree):
    models = [solver(63, levels=2, smoother=smoother, degree=degree, nu=nu) for nu in STEPS]
    computed = [convergence_factor(model, 63) for model in models]
    np.testing.assert_allclose(computed, TWO_GRIDS[smoother, degree], atol=0.01)


def test_two_grids_and_other_weights():
    assert abs(convergence_factor(solver(31, levels=2), 31) - 0.358) < 0.01
    assert abs(convergence_factor(solver(31, omega=2 / 3), 31) - 0.444) < 0.01
    assert abs(convergence_factor(solver(31, omega=2 / 3, nu=(2, 2)), 31) - 0.223) < 0.01
    assert convergence_factor(solver(31, omega=1.0), 31) > 0.9


def test_smoothing_alone_hardly_converges():
    factors = [convergence_factor(solver(n, levels=1, coarsest="smooth", nu=(1, 0)), n, cycles=60) for n in (7, 15)]
    exact = [1 - 0.8 * (1 - np.cos(np.pi / (n + 1))) for n in (7, 15)]  # 1 - omega (1 - cos pi h)
    np.testing.assert_allclose(factors, exact, atol=1e-6)


@pytest.mark.parametrize("n", slow_unless([31], [31, 63, 127]))
def test_ten_cycles(n):
    model, error = solver(n), np.random.default_rng(0).normal(size=(1, n, n, 1))
    u, f = error, np.zeros_like(error)
    for _ in range(10):
        u = model.predict_on_batch([u, f])
    assert np.linalg.norm(u) < 2e-5 * np.linalg.norm(error)


@pytest.mark.parametrize("grids", slow_unless([5], [5, 6]))
def test_the_demonstration_of_the_authors(grids):
    """KAUST: S for B, linear elements, two steps on every grid, on the coarsest too, none on the way up."""
    S = np.array([[0, 1, 0], [1, 12, 1], [0, 1, 0]]) / 64
    options = {"cycle": "backslash", "nu": (2, 0), "smoother": S, "transfer": "fem", "coarsest": "smooth"}
    factors = [convergence_factor(solver(2**J - 1, **options), 2**J - 1) for J in range(2, grids + 1)]
    np.testing.assert_allclose(factors, (0.253, 0.338, 0.380, 0.394, 0.395)[: grids - 1], atol=0.006)


def test_residuals_of_the_demonstration():
    """KAUST on four grids, f = h^2 and a random start: residuals after 1, 5, 10 and 20 cycles within the draw of the start."""
    S = np.array([[0, 1, 0], [1, 12, 1], [0, 1, 0]]) / 64
    options = {"cycle": "backslash", "nu": (2, 0), "smoother": S, "transfer": "fem", "coarsest": "smooth"}
    u = np.random.default_rng(0).normal(size=(1, 15, 15, 1))
    f = np.full_like(u, 1 / 16**2)
    _, history = Iteration(solver(15, **options))(f, u, tolerance=1e-12, cycles=20)
    computed = history[[1, 5, 10, 20], 0] * np.linalg.norm(f)
    assert np.abs(np.log(computed / (4.3, 3.0e-2, 1.4e-4, 5.5e-9))).max() < np.log(3)


def smoothed(scheme, B, u, f, n=N):
    level = CycleLevel(
        1,
        scheme.nu,
        0,
        B=(None, None),
        operators=(Stencil(five_point().tolist(), dtype="float64"), B),
        smoothers=(scheme, ResidualCorrection(0)),
        dtype="float64",
    )
    r = f - (operator_matrix(five_point(), n) @ flat(u)).T.reshape(f.shape)
    return level(tensor(r), tensor(u))[0]


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_chebyshev_is_the_polynomial_of_the_textbook(degree):
    u, f = draw(batch=1)
    scheme = Chebyshev(2 * degree, chebyshev_omegas(0.6, degree) * 2, dtype="float64")
    computed = smoothed(scheme, Stencil([[0.8 / 4]], None, dtype="float64"), u, f)
    A, x = operator_matrix(five_point(), N), flat(u)
    for _ in range(2):
        theta, delta = 1.25, 0.75
        s = theta / delta
        rho, d = 1 / s, (flat(f) - A @ x) / 4 / theta
        x = x + d
        for _ in range(degree - 1):
            previous, rho = rho, 1 / (2 * s - rho)
            d = rho * previous * d + 2 * rho / delta * (flat(f) - A @ x) / 4
            x = x + d
    agree(flat(computed), x, 1e-14)


@pytest.mark.parametrize("smoother", ["jacobi", "red_black", "chebyshev"])
def test_smoothers_are_pyamgs(smoother):
    pytest.importorskip("pyamg")
    u, f = draw(batch=1)
    scheme, weight = {
        "jacobi": (ResidualCorrection(2), 0.8),
        "red_black": (RedBlack(4), 1.0),
        "chebyshev": (Chebyshev(6, chebyshev_omegas(0.6, 3) * 2, dtype="float64"), 0.8),
    }[smoother]
    computed = smoothed(scheme, Stencil([[weight / 4]], None, dtype="float64"), u, f)
    expected = u.ravel().copy()
    sweeps(smoother, N, 2, 0.8, 3)(operator_matrix(five_point(), N), expected, f.ravel())
    agree(computed, expected.reshape(u.shape), 1e-14)


@pytest.mark.parametrize("sweep", ["forward", "backward"])
def test_lexicographic_gauss_seidel_is_pyamgs(sweep):
    """B = (D + L)^{-1} is no convolution, but a layer."""
    relaxation = pytest.importorskip("pyamg.relaxation.relaxation")
    A, (u, f) = operator_matrix(five_point(), N), draw(batch=1)
    triangle = (np.tril if sweep == "forward" else np.triu)(A.toarray())
    B = Inverse(dtype="float64")
    B.build((None, N, N, 1))
    B.matrix.assign(np.linalg.inv(triangle))
    computed = smoothed(ResidualCorrection(2), B, u, f)
    expected = u.ravel().copy()
    relaxation.gauss_seidel(A, expected, f.ravel(), iterations=2, sweep=sweep)
    agree(computed, expected.reshape(u.shape), 1e-14)


def test_transfers_are_adjoint_and_carry_several_channels():
    transfer = StencilTransfer(np.random.default_rng(0).normal(size=(3, 3)).tolist(), dtype="float64")
    x, y = (np.random.default_rng(1).normal(size=(2, n, n, 3)) for n in (15, 7))
    down, up = transfer(tensor(x)).numpy(), transfer(tensor(x), tensor(y)).numpy()
    assert abs(np.vdot(down, y) - np.vdot(x, up)) <= 1e-13 * np.linalg.norm(down) * np.linalg.norm(y)
    np.testing.assert_allclose(transfer(tensor(x[..., 1:2])), down[..., 1:2])


def test_the_divisor_has_the_digits_of_the_layer():
    divided = Stencil([[1.0]], divisor=0.3, dtype="float64")(np.ones((1, 1, 1, 1)))
    assert float(divided[0, 0, 0, 0]) == 1 / 0.3


def test_any_B_keeps_the_solution():
    """The fixed point is exact by construction: the cycle sees f - A * u alone, and maps zero to zero."""
    B = [keras.layers.Conv2D(1, 3, padding="same", use_bias=False, dtype="float64") for _ in range(3)]
    model = solver(15, smoother=B)
    f = draw(15)[1]
    u = spsolve(operator_matrix(five_point(), 15).tocsc(), flat(f)).T.reshape(f.shape)
    agree(model([tensor(u), tensor(f)]), u, 1e-12)
    assert len(model.trainable_weights) == 3 and not solver(15).trainable_weights
    with tf.GradientTape() as tape:
        loss = keras.ops.sum(keras.ops.square(model([tensor(0 * u), tensor(f)]) - u))
    gradients = tape.gradient(loss, [w.value for w in model.trainable_weights])
    assert all(np.abs(g).max() > 0 for g in gradients)


def test_refinement_in_single_precision_reaches_double():
    f = draw()[1]
    with pytest.warns(UserWarning, match="the residual is"):
        _, single = solve(solver(N, dtype="float32"), f, tolerance=1e-13, cycles=40)
    u, refined = solve(solver(N, cycle_dtype="float32", smoother="red_black"), f, tolerance=1e-13, cycles=40)
    assert u.dtype == "float64" and (refined[-1] <= 1e-13).all() and len(refined) < 18
    assert (single[-1] > 1e-8).any()


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"smoother": "chebyshev", "cycle": "W"}, marks=pytest.mark.slow),
        {"smoother": "red_black", "Pi": "random"},
        {"A": diffusion(np.random.default_rng(0).uniform(1, 2, (8, 8))), "levels": 2},
        pytest.param(
            {
                "A": diffusion(np.random.default_rng(0).uniform(1, 99, (8, 8))),
                "transfer": "black_box",
                "coarse": "galerkin",
            },
            marks=pytest.mark.slow,
        ),
        pytest.param({"A": anisotropic(0.01), "coarsening": "strong", "coarse": "galerkin"}, marks=pytest.mark.slow),
        pytest.param({"A": anisotropic(0.01), "smoother": "zebra"}, marks=pytest.mark.slow),
    ],
)
def test_saved_and_compiled_by_xla(options, tmp_path):
    model, (u, f) = solver(7, **options), draw(7)
    expected = model([tensor(u), tensor(f)])
    model.save(tmp_path / "solver.keras")
    loaded = keras.saving.load_model(tmp_path / "solver.keras")
    np.testing.assert_array_equal(loaded([tensor(u), tensor(f)]), expected)
    loaded.compile(jit_compile=True)
    agree(loaded.predict_on_batch([u, f]), expected, 1e-14)


def test_solve_stops_at_the_tolerance_with_the_true_residuals():
    f = draw()[1]
    u, history = solve(solver(N), f, tolerance=1e-6)
    r = flat(f) - operator_matrix(five_point(), N) @ flat(u)
    np.testing.assert_allclose(history[-1], np.linalg.norm(r, axis=0) / np.linalg.norm(flat(f), axis=0), rtol=1e-6)
    assert (history[-1] <= 1e-6).all() and not (history[-2] <= 1e-6).all() and (history[0] == 1).all()
    _, more = Iteration(solver(N), jit_compile=True)(f, u, tolerance=1e-9)
    np.testing.assert_allclose(more[0], history[-1], rtol=1e-6)
    np.testing.assert_array_equal(solve(solver(N), np.zeros_like(f))[1], [[0, 0]])


def neumann(n):
    """-Laplace u with no flux through the boundary: a constant is mapped to zero."""
    A = np.tile(five_point(), (n, n, 1, 1))
    A[0, :, 0, 1] = A[-1, :, 2, 1] = A[:, 0, 1, 0] = A[:, -1, 1, 2] = 0
    A[..., 1, 1] -= A.sum((-2, -1))
    return A


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: solver(30),
            r"expected n = 2\^k - 1 points per side of a square, such as 31, 63 or 127; .* Received: n=30",
        ),
        (lambda: solver(True), r"expected n = 2\^k - 1"),
        (lambda: solver(31, cycle="w"), "unknown cycle 'w'"),
        (lambda: solver(31, smoother="jacoby"), "unknown smoother 'jacoby'; did you mean 'jacobi'"),
        (lambda: solver(31, smoother=[Stencil([[0.2]])]), "expected a layer B for each of 4 grids"),
        (lambda: solver(31, nu=(0, 0)), "expected at least one smoothing step"),
        (lambda: solver(31, nu=(1, -1)), r"expected nu=\(down, up\), two integers >= 0"),
        (lambda: solver(31, levels=6), "expected 1 to 5 levels for n=31. Received: levels=6"),
        (lambda: solver(255, levels=1), "expected at most 63 points per side on the coarsest grid"),
        (lambda: solver(31, Pi="one"), "unknown Pi 'one'"),
        (lambda: solver(31, coarse="galerki"), "did you mean 'galerkin'"),
        (lambda: solver(31, omega=0), "expected omega to be positive"),
        (lambda: solver(31, smoother="chebyshev", degree=0), "expected degree >= 1"),
        (lambda: solver(31, A=np.ones((5, 5))), r"expected A to be a stencil \(3, 3\)"),
        (lambda: solver(7, A=neumann(7)), r"expected an invertible A, .*Received: A \* 1 = 0 at every point"),
        (lambda: solver(31, A=-five_point()), "expected a positive diagonal of A"),
        (lambda: solver(31, Pi="random", cycle_dtype="float32"), "expected Pi='zero' with a cycle_dtype"),
        (lambda: solve(solver(7), np.ones((1, 7, 6, 1))), r"expected f and u of shape \(N, 7, 7, 1\)"),
        (lambda: convergence_factor(solver(7), 15), "expected n=7"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
