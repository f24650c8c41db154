"""One-step schemes: their orders, and sigma behind the sum."""

import numpy as np
import pytest

from keras_mgnet.layers import Euler, Heun, Level
from support.fields import Decay


def error(scheme, n):
    """Of x' = -x from 1 at t = 1, by n iterations."""
    level = Level(scheme(dtype="float64"), Decay(n, -1 / n), dtype="float64")
    return abs(float(np.squeeze(level(np.ones((1, 1, 1, 1))))) - np.exp(-1))


@pytest.mark.parametrize(("scheme", "order"), [(Euler, 1), (Heun, 2)])
def test_the_order_is_the_one_that_the_method_states(scheme, order):
    errors = [error(scheme, n) for n in (40, 80, 160)]
    np.testing.assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), order, atol=0.05)
    assert scheme.method.order == str(order)


@pytest.mark.parametrize(("scheme", "growth"), [(Euler, 1 - 3), (Heun, 1 - 3 + 4.5)])
def test_sigma_stands_behind_the_sum(scheme, growth):
    x = np.array([-2.0, 1.0]).reshape(1, 1, 1, 2)
    level = Level(scheme("relu", dtype="float64"), Decay(1, -3.0), dtype="float64")
    np.testing.assert_allclose(level(x), np.maximum(growth * x, 0), rtol=1e-14)
