"""The linear two-step method of Lu2018: its recursion, its limits, its orders and its stability; coupled states."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm

from keras_mgnet.layers import CoupledMultistep, Coupling, InTurn, Level, LinearMultistep, basic, steps
from keras_mgnet.layers.schemes.smoothers import chebyshev_omegas
from support.fields import Decay
from support.numerics import normal, randomize
from support.reversible import relative


@given(blocks=st.integers(1, 4), k_first=st.booleans(), gives_previous=st.booleans(), rectified=st.booleans())
def test_the_level_is_the_recursion_written_out(blocks, k_first, gives_previous, rectified):
    level = Level(
        LinearMultistep(blocks, k_first=k_first, activation="relu" if rectified else None, dtype="float64"),
        basic(2, uses=blocks, dtype="float64"),
        dtype="float64",
    )
    states = [normal(2, 4, 4, 2) for _ in range(2)] if gives_previous else [normal(2, 4, 4, 2)]
    level(*states)
    randomize(level)
    x, previous = states[0], states[1] if gives_previous else 0.0
    k = [float(value) for value in level.scheme.k]
    ks = k if k_first else [None, *k]
    for i in range(blocks):
        f = level.field(x, i=i)
        x, previous = x + f if ks[i] is None else (1 - ks[i]) * x + ks[i] * previous + f, x
        x = np.maximum(x, 0) if rectified else x
    ours = level(*states)
    np.testing.assert_allclose(ours[0], x, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ours[1], previous, rtol=1e-12, atol=1e-12)


def coupled(n, k, F, G):
    """A level of `CoupledMultistep` with n steps of x' = F x_2, x_2' = G x_1, as the increments of a block."""
    fields = [Decay(1, factor) for _ in range(n) for factor in (F, G)]
    level = Level(CoupledMultistep(2 * n, dtype="float64"), InTurn(fields, dtype="float64"), dtype="float64")
    level.build([(1, 1, 1, 1)] * 2)
    for variable in level.scheme.k:
        variable.assign(k)
    return level


@pytest.mark.parametrize("k", [-0.5, 0.0, 0.3])
def test_two_states_in_turn_each_take_the_two_step_method(k):
    (x, y), F, G = np.random.default_rng(0).normal(size=(2, 1, 1, 1, 1)), 0.4, -0.7
    level = coupled(3, k, F, G)
    found = [value.numpy() for value in level(x, y)]
    xs, ys = [x + F * y], []
    ys += [y + G * xs[0]]
    for n in range(2):
        xs.append((1 - k) * xs[n] + k * (xs[n - 1] if n else x) + F * ys[n])
        ys.append((1 - k) * ys[n] + k * (ys[n - 1] if n else y) + G * xs[n + 1])
    np.testing.assert_allclose(found, [xs[-1], ys[-1]], rtol=1e-13)


@pytest.mark.parametrize("k", [-0.5, 0.3])
def test_two_states_in_turn_have_order_1(k):
    """(1 + k) x_1' = x_2 and (1 + k) x_2' = -x_1 turn (1, 0) by the angle 1 / (1 + k)."""
    one, zero, angle = np.ones((1, 1, 1, 1)), np.zeros((1, 1, 1, 1)), 1 / (1 + k)
    errors = []
    for n in (40, 80):
        x, y = (value.numpy().item() for value in coupled(n, k, 1 / n, -1 / n)(one, zero))
        errors.append(np.hypot(x - np.cos(angle), y + np.sin(angle)))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(1, abs=0.1)
    assert CoupledMultistep(2).method.order == "1"


def two_step(k, rate, dt, end=1.0):
    """Iterates the scheme on u' = rate u / (1 + k) from two exact values; returns the last iterate."""
    x, previous = np.exp(rate * dt / (1 + k)), 1.0
    for _ in range(round(end / dt) - 1):
        x, previous = steps.linear_multistep(x, previous, dt * rate * x, k), x
    return x


@pytest.mark.parametrize("k", [-0.5, -0.1, 0.0, 0.5])
def test_the_limit_is_u_prime_equals_g_over_1_plus_k_with_order_1(k):
    errors = [abs(two_step(k, -1.0, dt) - np.exp(-1 / (1 + k))) for dt in (1 / 200, 1 / 400, 1 / 800)]
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    np.testing.assert_allclose(orders, 1, atol=0.05)


@pytest.mark.parametrize("k", [-0.5, -0.1, 0.0, 0.3])
def test_the_modified_equation_is_one_order_closer(k):
    """(1 + k) u' + (1 - k)(dt / 2) u'' = g: its principal exponent against that of the scheme, Lu2018 (3)."""
    rate, gaps = -1.0, {"modified": [], "limit": []}
    for dt in (1e-2, 5e-3, 2.5e-3):
        scheme = np.log(np.roots([1, -(1 - k) - dt * rate, -k]).max()) / dt
        modified = np.roots([(1 - k) * dt / 2, 1 + k, -rate]).max()
        gaps["modified"].append(abs(scheme - modified))
        gaps["limit"].append(abs(scheme - rate / (1 + k)))
    for name, order in {"modified": 2, "limit": 1}.items():
        np.testing.assert_allclose(np.log2(np.divide(gaps[name][:-1], gaps[name][1:])), order, atol=0.15)


