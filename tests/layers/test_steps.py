"""The equations themselves: each against numpy, and what some of them are known to be."""

import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_mgnet.layers import steps
from support.numerics import normal

x, y, z, w = np.random.default_rng(0).normal(size=(4, 2, 3, 3, 2))
P, Q = np.random.default_rng(1).normal(size=(2, 2, 2))


def A(u):
    return u @ P


def B(u):
    return u @ Q


def relu(u):
    return np.maximum(u, 0)


EQUATIONS = [  # a step, its arguments, and what it is
    (steps.plus, (x, y), x + y),
    (steps.residual, (x, y, A), x - y @ P),
    (steps.data, (x, y, A), x + y @ P),
    (steps.mapping, (x, A, relu, np.tanh), np.tanh(relu(x) @ P)),
    (steps.residual_correction, (x, y, z, w), (x + z, y - w)),
    (steps.combine, ((x, None, z), (0.2, 0.3, 0.5)), 0.2 * x + 0.5 * z),
    (steps.transfer, (x, y, A, B, relu, np.tanh), (relu(x @ P), np.tanh(y @ Q))),
    (steps.euler, (x, y), x + y),
    (steps.heun, (x, y, z), x + y / 2 + z / 2),
    (steps.linear_multistep, (x, y, z, -0.3), 1.3 * x - 0.3 * y + z),
    (steps.shares, (0.7, 0.25), (0.125 + 0.5 * 0.2, 0.125 - 0.5 * 0.2)),
    (steps.mix, (x, y, 0.7, 0.25), (x + y) / 8 + (x - y) / 10),
    (steps.powers, (x, (A, B), relu), x @ P + relu(x @ P) @ Q),
    (steps.join, ((x, y, z), (1.0, 0.0, 1.0)), (x + z) / 2),
    (steps.dense, (x, A), np.concatenate([x, x @ P], axis=-1)),
    (steps.highway, (x, y, 0.2), 0.2 * y - 0.2 * x),
    (steps.highway, (x, y, 0.2, 0.7), 0.2 * y - 0.3 * x),
    (steps.superpose, ((x, y, z),), x + y + z),
    (steps.coupling, (x, y), x + y),
    (steps.central_differences, (x, y, z, 0.2), (2 * x - 0.8 * y + z) / 1.2),
    (steps.root_pair, (x, A, 0.3, 0.4), 0.6 * x - 0.25 * x @ P),
    (steps.single_layer, (x, A, 0.5, np.tanh), np.tanh(x @ P + 0.5)),
    (steps.damped, (x, A, 0.1), x @ P / 2 - 0.05 * x),
]


@pytest.mark.parametrize(("step", "arguments", "expected"), EQUATIONS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_step_is_its_equation(step, arguments, expected):
    np.testing.assert_allclose(step(*arguments), expected, rtol=1e-12, atol=1e-12)


def test_every_step_has_its_equation_here():
    defined = [f for _, f in inspect.getmembers(steps, inspect.isfunction) if f.__module__ == steps.__name__]
    assert {step for step, *_ in EQUATIONS} == set(defined)


def test_steps_take_a_zero_feature_without_storing_it():
    f = np.ones((1, 2, 2, 1))
    assert steps.residual(f, None, None) is f
    assert steps.data(f, None, None) is f


def test_k_one_is_the_midpoint_rule_and_k_minus_one_the_leapfrog():
    x, previous, f = normal(3), normal(3) + 1, normal(3) - 2
    np.testing.assert_allclose(steps.linear_multistep(x, previous, f, 1.0), previous + f)
    np.testing.assert_allclose(steps.linear_multistep(x, previous, f, -1.0), 2 * x - previous + f)


@given(live=st.lists(st.booleans(), min_size=1, max_size=5).filter(any))
def test_join_is_the_mean_of_the_live(live):
    x = np.random.default_rng(0).normal(size=(len(live), 2, 3))
    np.testing.assert_allclose(steps.join(list(x), np.float64(live)), x[live].mean(axis=0), rtol=1e-12)
