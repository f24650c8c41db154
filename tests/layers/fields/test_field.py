"""Sums of fields."""

import numpy as np
import pytest

from keras_mgnet.layers import Euler, Level, Sum, basic
from support.numerics import EXACT, built, normal


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("order", [(1, 0, 2), (2, 0, 1)])
def test_the_order_of_the_branches_does_not_matter(order, training):
    x = normal(2, 4, 4, 2)
    fs = [basic(2, uses=2, **EXACT) for _ in range(3)]
    level = built(Level(Euler(), Sum(fs, **EXACT), **EXACT), x)
    permuted = Level(Euler(), Sum([fs[j] for j in order], **EXACT), **EXACT)
    np.testing.assert_allclose(permuted(x, training=training), level(x, training=training), rtol=1e-12, atol=1e-12)


def test_equal_branches_add_up():
    x = normal(2, 4, 4, 2)
    f = built(basic(2, uses=1, **EXACT), x)
    level = Level(Euler(), Sum([f, f, f], **EXACT), **EXACT)
    np.testing.assert_allclose(level(x), x + 3 * f(x), rtol=1e-12)
