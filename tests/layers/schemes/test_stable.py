"""The stable networks as numerical schemes: their equations, eigenvalues, energies, growth and orders."""

import re

import keras
import numpy as np
import pytest
from scipy.linalg import expm

from keras_mgnet import HamiltonianNet
from keras_mgnet.layers import Conv, Coupling, Force, InTurn, Level, autodiff, steps
from keras_mgnet.layers.schemes.two_step import SecondOrder
from support.fields import Decay
from support.numerics import randomize
from support.reversible import DAMPING, STABLE, level_of, network, relative
from support.twins import matrix


def twin(scheme, level, previous, x, dt):
    """The schemes of section 5.10 in numpy, by the matrices of K; states are (N, H W c)."""
    shape, s = level.output[0].shape[1:], lambda x: np.maximum(x, 0)
    blocks = []
    for force in level.field.fields:
        K = [matrix(k, shape) for k in force.K]  # of the midpoint rule, K - K^T
        b = [np.tile(keras.ops.convert_to_numpy(bias), np.prod(shape[:2])) for bias in force.b]
        blocks.append((K, b))
    for j, (K, b) in enumerate(blocks):
        if scheme == "hamiltonian":
            previous = previous + dt * s(x @ K[0].T + b[0]) @ K[0]
            x = x - dt * s(previous @ K[1].T + b[1]) @ K[1]
        elif scheme == "verlet":
            previous = previous - dt * s(x @ K[0] + b[0])
            x = x + dt * s(previous @ K[0].T + b[0])
        elif scheme == "leapfrog":
            following = 2 * x - (x - dt * previous) - dt**2 * s(x @ K[0].T + b[0]) @ K[0]
            previous, x = (following - x) / dt, following
        elif scheme in ("second_order", "damped"):
            c = DAMPING if scheme == "damped" else 0.0
            force = (dt**2 if j else dt**2 / 2) * s(x @ K[0].T + b[0])
            previous, x = x, (2 * x - (1 - c * dt / 2) * previous + force) / (1 + c * dt / 2)
        elif scheme == "velocity_verlet":  # as printed, with v_n; the level returns v_n + h F_n / 2
            force = s(x @ K[0].T + b[0])
            velocity = previous + dt / 2 * force if j else previous
            previous, x = velocity + dt / 2 * force, x + dt * velocity + dt**2 / 2 * force
        else:
            previous, x = x, previous + (2 if j else 1) * dt * s(x @ K[0].T + b[0])
    return previous, x


@pytest.mark.parametrize(("scheme", "inner"), [*((s, None) for s in STABLE), ("hamiltonian", 5), ("leapfrog", 3)])
def test_levels_equal_their_numpy_twins(scheme, inner):
    options = {} if inner is None else {"inner": inner}  # K is not square
    level, draw = level_of(scheme, 3, dt=0.3, dtype="float64", channels=(4,), input_shape=(3, 4, 1), **options)
    randomize(level)
    state = draw()
    flat = [x.numpy().reshape(len(x), -1) for x in state]
    for computed, expected in zip(level(*state), twin(scheme, level, *flat, dt=0.3), strict=True):
        np.testing.assert_allclose(computed.numpy().reshape(expected.shape), expected, rtol=1e-12, atol=1e-12)


def test_verlets_method_takes_a_K_that_is_not_square():
    """Lu2017: it "can handle non-square weighting matrices". Z has 3 channels and Y has 5; the level has its inverse."""
    options = {"channels": (8,), "inner": 3, "input_shape": (3, 4, 1), "dtype": "float64"}
    level = randomize(network("verlet", 2, dt=0.3, **options)).get_layer("level1")
    z, y = state = [np.random.default_rng(c).normal(size=(2, 3, 4, c)) for c in (3, 5)]
    z, y = z.reshape(2, -1), y.reshape(2, -1)
    for force in level.field.fields:
        K = matrix(force.K[0], (3, 4, 3))
        of_z, of_y = (np.tile(keras.ops.convert_to_numpy(b), 12) for b in force.b)
        z = z - 0.3 * np.maximum(y @ K + of_z, 0)
        y = y + 0.3 * np.maximum(z @ K.T + of_y, 0)
    found = level(*state)
    for computed, expected in zip(found, (z, y), strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(computed).reshape(2, -1), expected, rtol=1e-11, atol=1e-11
        )
    for computed, expected in zip(level.inverse(*found), state, strict=True):
        np.testing.assert_allclose(computed, expected, atol=1e-12)


