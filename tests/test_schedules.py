"""The schedules: their values at each step, their warm-up, and files that name them."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest

from keras_mgnet.optimizers import SGD
from keras_mgnet.recipes import RECIPES
from keras_mgnet.schedules import SCHEDULES


def rates(name, **changes):
    recipe = replace(RECIPES["kaust"].scaled(changes.get("epochs", 12)), curve=name, **changes)
    rate = recipe.schedule(steps_per_epoch=10)
    return np.array([float(rate(step)) for step in range(recipe.epochs * 10)])


def test_step_schedule_divides_at_the_scaled_milestones():
    """Milestones 30, 60, 90 of 120 epochs are 3, 6, 9 of 12."""
    expected = np.repeat([0.1, 0.01, 0.001, 0.0001], 30)
    np.testing.assert_allclose(rates("step"), expected, rtol=1e-5)


def test_cosine_schedule_is_half_a_period():
    np.testing.assert_allclose(rates("cosine"), 0.05 * (1 + np.cos(np.pi * np.arange(120) / 120)), atol=1e-6)


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_run_too_short_for_a_milestone_keeps_its_rate(epochs):
    np.testing.assert_allclose(rates("step", epochs=epochs)[:5], 0.1, rtol=1e-6)


def test_constant_schedule():
    np.testing.assert_allclose(rates("constant"), 0.1, rtol=1e-6)


def test_triangular_schedule_rises_from_a_fifth_to_its_peak_and_falls_to_zero():
    rate = rates("triangular", warmup_epochs=3)
    np.testing.assert_allclose(rate[:31], np.linspace(0.02, 0.1, 31), rtol=1e-5)
    np.testing.assert_allclose(rate[30:], np.linspace(0.1, 0, 91)[:-1], rtol=1e-4)
    np.testing.assert_allclose(rates("triangular"), np.linspace(0.1, 0, 121)[:-1], rtol=1e-4)


def test_one_cycle_rises_from_half_of_its_peak_and_falls_to_a_two_hundredth():
    rate = rates("one_cycle", warmup_epochs=3)
    np.testing.assert_allclose(rate[:31], 0.075 - 0.025 * np.cos(np.pi * np.arange(31) / 30), rtol=1e-5)
    np.testing.assert_allclose(rate[[30, 119]], [0.1, 0.0005], rtol=1e-5)
    assert (np.diff(rate[30:]) < 0).all()


@pytest.mark.parametrize("name", sorted(SCHEDULES.keys() - {"triangular", "one_cycle"}))
def test_warm_up_rises_linearly_to_the_schedule(name):
    warm, plain = rates(name, warmup_epochs=2), rates(name)
    np.testing.assert_allclose(warm, plain * np.minimum(1, np.arange(1, 121) / 20), rtol=1e-5)


@pytest.mark.parametrize("name", SCHEDULES)
def test_an_optimizer_with_a_schedule_survives_its_config(name):
    rate = replace(RECIPES["xuteam"].scaled(4), curve=name, warmup_epochs=1).schedule(3)
    optimizer = SGD(rate, momentum=0.9, nesterov=True, coupled_weight_decay=1e-3)
    copy = keras.optimizers.deserialize(json.loads(json.dumps(keras.optimizers.serialize(optimizer))))
    assert copy.get_config() == optimizer.get_config()
    assert float(copy._learning_rate(5)) == float(rate(5))