@pytest.mark.parametrize("k", [-0.5, -0.1, 0.0, 0.3])
def test_halving_dt_divides_the_error_by_4_for_the_modified_equation_and_by_2_for_its_limit(k):
    """A level of the method from x(0) = 1 to t = 1, g = -x, with the state before x(0) of the equation it is compared with."""
    rate, errors = -1.0, {"modified": [], "limit": []}
    for n in (100, 200):
        exponents = {"modified": np.roots([(1 - k) / (2 * n), 1 + k, -rate]).max(), "limit": rate / (1 + k)}
        level = Level(LinearMultistep(n, k_first=True, dtype="float64"), Decay(n, rate / n), dtype="float64")
        level.build([(1, 1, 1, 1)] * 2)
        for variable in level.scheme.k:
            variable.assign(k)
        for name, exponent in exponents.items():
            x, previous = (np.full((1, 1, 1, 1), np.exp(exponent * t)) for t in (0, -1 / n))
            errors[name].append(abs(level(x, previous)[0].numpy().item() - np.exp(exponent)))
    for name, factor in {"modified": 4, "limit": 2}.items():
        np.testing.assert_allclose(np.divide(errors[name][:-1], errors[name][1:]), factor, rtol=0.05)


def test_the_two_step_method_with_dropped_blocks_is_a_step_of_its_second_order_equation():
    """Lu2018 section 3.2, dt = 1: Y_{n+1} = Y_n + eta f(X_n) - g Y_n and X_{n+1} = X_n + Y_{n+1} have k = g - 1."""
    rng, g, p = np.random.default_rng(0), 0.3, 0.6
    x, y = rng.normal(size=2)
    two_steps = x, x - y
    for eta in rng.uniform(size=50) < p:
        y += p * np.tanh(-x) + (eta - p) * np.tanh(-x) - g * y
        x += y
        two_steps = steps.linear_multistep(*two_steps, eta * np.tanh(-two_steps[0]), g - 1), two_steps[0]
        assert two_steps[0] == pytest.approx(x, rel=1e-12)


@pytest.mark.parametrize("p", [0.2, 0.5, 0.8])
def test_the_second_moments_of_the_second_order_equation_have_order_1(p):
    """f(X) = -X: the second moments of (X, Y) at t = 1, exactly, in the method and by Ito's formula in the equation."""
    g, noise = 0.3, np.array([[0.0, 0.0], [-1.0, 0.0]])  # the factor of dW is noise (X, Y) (p (1 - p))^(1/2)
    drift, start, one = np.array([[0.0, 1.0], [-p, -g]]), np.kron([1.0, 0.5], [1.0, 0.5]), np.eye(2)
    exact = expm(np.kron(drift, one) + np.kron(one, drift) + p * (1 - p) * np.kron(noise, noise)) @ start

    def error(n):
        h = 1 / n
        position = np.array([[1.0, h], [0.0, 1.0]])  # X by the new Y
        mean, spread = position @ (one + h * np.array([[0.0, 0.0], [-p, -g]])), position @ noise
        step = np.kron(mean, mean) + h * p * (1 - p) * np.kron(spread, spread)
        return np.abs(np.linalg.matrix_power(step, n) @ start - exact).max()

    errors = [error(n) for n in (50, 100, 200)]
    np.testing.assert_allclose(np.divide(errors[:-1], errors[1:]), 2, rtol=0.05)


@pytest.mark.parametrize(("k", "growth"), [(-1.0, 1000), (-0.9, 11), (0.0, 1), (0.9, 1), (1.0, 1), (1.1, 1e20)])
def test_zero_stability(k, growth):
    """The roots of (z - 1)(z + k): bounded for -1 < k <= 1, linear growth at k = -1, exponential beyond."""
    x, previous, largest = 1.0, 0.0, 1.0
    for _ in range(999):
        x, previous = steps.linear_multistep(x, previous, 0.0, k), x
        largest = max(largest, abs(x))
    assert growth / 2 <= largest <= 2 * growth if growth < 1e20 else largest > growth


@pytest.mark.parametrize("rho", [0.5, 0.9])
def test_with_k_equal_1_minus_omega_it_is_the_chebyshev_iteration(rho):
    """On A u = f with I - A of spectrum [-rho, rho] the error falls as 1 / T_n(1 / rho), the least possible."""
    spectrum = np.linspace(-rho, rho, 21)
    e, previous = np.ones(21), np.zeros(21)  # the error of each eigenvector
    for omega in chebyshev_omegas(rho, 12):
        e, previous = steps.linear_multistep(e, previous, omega * (spectrum - 1) * e, 1 - omega), e
    least = 1 / np.polynomial.chebyshev.Chebyshev.basis(12)(1 / rho)
    assert np.abs(e).max() == pytest.approx(least, rel=1e-6)


def test_branches_that_serve_one_use_and_two_may_stand_in_one_level():
    level = Level(Coupling(), InTurn([basic(3, uses=2), basic(3), basic(3, uses=3)]), memory_free=True, dtype="float64")
    state = np.random.default_rng(0).normal(size=(2, 2, 5, 5, 3))
    for computed, expected in zip(level.inverse(*level(*state)), state, strict=True):
        assert relative(computed, expected) <= 1e-12
