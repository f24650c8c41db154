"""Stochastic depth: the published probabilities, and the mean of what is dropped."""

import numpy as np
import pytest

from keras_mgnet.layers import Blocks, Euler, Level, LinearMultistep, StochasticDepth, basic
from keras_mgnet.layers.stochastic import survival_probabilities
from support.numerics import normal


@pytest.mark.parametrize(("blocks", "survival", "huang", "release"), [(27, 0.8, 24.20, 24.30), (54, 0.5, 40.25, 40.50)])
def test_expected_number_of_surviving_blocks(blocks, survival, huang, release):
    assert sum(survival_probabilities(blocks, survival)) == pytest.approx(huang)
    assert sum(survival_probabilities(blocks, survival, "lm_release")) == pytest.approx(release)
    assert survival_probabilities(blocks, survival)[-1] == survival_probabilities(blocks, survival, "lm_release")[-1]


@pytest.mark.parametrize("inverted", [False, True])
def test_the_inference_branch_is_the_mean_of_the_training_branch(inverted):
    gate = StochasticDepth((0.5, 0.8), inverted=inverted, seed=1, dtype="float64")
    f = normal(2, 3, 3, 1)
    draws = np.stack([gate(f, i=1, training=True) for _ in range(2000)])
    whole_batch = draws / np.asarray(f)
    assert np.ptp(whole_batch, axis=(1, 2, 3, 4)).max() < 1e-6, "one draw for the whole batch"
    np.testing.assert_allclose(whole_batch.mean(), np.mean(gate(f, i=1) / f), atol=0.03)


def test_blocks_drop_in_the_published_share_of_compiled_steps():
    import tensorflow as tf

    p = survival_probabilities(5, 0.3)
    level = Level(Euler(), Blocks(basic(1, uses=5), survival=p))
    x = np.ones((1, 4, 4, 1), "float32")
    level(x)
    survived = tf.function(
        lambda: tf.stack([tf.reduce_any(level.field.gate(x, i=i, training=True) != 0) for i in range(5)])
    )
    counts = np.sum([survived().numpy() for _ in range(1500)], axis=0)
    np.testing.assert_allclose(counts / 1500, p, atol=0.05)


@pytest.mark.parametrize("inverted", [False, True])
def test_the_linear_part_of_the_two_step_method_never_drops(inverted):
    level = Level(LinearMultistep(3), Blocks(basic(2, uses=3), survival=(0.0, 0.0, 0.0), inverted=inverted))
    x = normal(2, 4, 4, 2)
    level(x)
    for k, value in zip(level.scheme.k, (-0.5, 0.25), strict=True):
        k.assign(value)
    np.testing.assert_allclose(level(x, training=True)[0], x, rtol=1e-6)


def test_a_dropped_branch_does_no_harm():
    gate = StochasticDepth((0.0,))
    assert not np.any(gate(np.full((1, 2, 2, 1), np.inf, "float32"), training=True))
