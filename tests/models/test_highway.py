"""Highway networks: the gate's limits, the plain layers inside, and depth that trains."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_mgnet import HighwayNet, count_params
from keras_mgnet.layers import Affine, Euler, Highway, Level
from keras_mgnet.optimizers import SGD
from support.numerics import randomize

DENSE = {"kind": "dense", "input_shape": (8, 8, 1)}


def tensor(*shape):
    return keras.ops.convert_to_tensor(np.random.default_rng(5).normal(size=shape))


def built(x, *arguments, **options):
    level = Level(Euler(), Highway(x.shape[-1], *arguments, dtype="float64", **options), dtype="float64")
    level.build(x.shape)
    return level


@given(nu=st.integers(1, 3), channels=st.integers(1, 3), kernel_size=st.sampled_from([1, 3]))
def test_the_level_is_the_recursion_written_out(nu, channels, kernel_size):
    x = tensor(2, 4, 5, channels)
    level = randomize(built(x, nu, kernel_size=kernel_size))
    y = x.numpy()
    for H, T in zip(level.field.H, level.field.T, strict=True):
        W_H, W_T = (keras.ops.conv(y, layer.kernel, padding="same").numpy() for layer in (H, T))
        H, T = np.maximum(W_H + H.bias.numpy(), 0), 1 / (1 + np.exp(-W_T - T.bias.numpy()))
        y = H * T + y * (1 - T)
    np.testing.assert_allclose(level(x), y, rtol=1e-12, atol=1e-12)


def test_a_closed_gate_carries_x_and_its_derivative_is_the_identity():
    import tensorflow as tf

    x = tensor(2, 4, 4, 3) / 4
    level = built(x, 1, transfer_bias=-20.0)
    weights = tensor(2, 4, 4, 3) + 1
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = level(x)
    assert np.abs(y - x).max() < 1e-8
    np.testing.assert_allclose(tape.gradient(y, x, weights), weights, atol=1e-7)


def test_an_open_gate_gives_the_plain_layer():
    x = tensor(2, 4, 4, 3)
    level = built(x, 1, transfer_bias=100.0)
    np.testing.assert_allclose(level(x), level.field.H[0](x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_a_highway_layer_has_twice_the_parameters_of_a_plain_one(kernel_size):
    x = tensor(1, 4, 4, 3)
    plain = Affine(3, kernel_size)
    plain.build(x.shape)
    assert count_params(built(x, 5, kernel_size=kernel_size)) == 5 * 2 * count_params(plain)


def test_biases_start_where_they_are_told():
    level = built(tensor(1, 4, 4, 3), 2, transfer_bias=-1.5)
    assert all((T.bias.numpy() == -1.5).all() for T in level.field.T)
    assert all((H.bias.numpy() == 0).all() for H in level.field.H)


def test_a_dense_network_is_one_of_matrix_products(images):
    model = randomize(HighwayNet((1, 2), (5, 4), **DENSE))
    x = images(model)
    y = x.reshape(len(x), -1)

    def affine(layer, y):
        return y @ layer.kernel.numpy()[0, 0] + layer.bias.numpy()

    for plain, level in (("stem", "level1"), ("transfer2", "level2")):
        y = np.maximum(affine(model.get_layer(plain), y), 0)
        for H, T in zip(model.get_layer(level).field.H, model.get_layer(level).field.T, strict=True):
            T = 1 / (1 + np.exp(-affine(T, y)))
            y = np.maximum(affine(H, y), 0) * T + y * (1 - T)
    head = model.get_layer("classifier")
    np.testing.assert_allclose(model(x), y @ head.kernel.numpy() + head.bias.numpy(), rtol=1e-4, atol=1e-5)


def test_convolutions_lead_to_the_next_grid():
    model = HighwayNet((1, 1, 1), (3, 4, 5), input_shape=(9, 8, 1))
    shapes = [model.get_layer(f"level{level}").output.shape[1:] for level in (1, 2, 3)]
    assert shapes == [(9, 8, 3), (5, 4, 4), (3, 2, 5)]


@pytest.mark.slow
def test_fifty_layers_learn_where_fifty_plain_ones_stagnate():
    """On real digits; an open gate makes the plain network of the same shape and initial weights."""
    from keras_mgnet.training.data.dataset import load

    train = load("digits").train
    x = (train.images - train.images.mean()) / train.images.std()
    fall = {}
    for transfer_bias in (-4.0, 100.0):
        keras.utils.set_random_seed(0)
        model = HighwayNet((48,), 50, transfer_bias=transfer_bias, **DENSE)
        model.compile(SGD(0.1, momentum=0.9), model.loss)
        losses = model.fit(x.astype("float32"), train.labels, batch_size=128, epochs=6, verbose=0).history["loss"]
        fall[transfer_bias] = losses[-1] / losses[0]
    assert fall[-4.0] < 0.1
    assert fall[100.0] > 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "convolutional"}, "unknown kind 'convolutional'; did you mean 'conv'"),
        ({"channels": (1, 2)}, "expected channels to have 3 entries"),
        ({"transfer_bias": "-2"}, "expected transfer_bias between -100 and 100. Received: transfer_bias='-2'"),
        ({"kind": "dense", "input_shape": (None, 8, 1)}, "expected a fixed image size for dense layers. Received:"),
    ],
)
def test_arguments_that_make_no_network(arguments, message):
    with pytest.raises(ValueError, match=message):
        HighwayNet(**arguments)
