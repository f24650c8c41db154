"""Dense states: every step reads all states before it; the transition between grids."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_mgnet.layers import Dense, DenseStates, DenseTransition, Level
from support.numerics import normal, randomize


@given(nu=st.integers(1, 4), growth=st.integers(1, 3), bottleneck=st.booleans(), training=st.booleans())
def test_the_level_is_the_recursion_written_out(nu, growth, bottleneck, training):
    level = Level(Dense(), DenseStates(growth, nu, bottleneck=bottleneck, dtype="float64"), dtype="float64")
    x = normal(2, 4, 5, 2)
    level(x)
    randomize(level)
    states = [x]
    for f in level.field.branches:
        states.append(f(keras.ops.concatenate(states, axis=-1), training=training))
    np.testing.assert_allclose(level(x, training=training), np.concatenate(states, axis=-1), rtol=1e-12, atol=1e-12)


def test_a_state_is_never_changed_by_a_later_one():
    long, short = (Level(Dense(), DenseStates(2, nu)) for nu in (3, 2))
    x = keras.ops.cast(normal(2, 4, 4, 3), "float32")
    y, _ = long(x), short(x)
    for ours, theirs in zip(randomize(long).field.branches, short.field.branches, strict=False):
        theirs.set_weights(ours.get_weights())
    np.testing.assert_array_equal(y[..., :3], x)
    np.testing.assert_array_equal(long(x)[..., :7], short(x))


@pytest.mark.parametrize("height", [6, 7])
def test_pooling_before_the_convolution_is_pooling_behind_it(height):
    """R and the mean commute; with dropout, which does nothing in inference, they stand as published."""
    early, published = DenseTransition(4, dtype="float64"), DenseTransition(4, dropout=0.5, dtype="float64")
    x = normal(2, height, 5, 3)
    early(x), published(x)
    published.set_weights(randomize(early).get_weights())
    np.testing.assert_allclose(early(x), published(x), rtol=1e-12, atol=1e-12)