def test_gamma_makes_forward_euler_stable_from_its_bound_on():
    """gamma >= 2 (1 - sqrt(1 - h^2 mu^2)) / h: 0.3992 for h = 0.1 and mu = 1.988, 0.4041 for mu = 2."""
    h, shape = 0.1, (3, 3, 2)

    def bound(mu):
        return 2 * (1 - np.sqrt(1 - h**2 * mu**2)) / h

    def growth(mu, gamma):
        force = Force(2, ("damped_skew",), (h,), gamma=gamma, activation="linear", dtype="float64")
        force.build((None, *shape))
        largest = np.abs(np.linalg.eigvals(matrix(force.K[0], shape) / 2)).max()
        force.K[0].kernel.assign(force.K[0].kernel * (mu / largest))
        return np.abs(np.linalg.eigvals(np.eye(np.prod(shape)) + matrix(force, shape))).max()

    assert [round(bound(mu), 4) for mu in (1.988, 2.0)] == [0.3992, 0.4041]
    for mu in (1.0, 1.988, 2.0):
        assert growth(mu, bound(mu)) <= 1 + 1e-12 < growth(mu, bound(mu) - 1e-3)
    assert growth(1.0, 0.0) == pytest.approx(np.sqrt(1 + h**2))


def test_every_coupling_preserves_volume_and_gradients_make_it_symplectic():
    """The Jacobian J of a block has det J = 1. J^T W J = W holds for the Hamiltonian network, and not for RevNet's F and G."""
    W = np.kron([[0, 1], [-1, 0]], np.eye(12))
    defects = {}
    for scheme in ("hamiltonian", "verlet", "revnet"):
        shape = {"channels": (4,), "input_shape": (2, 3, 1), "dtype": "float64", "activation": "tanh"}
        level, draw = level_of(scheme, 1, **shape)
        randomize(level)
        state = [x[:1] for x in draw()]
        basis = [[keras.ops.convert_to_tensor(part.reshape(1, 2, 3, 2)) for part in np.split(e, 2)] for e in np.eye(24)]
        rows = [autodiff.vjp(lambda *x, level=level: level(*x), *state)[1](tuple(cotangents)) for cotangents in basis]
        J = np.reshape([[keras.ops.convert_to_numpy(part) for part in row] for row in rows], (24, 24))
        assert np.linalg.det(J) == pytest.approx(1, rel=1e-9)
        defects[scheme] = np.abs(J.T @ W @ J - W).max()
    assert defects["hamiltonian"] < 1e-12 and min(defects["verlet"], defects["revnet"]) > 1e-2
    assert Coupling.method.name == "semi-implicit Euler (additive coupling)"


@pytest.mark.parametrize("inner", [None, 3])
def test_the_parabolic_network_lowers_its_energy_and_equals_its_equation(inner):
    """Y' = Y - h K^T s(K Y + b): with sigma = max(x, 0) a gradient step of |max(K Y + b, 0)|^2 / 2, which falls for small h."""
    shape = {"channels": (2,), "inner": inner, "input_shape": (3, 4, 1)}
    model = randomize(network("parabolic", 3, dt=0.05, dtype="float64", **shape))
    level = model.get_layer("level1")
    x = np.random.default_rng(0).normal(size=(4, 3, 4, 2))
    expected, (h, shape) = x.reshape(4, -1), (0.05, x.shape[1:])
    for K, b in zip(level.field.K, level.field.b, strict=True):
        K, b = matrix(K, shape), np.tile(b.numpy(), 12)
        before = np.maximum(expected @ K.T + b, 0)
        expected = expected - h * before @ K
        assert (np.maximum(expected @ K.T + b, 0) ** 2).sum() < (before**2).sum()
    np.testing.assert_allclose(level(x).numpy().reshape(4, -1), expected, rtol=1e-12, atol=1e-12)
    assert level.method.name == "forward Euler, parabolic" and model.name == "parabolic8"


