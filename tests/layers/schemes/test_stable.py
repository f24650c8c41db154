"""The stable networks as numerical schemes: their equations, energies, growth and orders."""

import keras
import numpy as np
import pytest
from scipy.linalg import expm

from keras_mgnet.layers import Conv, Force, InTurn, Level, steps
from keras_mgnet.layers.schemes.stable import SecondOrder
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


@pytest.mark.parametrize("scheme", STABLE)
def test_levels_equal_their_numpy_twins(scheme):
    level, draw = level_of(scheme, 3, dt=0.3, dtype="float64", channels=(4,), input_shape=(3, 4, 1))
    randomize(level)
    state = draw()
    flat = [x.numpy().reshape(len(x), -1) for x in state]
    for computed, expected in zip(level(*state), twin(scheme, level, *flat, dt=0.3), strict=True):
        np.testing.assert_allclose(computed.numpy().reshape(expected.shape), expected, rtol=1e-12, atol=1e-12)


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


def test_the_parabolic_network_lowers_its_energy_and_equals_its_equation():
    """Y' = Y - h K^T s(K Y + b): with sigma = max(x, 0) a gradient step of |max(K Y + b, 0)|^2 / 2, which falls for small h."""
    model = randomize(network("parabolic", 3, dt=0.05, channels=(2,), input_shape=(3, 4, 1), dtype="float64"))
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
    coarse, fine = (errors(scheme, blocks, exact_start) for blocks in (40, 80))
    assert np.log2(coarse / fine) == pytest.approx(order, abs=0.15)
