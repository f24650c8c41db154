"""Networks with smaller steps: m steps of a linear block are powers of matrices, with the orders of the schemes."""

import numpy as np
import pytest
from keras import ops
from scipy.linalg import expm

from keras_mgnet import LMResNet, PreActResNet, ResNet
from keras_mgnet.analysis import refined, refinement
from keras_mgnet.analysis.smaller_steps import one_step_levels
from support.numerics import randomize

TINY = {"blocks": (2, 2), "base_width": 2, "input_shape": (6, 6, 1), "classes": 3}


def matrices(level, shape):
    """The Jacobians of the linear blocks of a level that keep the shape."""
    size = int(np.prod(shape))
    unit = np.eye(size).reshape(size, *shape)
    first = 1 if level.field.R is not None else 0
    return [ops.convert_to_numpy(level.field(unit, i=i)).reshape(size, size).T for i in range(first, level.nu)]


@pytest.mark.parametrize("scheme", ["euler", "heun"])
def test_linear_blocks_are_powers_of_matrices(scheme):
    model = randomize(PreActResNet(activation="linear", norm=None, dtype="float64", **TINY))
    level, shape, m = model.get_layer("level2"), (3, 3, 4), 3
    r = np.random.default_rng(0).normal(size=(1, 6, 6, 2))
    start, f = level.field.parts(r, 0)
    x = ops.convert_to_numpy(start + f).ravel()
    for J in matrices(level, shape):
        one = np.eye(len(J)) + J / m + (J @ J / (2 * m**2) if scheme == "heun" else 0)
        x = np.linalg.matrix_power(one, m) @ x
    with refined(model, scheme, m):
        np.testing.assert_allclose(ops.convert_to_numpy(level(r)).ravel(), x, rtol=1e-9)


def test_the_limit_is_that_of_the_equation_and_the_orders_are_those_of_the_schemes(images):
    model = PreActResNet(activation="linear", norm=None, dtype="float64", **TINY)
    randomize(model)
    for weight in model.weights:
        weight.assign(weight * 0.5)
    x, level = images(model, 5).astype("float64"), model.get_layer("level1")
    result = refinement(model, x, np.zeros(5))
    assert result.order["euler"] == pytest.approx(1, abs=0.2) and result.order["heun"] == pytest.approx(2, abs=0.3)
    r = ops.convert_to_numpy(model.get_layer("stem")(x[:1])).ravel()
    for J in matrices(level, (6, 6, 2)):
        r = expm(J) @ r
    with refined(model, "heun", 50):
        found = ops.convert_to_numpy(level(model.get_layer("stem")(x[:1])))
    np.testing.assert_allclose(found.ravel(), r, rtol=1e-3, atol=1e-3 * np.abs(r).max())


@pytest.mark.parametrize("scheme", ["euler", "heun"])
def test_one_step_of_its_own_scheme_is_the_network(scheme, images):
    model = randomize(ResNet(scheme=scheme, **TINY | {"blocks": (2,)}))
    x = images(model, 5)
    expected = ops.convert_to_numpy(model(x, training=False))
    with refined(model, scheme, 1):
        np.testing.assert_array_equal(model(x, training=False), expected)
    labels = expected.argmax(-1)
    assert refinement(model, x, labels).accuracy[scheme][0] == 1
    np.testing.assert_array_equal(model(x, training=False), expected)


def test_other_networks_are_refused():
    with pytest.raises(ValueError, match=r"expected a classifier of blocks x \+ f\(x\).* Received: LMResNet"):
        one_step_levels(LMResNet(**TINY))
