"""Deep plain networks: what they compute, and that a bad initialisation without norms does not train."""

import numpy as np
import pytest
from keras import ops

from keras_mgnet.analysis import plain_network, training_curves
from keras_mgnet.analysis.plain_networks import INITIALIZATIONS, NORMS, Curves, plot_curves
from keras_mgnet.layers import Chain
from support.numerics import randomize

SHAPE = (4, 4, 1)


@pytest.mark.parametrize("norm", [None, "batch"])
def test_a_plain_network_is_one_of_matrix_products(norm):
    model = randomize(plain_network(4, 5, 3, init="xavier", norm=norm, input_shape=SHAPE))
    x = np.random.default_rng(0).normal(size=(6, *SHAPE)).astype("float32")
    (chain,) = (layer for layer in model.layers if isinstance(layer, Chain))
    y = x.reshape(6, -1)
    for p in range(3):
        y = y @ ops.convert_to_numpy(chain.conv(p, 0).kernel)[0, 0]
        scale, shift = chain.norms()[p][0].affine() if norm else (1.0, 0.0)
        y = np.maximum(scale * y + shift, 0)
    kernel, bias = model.layers[-1].get_weights()
    np.testing.assert_allclose(model(x), y @ kernel + bias, rtol=1e-4, atol=1e-5)


def test_he_keeps_the_variance_of_thirty_layers_and_xavier_loses_it():
    """The standard deviation of the last layer: 2^(-29/2) of the first with xavier."""
    x = np.random.default_rng(0).normal(size=(64, 8, 8, 1)).astype("float32")
    size = {}
    for init in ("he_fan_out", "xavier"):
        model = plain_network(30, 256, 3, init=init, norm=None, input_shape=(8, 8, 1))
        size[init] = float(np.std(model.get_layer("plain")(model.get_layer("pixel")(x))))
    assert 0.05 < size["he_fan_out"] < 5 and size["xavier"] < 1e-3 * size["he_fan_out"]


def test_the_curves_are_drawn(tmp_path):
    loss = {(depth, init, norm): [2.0, 1.0] for depth in (22, 30) for init in INITIALIZATIONS for norm in NORMS}
    plot_curves(Curves(loss), tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_xavier_stagnates_where_he_and_norms_train():
    """On real digits, 22 layers: a loss of log 10 = 2.3 is that of guessing."""
    from keras_mgnet.training.data.dataset import load

    train = load("digits").train
    images = ((train.images - train.images.mean()) / train.images.std()).astype("float32")
    loss = {
        key[1:]: values[-1]
        for key, values in training_curves(images, train.labels, depths=(22,), epochs=8).loss.items()
    }
    assert loss.pop(("xavier", "no norm")) > 2.25
    assert max(loss.values()) < 1.8