def test_without_damping_the_second_order_network_is_the_two_step_method_with_k_minus_one():
    """Verlet's method as Lu2017 prints it, y_{j+1} = 2 y_j - y_{j-1} + h^2 s(K_j y_j + b_j), which Lu2018 (1) has for k = -1."""
    level, draw = level_of("second_order", 3, dt=0.3, dtype="float64")
    randomize(level)
    previous, x = state = draw()
    for i in range(3):
        previous, x = x, steps.linear_multistep(x, previous, level.field(x, i=i), -1.0)
    assert relative(level(*state)[1], x) <= 1e-14
    assert level.method.name == "Verlet"
    assert level_of("damped", 1)[0].method.equation == "y'' + c y' = s(K y + b), y'(0) = 0"


def test_damping_takes_energy_and_nothing_else_does():
    """y'' + c y' = -y: the energy of the undamped network stays near its first value, that of the damped one falls."""

    def energies(damping):
        level = Level(SecondOrder(damping * 0.05), InTurn([Decay(1, -0.01)] * 400), dtype="float64")
        states = [np.ones((1, 1, 1, 1)), np.ones((1, 1, 1, 1))]
        found = []
        for _ in range(5):
            states = level(*states)
            y0, y1 = (float(y) for y in map(np.squeeze, map(keras.ops.convert_to_numpy, states)))
            found.append(((y1 - y0) / 0.1) ** 2 / 2 + y0 * y1 / 2)
        return found

    np.testing.assert_allclose(energies(0.0), 0.5, rtol=1e-2)
    assert energies(0.2)[-1] < 1e-6


K_GROWS, K_DECAYS, K_TURNS = (np.array(K, float) for K in ([[2, -2], [0, 2]], [[-2, 0], [2, -2]], [[0, -1], [1, 0]]))


@pytest.mark.parametrize("sigma", [lambda x: x, np.tanh], ids=["linear", "tanh"])
def test_features_over_a_thousand_layers(sigma):
    """Lu2017, Fig. 1: by the matrix they explode, vanish or stay, the last with the midpoint rule and Verlet's method."""
    h, start = 0.1, np.array([0.3, 0.4])

    def euler(K):
        x, sizes = start, []
        for _ in range(1000):
            x = steps.euler(x, h * steps.single_layer(x, K.dot, 0.0, sigma))
            sizes.append(np.abs(x).max())
        return sizes

    def midpoint(K):
        previous, x, sizes = start, start, []
        for j in range(1000):
            force = (2 * h if j else h) * steps.single_layer(x, K.dot, 0.0, sigma)
            previous, x = x, steps.coupling(previous, force)
            sizes.append(np.abs(x).max())
        return sizes

    def verlet(K):
        z, y, sizes = np.zeros(2), start, []
        for _ in range(1000):
            z = steps.coupling(z, -h * steps.single_layer(y, K.T.dot, 0.0, sigma))
            y = steps.coupling(y, h * steps.single_layer(z, K.dot, 0.0, sigma))
            sizes.append(np.abs(y).max())
        return sizes

    assert euler(K_GROWS)[-1] > 50
    assert euler(K_DECAYS)[-1] < 1e-12
    assert euler(K_TURNS)[-1] > 1.5 * euler(K_TURNS)[0]
    for scheme in (midpoint, verlet):
        sizes = scheme(K_TURNS)
        assert max(sizes) < 1 and max(sizes[-100:]) > 0.3


