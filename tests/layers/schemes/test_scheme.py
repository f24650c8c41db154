"""The contract of a scheme: what it must define, and the fields that it can be iterated over."""

import numpy as np
import pytest

from keras_mgnet.layers import (
    Chain,
    Euler,
    GridLevel,
    Level,
    LinearMultistep,
    LinearSystem,
    Method,
    PolynomialSmoother,
    Scheme,
    basic,
)
from support.fields import Decay


class Own(Scheme):
    """(x, y) <- (y, x + f(y))."""

    method = Method("own", "x_{n+1} = x_{n-1} + f(x_n)", "1", "x' = f(x) / 2")

    def step(self, i, f, x, y):
        return y, x + (i + 1) * f(y)


def test_a_scheme_of_ones_own_begins_with_what_is_given_and_ends_with_its_states():
    level = Level(Own(dtype="float64"), Decay(3, 0.5), dtype="float64")
    x, y = np.random.default_rng(0).normal(size=(2, 1, 2, 2, 1))
    before, after = x, y
    for i in range(3):
        before, after = after, before + (i + 1) * 0.5 * after
    for computed, expected in zip(level(x, y), (before, after), strict=True):
        np.testing.assert_allclose(computed, expected, rtol=1e-14)
    assert level.method is Own.method


def test_a_single_state_is_no_tuple_and_a_scheme_without_step_is_none():
    x = np.ones((1, 2, 2, 1))
    np.testing.assert_allclose(Level(Euler(), Decay(2, 1.0), dtype="float64")(x), 4 * x)
    with pytest.raises(NotImplementedError):
        Scheme().step(0, None, x)


def test_a_scheme_and_a_field_that_do_not_go_together_are_refused():
    system = LinearSystem(4, 4, 2, B=(None, None))
    with pytest.raises(ValueError, match=r"keep r = f - A \* u"):
        Level(PolynomialSmoother(2, behind="sigma"), system)
    with pytest.raises(ValueError, match=r"expected a scheme of 5 iterations, like the field\. Received: nu=3"):
        Level(LinearMultistep(3), basic(4, uses=5)).build((None, 8, 8, 4))
    with pytest.raises(ValueError, match="expected a smoother of nu=3 iterations"):
        GridLevel(4, 4, 3, smoother=PolynomialSmoother(2))
    with pytest.raises(ValueError, match=r"places\[0\].*'simga'"):
        Chain(((4, 3),), ("simga", None))
