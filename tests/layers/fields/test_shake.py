"""Shake-shake: mean, variance and gradient of what it draws."""

import numpy as np
import pytest

from keras_mgnet.layers import Shake, basic, steps
from support.numerics import normal


def test_the_mean_of_shakes_is_the_inference_branch():
    f1, f2 = normal(4, 3, 3, 2), normal(4, 3, 3, 2) + 1
    layer = Shake(basic(2), basic(2), seed=3, dtype="float64")
    layer(f1)
    layer.f1, layer.f2 = (lambda x, i: f1), (lambda x, i: f2)
    expected = layer(f1)
    np.testing.assert_allclose(expected, (f1 + f2) / 2)
    draws = np.mean([layer(f1, training=True) for _ in range(800)], axis=0)
    assert np.abs(draws - expected).max() < 5 / np.sqrt(12 * 800)


@pytest.mark.parametrize("mode", ["image", "batch"])
def test_the_gradient_takes_an_independent_eta(mode):
    import tensorflow as tf

    layer = Shake(basic(1), basic(1), mode=mode, seed=3)
    layer(np.ones((4, 2, 2, 1), "float32"))
    f1, f2 = tf.constant(np.full((4, 2, 2, 1), 2.0, "float32")), tf.constant(np.full((4, 2, 2, 1), 1.0, "float32"))
    layer.f1, layer.f2 = (lambda x, i: f1), (lambda x, i: f2)
    with tf.GradientTape() as tape:
        tape.watch([f1, f2])
        y = layer(f1, training=True)
    forward = y.numpy()[:, 0, 0, 0] - 1  # y = 1 + eta
    backward, rest = (g.numpy() for g in tape.gradient(y, [f1, f2]))
    np.testing.assert_allclose(backward + rest, 1, rtol=1e-6)
    assert np.abs(backward[:, 0, 0, 0] - forward).min() > 1e-3, "independent of the forward eta"
    distinct = 4 if mode == "image" else 1
    assert len(np.unique(backward)) == distinct
    assert len(np.unique(np.round(forward, 5))) == distinct


def shaken(dt, seed=3):
    """Draws of a step from zero on 20,000 images of one pixel, with branches that are 2 and 1 everywhere."""
    options = {} if dt is None else {"dt": dt}
    layer = Shake(basic(1), basic(1), seed=seed, **options)
    x = np.zeros((20_000, 1, 1, 1), "float32")
    layer(x)
    layer.f1, layer.f2 = (lambda x, i: 2 * np.ones_like(x)), (lambda x, i: np.ones_like(x))
    return layer, layer(x, training=True).numpy().ravel()


@pytest.mark.parametrize("dt", [0.25, 1.0, 4.0])
def test_mean_and_variance_of_a_shake_are_those_of_its_equation(dt):
    """Lu2018 (4): mean dt (f_1 + f_2) / 2, variance dt (f_1 - f_2)^2 / 12, both with four standard errors."""
    layer, draws = shaken(dt)
    assert draws.mean() == pytest.approx(1.5 * dt, abs=4 * np.sqrt(dt / 12 / draws.size))
    assert draws.var() == pytest.approx(dt / 12, rel=4 * np.sqrt(0.8 / draws.size))  # kurtosis 1.8
    np.testing.assert_allclose(layer(np.zeros((1, 1, 1, 1))), 1.5 * dt)


def test_a_unit_step_shakes_as_without_a_step_size_bit_for_bit():
    np.testing.assert_array_equal(shaken(1.0)[1], shaken(None)[1])
    eta = np.random.default_rng(0).uniform(size=1000).astype("float32")
    f1, f2 = np.random.default_rng(1).normal(size=(2, 1000)).astype("float32")
    np.testing.assert_array_equal(steps.mix(f1, f2, eta), eta * f1 + (1 - eta) * f2)


def test_the_gradient_of_a_step_has_the_weights_of_its_equation():
    import tensorflow as tf

    layer, _ = shaken(0.25)
    f1, f2 = tf.ones((1000, 1, 1, 1)), tf.zeros((1000, 1, 1, 1))
    layer.f1, layer.f2 = (lambda x, i: f1), (lambda x, i: f2)
    with tf.GradientTape() as tape:
        tape.watch([f1, f2])
        y = layer(f1, training=True)
    first, second = (g.numpy() for g in tape.gradient(y, [f1, f2]))
    np.testing.assert_allclose(first + second, 0.25, rtol=1e-6)
    assert -0.125 <= first.min() < -0.12 and 0.37 < first.max() <= 0.375  # dt/2 +- dt^(1/2) / 2
    assert np.abs(np.corrcoef(first.ravel(), y.numpy().ravel())[0, 1]) < 0.15