SIGMAS = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh}
SHAPE = (12, 12, 32)  # of the states of the growth over depth
GROWTH = {  # scheme -> factors by which 200 new blocks change the norm of a state, and a small difference of two states
    "hamiltonian": {"relu": (6.5, 6.0), "tanh": (1.8, 2.7)},
    "midpoint": {"relu": (1.0e7, 4.5e5), "tanh": (1.9, 3.8)},
    "leapfrog": {"relu": (1.8, 1.8), "tanh": (1.3, 1.6)},
    "verlet": {"relu": (2.8e4, 600), "tanh": (1.2, 1.35)},
    "second_order": {"relu": (1.1e6, 4.5e4), "tanh": (13, 26)},
    "velocity_verlet": {"relu": (1.1e6, 4.5e4), "tanh": (13, 26)},
    "antisymmetric": {"relu": (180, 9), "tanh": (0.06, 0.06)},
    "parabolic": {"relu": (2.3e-5, 2.4e-5), "tanh": (2.7e-9, 2.9e-9)},
}


def convolved(x, k):
    """The convolution of x (N, H, W, c) with k (3, 3, c, c), zero-padded."""
    p = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return sum(p[:, i : i + x.shape[1], j : j + x.shape[2]] @ k[i, j] for i, j in np.ndindex(3, 3))


def transposed(k):
    return k[::-1, ::-1].swapaxes(2, 3)


def numpy_block(scheme, s, j, kernels, first, x, h=0.1):
    """Block j of a scheme with zero biases, as the docstring of HamiltonianNet prints it."""
    k = kernels[0]
    if scheme == "hamiltonian":
        first = first + h * convolved(s(convolved(x, k)), transposed(k))
        return first, x - h * convolved(s(convolved(first, kernels[1])), transposed(kernels[1]))
    if scheme == "verlet":
        first = first - h * s(convolved(x, transposed(k)))
        return first, x + h * s(convolved(first, k))
    if scheme == "midpoint":
        return x, first + (2 if j else 1) * h * s(convolved(x, k - transposed(k)))
    if scheme == "second_order":
        return x, 2 * x - first + (1 if j else 1 / 2) * h**2 * s(convolved(x, k))
    if scheme in ("leapfrog", "velocity_verlet"):
        force = -convolved(s(convolved(x, k)), transposed(k)) if scheme == "leapfrog" else s(convolved(x, k))
        first = first + (1 if j or scheme == "leapfrog" else 1 / 2) * h * force
        return first, x + h * first
    if scheme == "antisymmetric":
        return first, x + h * s((convolved(x, k - transposed(k)) - 0.4 * x) / 2)
    return first, x - h * convolved(s(convolved(x, k)), transposed(k))


def package_block(level, j, kernels, state):
    """Block j of a level: its first block for j = 0, else its second one, with these kernels."""
    field = level.field
    force = field.fields[min(j, 1)] if isinstance(field, InTurn) else field
    for K, kernel in zip(force.K, kernels, strict=False):
        K.kernel.assign(kernel)
    for i in range(force.uses if isinstance(field, InTurn) else 1):
        state = level.scheme.step(i, force.at(i), *state)
    return state


