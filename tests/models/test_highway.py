"""Highway networks: dense and convolutional, and depth that trains."""

import keras
import numpy as np
import pytest

from keras_mgnet import HighwayNet
from keras_mgnet.optimizers import SGD
from support.numerics import randomize

DENSE = {"kind": "dense", "input_shape": (8, 8, 1)}


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
        model.compile(SGD(0.05, momentum=0.9), model.loss)
        losses = model.fit(x.astype("float32"), train.labels, batch_size=128, epochs=6, verbose=0).history["loss"]
        fall[transfer_bias] = losses[-1] / losses[0]
    assert fall[-4.0] < 0.2
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
