"""Highway layers: the recursion, the limits of the gate, and the plain layers inside."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_mgnet import count_params
from keras_mgnet.layers import Affine, Euler, Highway, Level
from support.numerics import normal, randomize


def built(x, *arguments, **options):
    level = Level(Euler(), Highway(x.shape[-1], *arguments, dtype="float64", **options), dtype="float64")
    level.build(x.shape)
    return level


@given(nu=st.integers(1, 3), channels=st.integers(1, 3), kernel_size=st.sampled_from([1, 3]), carry_gate=st.booleans())
def test_the_level_is_the_recursion_written_out(nu, channels, kernel_size, carry_gate):
    x = normal(2, 4, 5, channels)
    level = randomize(built(x, nu, kernel_size=kernel_size, carry_gate=carry_gate))
    y = x.numpy()

    def gate(layer, y):
        return 1 / (1 + np.exp(-keras.ops.conv(y, layer.kernel, padding="same").numpy() - layer.bias.numpy()))

    for i, (H, T) in enumerate(zip(level.field.H, level.field.T, strict=True)):
        W_H, T = keras.ops.conv(y, H.kernel, padding="same").numpy(), gate(T, y)
        C = gate(level.field.C[i], y) if carry_gate else 1 - T
        y = np.maximum(W_H + H.bias.numpy(), 0) * T + y * C
    np.testing.assert_allclose(level(x), y, rtol=1e-12, atol=1e-12)


def test_a_closed_gate_carries_x_and_its_derivative_is_the_identity():
    import tensorflow as tf

    x = normal(2, 4, 4, 3) / 4
    level = built(x, 1, transfer_bias=-20.0)
    weights = normal(2, 4, 4, 3) + 1
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = level(x)
    assert np.abs(y - x).max() < 1e-8
    np.testing.assert_allclose(tape.gradient(y, x, weights), weights, atol=1e-7)


def test_an_open_gate_gives_the_plain_layer():
    x = normal(2, 4, 4, 3)
    level = built(x, 1, transfer_bias=100.0)
    np.testing.assert_allclose(level(x), level.field.H[0](x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_a_highway_layer_has_twice_the_parameters_of_a_plain_one(kernel_size):
    x = normal(1, 4, 4, 3)
    plain = Affine(3, kernel_size)
    plain.build(x.shape)
    assert count_params(built(x, 5, kernel_size=kernel_size)) == 5 * 2 * count_params(plain)


def test_a_carry_gate_with_minus_the_weights_of_the_transform_gate_changes_nothing():
    """sigmoid(-z) = 1 - sigmoid(z), and b_C starts at -b_T."""
    x = normal(2, 4, 4, 3)
    coupled, own = (built(x, 2, transfer_bias=-1.5, carry_gate=carry_gate) for carry_gate in (False, True))
    assert all((C.bias.numpy() == 1.5).all() for C in own.field.C)
    for i in range(2):
        for mine, theirs in ((own.field.H, coupled.field.H), (own.field.T, coupled.field.T)):
            mine[i].set_weights(theirs[i].get_weights())
        own.field.C[i].kernel.assign(-coupled.field.T[i].kernel)
    np.testing.assert_allclose(own(x), coupled(x), rtol=1e-12, atol=1e-12)
    assert "carry gate" in own.method.name and "carry gate" not in coupled.method.name
    assert count_params(own) == count_params(coupled) * 3 / 2


def test_biases_start_where_they_are_told():
    level = built(normal(1, 4, 4, 3), 2, transfer_bias=-1.5)
    assert all((T.bias.numpy() == -1.5).all() for T in level.field.T)
    assert all((H.bias.numpy() == 0).all() for H in level.field.H)
