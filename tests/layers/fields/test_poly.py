"""PolyNet's modules are the polynomials they are named after, and the series of backward Euler's resolvent."""

from functools import partial

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_mgnet.layers import Branch, Euler, Level, Norm, Poly, basic
from keras_mgnet.layers.fields.poly import KINDS, module_kernels
from keras_mgnet.layers.operators.conv import recorded_applications
from support import twins
from support.numerics import randomize

GRID, CHANNELS = (3, 3), 2
POLYNOMIALS = {
    "plain": lambda F: F,
    "poly2": lambda F: F + F @ F,
    "poly3": lambda F: F + F @ F + F @ F @ F,
    "mpoly2": lambda F, G: F + G @ F,
    "mpoly3": lambda F, G, H: F + G @ F + H @ G @ F,
    "2way": lambda F, G: F + G,
    "3way": lambda F, G, H: F + G + H,
}
matrix = partial(twins.matrix, shape=(*GRID, CHANNELS))


def linear_level(*kinds):
    """A level of modules whose maps are linear: sigma and the norms are the identity. float64."""
    table = module_kernels(kinds)
    F = basic(CHANNELS, uses=len(table), sharing=(table, table), activation="linear", dtype="float64")
    level = Level(Euler(), Poly(F, kinds, dtype="float64"), dtype="float64")
    level.build((None, *GRID, CHANNELS))
    forget_norms(level)
    return level


def forget_norms(level):
    """Makes the norms the identity in inference."""
    for norm in (layer for layer in level._flatten_layers() if isinstance(layer, Norm)):
        norm.moving_variance.assign(np.full(norm.moving_variance.shape, 1 - 1e-5))


def maps(level):
    """The matrices of the distinct maps of a level of one module, in their order."""
    F, table = level.field.F, level.field.F.sharing[0]
    return [matrix(partial(F, i=table.index(k))) for k in range(max(table) + 1)]


def random_kernels(level, seed, scale=0.3):
    rng = np.random.default_rng(seed)
    for conv in level.field.F.kernels():
        conv.kernel.assign(scale * rng.normal(size=conv.kernel.shape))


@pytest.mark.parametrize("kind", KINDS)
def test_a_module_of_linear_maps_is_its_polynomial(kind):
    level = linear_level(kind)
    random_kernels(level, seed=0)
    expected = np.eye(np.prod(GRID) * CHANNELS) + POLYNOMIALS[kind](*maps(level))
    np.testing.assert_allclose(matrix(level), expected, rtol=1e-10, atol=1e-12)


@given(h=st.floats(0.01, 0.9), order=st.integers(1, 3), seed=st.integers(0, 99))
def test_powers_approximate_the_resolvent(h, order, seed):
    """||(I - hF)^{-1} - (I + hF + ... + h^N F^N)|| <= h^{N+1} / (1 - h) for ||F|| = 1: backward Euler to order N + 1."""
    level = linear_level({1: "plain", 2: "poly2", 3: "poly3"}[order])
    random_kernels(level, seed)
    (A,) = level.field.F.convs()[1]
    A.kernel.assign(A.kernel * (h / np.linalg.norm(maps(level)[0], 2)))
    (hF,) = maps(level)
    error = np.linalg.norm(np.linalg.inv(np.eye(len(hF)) - hF) - matrix(level), 2)
    assert 0 < error <= h ** (order + 1) / (1 - h) * (1 + 1e-9)


def test_the_resolvent_to_the_third_power_of_the_step():
    """Section 5.2 of the reference: 5.4e-4 <= 1.1e-3 at h = 0.1; halving h divides the error of poly-2 by eight."""
    level, errors = linear_level("poly2"), []
    random_kernels(level, seed=1)
    (A,) = level.field.F.convs()[1]
    unit = A.kernel / np.linalg.norm(maps(level)[0], 2)
    for h in (0.1, 0.05, 0.025):
        A.kernel.assign(h * unit)
        (hF,) = maps(level)
        errors.append(np.linalg.norm(np.linalg.inv(np.eye(len(hF)) - hF) - matrix(level), 2))
    assert 1e-4 < errors[0] <= 1.1e-3
    np.testing.assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), 3, atol=0.2)


def integrated(kind, rate, steps):
    """u(1) of u' = rate u, u(0) = 1, by steps of one module; its map is multiplication with rate / steps."""
    table = module_kernels((kind,))
    F = Branch((1,), (1,), uses=len(table), sharing=(table,), lead="none", activation="linear", dtype="float64")
    level = Level(Euler(), Poly(F, (kind,), dtype="float64"), dtype="float64")
    level.build((None, 1, 1, 1))
    forget_norms(level)
    for conv in F.kernels():
        conv.kernel.assign(np.full((1, 1, 1, 1), rate / steps))
    u = keras.ops.ones((1, 1, 1, 1), dtype="float64")
    for _ in range(steps):
        u = level(u)
    return float(u[0, 0, 0, 0])


@pytest.mark.parametrize(("kind", "rate"), [("plain", -1.0), ("poly2", -1.0), ("poly3", -1.0), ("2way", -0.5)])
def test_every_kind_has_order_one(kind, rate):
    """Forward Euler, backward Euler through its series, and forward Euler for the sum of two maps."""
    errors = [abs(integrated(kind, rate, steps) - np.exp(-1)) for steps in (32, 64, 128)]
    np.testing.assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), 1, atol=0.05)


def test_the_series_is_not_stable_where_backward_euler_is():
    """u' = z u with one step: 1 + z + z^2 is in [-1, 1] for -1 <= z <= 0 alone, 1 / (1 - z) for all z <= 0."""
    for z, series in ((-3.0, 7.0), (-1.0, 1.0), (-0.5, 0.75), (-1.1, 1.11)):
        assert integrated("poly2", z, 1) == pytest.approx(series)
        assert abs(1 / (1 - z)) <= 1 and (abs(series) <= 1) is (z >= -1)
    assert integrated("poly3", -3.0, 1) == pytest.approx(-20) and 1 / (1 + 3) == 0.25


@pytest.mark.parametrize("kind", KINDS)
def test_an_order_costs_one_application_of_its_map(kind):
    level = linear_level(kind)
    with recorded_applications() as applications:
        level(keras.ops.zeros((1, *GRID, CHANNELS), dtype="float64"))
    assert len(applications) == 2 * len(KINDS[kind].maps)


@pytest.mark.parametrize("training", [False, True])
def test_each_order_has_norms_of_its_own(training):
    """The second module, nonlinear: x + F_3(x) + F_4(F_3(x)), one kernel and two sets of norms."""
    kinds = ("2way", "poly2")
    table = module_kernels(kinds)
    f = Poly(basic(CHANNELS, uses=4, sharing=(table, table), dtype="float64"), kinds, dtype="float64")
    x = keras.ops.convert_to_tensor(np.random.default_rng(0).normal(size=(2, *GRID, CHANNELS)))
    f.build(x.shape)
    randomize(f)
    first = f.F(x, i=2, training=training)
    np.testing.assert_allclose(f(x, i=1, training=training), first + f.F(first, i=3, training=training), rtol=1e-12)
    assert np.abs(first - f.F(x, i=3, training=training)).max() > 1e-3


def test_kernels_are_those_of_the_maps_and_norms_those_of_the_orders():
    level = linear_level("poly3", "2way", "poly3")
    F = level.field.F
    assert [len(family) for family in F.convs()] == [4, 4]
    assert [len({id(norm) for norm in family}) for family in F.norms()] == [8, 8]
    assert [F.sharing[0][use] for use in range(8)] == [0, 0, 0, 1, 2, 3, 3, 3]