def deep(scheme, sigma, blocks, package=False):
    """The pairs (first, x) of two close states after some blocks, each with new kernels of the default initialiser."""
    rng, halves = np.random.default_rng(0), scheme in ("hamiltonian", "verlet")
    shape = (*SHAPE[:2], SHAPE[2] // (2 if halves else 1))
    first, x = (np.stack([y, y + 1e-6 * d]) for y, d in rng.normal(size=(2, 2, *shape)))
    first = first if halves else 0 * x if scheme in ("leapfrog", "velocity_verlet") else x
    if package:
        options = {"channels": SHAPE[2:], "input_shape": (*SHAPE[:2], 1), "dtype": "float64", "activation": sigma}
        level = network(scheme, 2, **options).get_layer("level1")
        state = [keras.ops.convert_to_tensor(y) for y in ([first, x] if isinstance(level.field, InTurn) else [x])]
    start = sizes(scheme, first, x)
    for j in range(blocks):
        kernels = rng.normal(size=(2, 3, 3, shape[2], shape[2])) * np.sqrt(2 / (9 * shape[2]))
        if package:
            state = package_block(level, j, kernels, state)
        else:
            first, x = numpy_block(scheme, SIGMAS[sigma], j, kernels, first, x)
    if package:
        first, x = (keras.ops.convert_to_numpy(y) for y in (state[0], state[-1]))
    return x, np.divide(sizes(scheme, first, x), start)


def sizes(scheme, first, x):
    """The norm of a state, and of its difference from the state next to it. The state is x, or both halves."""
    y = np.concatenate([first, x], axis=-1) if scheme in ("hamiltonian", "verlet") else x
    return np.linalg.norm(y[0]), np.linalg.norm(y[1] - y[0])


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("scheme", GROWTH)
def test_growth_over_two_hundred_blocks(scheme, sigma):
    """As the docstring of HamiltonianNet has it, from the equations in numpy; the level is held to them over six blocks."""
    _, (of_state, of_difference) = deep(scheme, sigma, 200)
    state, difference = GROWTH[scheme][sigma]
    assert 0.7 < of_state / state < 1.4 and 0.35 < of_difference / difference < 2
    relu, tanh = re.search(rf'- "{scheme}": (\S+) with relu, (\S+) with tanh', HamiltonianNet.__doc__).groups()
    assert float({"relu": relu, "tanh": tanh}[sigma]) == state
    np.testing.assert_allclose(
        deep(scheme, sigma, 6, package=True)[0], deep(scheme, sigma, 6)[0], rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("sigma", SIGMAS)
def test_eigenvalues_of_the_jacobians(sigma):
    """With one K for all times: imaginary, in the left half-plane, or any, at a random state and with a random bias."""
    rng, shape = np.random.default_rng(0), (3, 4, 2)
    x = keras.ops.convert_to_tensor(rng.normal(size=(1, *shape)))

    def jacobian(form, gamma=0.0):
        force = Force(2, (form,), (1.0,), gamma=gamma, activation=sigma, dtype="float64")
        force.build((None, *shape))
        randomize(force, seed=int(rng.integers(99)))
        basis = [keras.ops.convert_to_tensor(row.reshape(x.shape)) for row in np.eye(np.prod(shape))]
        rows = [autodiff.vjp(force, x)[1](row)[0] for row in basis]
        return np.reshape([keras.ops.convert_to_numpy(row) for row in rows], (len(rows), -1)), force

    def second_order(J):  # y'' = f(y) as a system
        return np.block([[np.zeros_like(J), J], [np.eye(len(J)), np.zeros_like(J)]])

    (one, _), (two, _) = jacobian("gradient"), jacobian("gradient")
    zero = np.zeros_like(one)
    single, force = jacobian("single")
    K, b = matrix(force.K[0], shape), np.tile(force.b[0].numpy(), 12)
    slope = {"relu": lambda z: (z > 0) * 1.0, "tanh": lambda z: 1 / np.cosh(z) ** 2}[sigma]
    z = rng.normal(size=len(K))
    np.testing.assert_allclose(single, slope(K @ x.numpy().ravel() + b)[:, None] * K, atol=1e-12)
    imaginary = {
        "hamiltonian": np.block([[zero, one], [-two, zero]]),
        "verlet": np.block([[zero, single], [-slope(K.T @ z + b)[:, None] * K.T, zero]]),
        "midpoint": jacobian("skew")[0],
        "leapfrog": second_order(-one),
    }
    for J in imaginary.values():
        values = np.linalg.eigvals(J)
        assert np.abs(values.real).max() < 1e-6 * np.abs(values).max() and np.abs(values.imag).max() > 0.1
    damped = np.linalg.eigvals(jacobian("damped_skew", gamma=0.4)[0])
    assert damped.real.max() < 1e-9 and np.abs(damped.imag).max() > 0.1
    np.testing.assert_allclose(one, one.T, atol=1e-12)
    assert np.linalg.eigvalsh(one).min() > -1e-12  # the parabolic network has -K^T s'(...) K
    assert np.linalg.eigvals(second_order(single)).real.max() > 0.1


DENSE = {"input_shape": (1, 1, 1), "dtype": "float64", "activation": "linear"}


def errors(scheme, blocks, exact_start):
    """Error at T = 1 of a level of `blocks` blocks with one linear K, by the exponential of the system it discretises."""
    h = 1 / blocks
    net = network(scheme, blocks, dt=h, channels=(4,), **DENSE)
    level, K = net.get_layer("level1"), np.random.default_rng(5).normal(size=(2, 2))
    if scheme not in ("hamiltonian", "verlet"):
        K = np.random.default_rng(5).normal(size=(4, 4))
    for conv in (part for part in level._flatten_layers() if isinstance(part, Conv)):
        kernel = np.zeros(conv.kernel.shape)
        kernel[1, 1] = K.T
        conv.kernel.assign(kernel)
    zero, eye, gram, n = np.zeros_like(K), np.eye(len(K)), K.T @ K, len(K)
    system = {
        "hamiltonian": np.block([[zero, gram], [-gram, zero]]),
        "verlet": np.block([[zero, -K.T], [K, zero]]),
        "midpoint": K - K.T,
        "antisymmetric": (K - K.T - 0.4 * eye) / 2,
        "parabolic": -gram,
        "leapfrog": np.block([[zero, -gram], [eye, zero]]),
        "second_order": np.block([[zero, K], [eye, zero]]),
        "velocity_verlet": np.block([[zero, K], [eye, zero]]),
        "damped": np.block([[-DAMPING * eye, K], [eye, zero]]),
    }[scheme]
    start = np.random.default_rng(6).normal(size=len(system))
    if scheme in ("second_order", "velocity_verlet", "damped"):  # from rest
        start[:n] = 0

    def state(t):
        return expm(t * system) @ start

    def pair(t):  # one part of the state may be meant half a step ahead or behind
        if scheme in ("midpoint", "antisymmetric", "parabolic"):
            return state(t), state(t)
        if scheme in ("second_order", "damped"):
            return state(t)[n:], state(t)[n:]
        shift = h / 2 if exact_start else 0.0
        before, behind = (0.0, shift) if scheme == "hamiltonian" else (-shift, 0.0)
        return state(t + before)[:n], state(t + behind)[n:]

    entry = [keras.ops.convert_to_tensor(x.reshape(1, 1, 1, n)) for x in pair(0.0)]
    x = level(entry[1]) if scheme in ("antisymmetric", "parabolic") else level(*entry)[1]
    return np.abs(x.numpy().ravel() - pair(1.0)[1]).max()


@pytest.mark.parametrize(
    ("scheme", "exact_start", "order"),
    [
        ("hamiltonian", False, 1),
        ("hamiltonian", True, 2),
        ("verlet", False, 1),
        ("verlet", True, 2),
        ("midpoint", False, 2),
        ("leapfrog", False, 1),
        ("leapfrog", True, 2),
        ("antisymmetric", False, 1),
        ("parabolic", False, 1),
        ("second_order", False, 2),
        ("damped", False, 2),
        ("velocity_verlet", False, 2),
    ],
)
def test_observed_orders(scheme, exact_start, order):
    coarse, fine = (errors(scheme, blocks, exact_start) for blocks in (20, 40))
    assert np.log2(coarse / fine) == pytest.approx(order, abs=0.15)


def test_a_level_names_its_scheme():
    names = {scheme: network(scheme, 1).get_layer("level1").method.name for scheme in STABLE}
    assert names == {
        "hamiltonian": "symplectic Euler",
        "midpoint": "explicit midpoint rule, begun by forward Euler",
        "leapfrog": "leapfrog (Stoermer)",
        "verlet": "Stoermer-Verlet",
        "second_order": "Verlet",
        "damped": "central differences",
        "velocity_verlet": "velocity Verlet",
    }
