"""Restrictions to the next grid."""

import numpy as np
import pytest
from keras.ops import convert_to_tensor as tensor

from keras_mgnet.layers import FullWeighting, GridTransfer, Restriction, Stem
from support.numerics import randomize
from support.twins import close, depthwise, twin_conv, twin_norm


def test_full_weighting_is_the_stencil_of_multigrid():
    x = np.zeros((1, 5, 5, 2), "float32")
    x[0, 2, 2] = 16
    y = FullWeighting()(x)[0, :, :, 0].numpy()
    assert y.tolist() == [[0, 0, 0], [0, 4, 0], [0, 0, 0]]
    x = np.zeros((1, 5, 5, 1), "float32")
    x[0, 1, 2] = 16
    assert FullWeighting()(x)[0, :, :, 0].numpy().tolist() == [[0, 2, 0], [0, 2, 0], [0, 0, 0]]


def test_depthwise_restriction_takes_each_channel_to_its_own():
    restriction = Restriction(6, "depthwise", dtype="float64")
    x = np.random.default_rng(0).normal(size=(2, 5, 6, 3))
    y = restriction(tensor(x))
    close(y, depthwise(x, restriction.conv.kernel.numpy()))
    assert restriction.count_params() == 9 * 6
    assert Restriction(3, "depthwise").compute_output_shape((None, 5, None, 3)) == (None, 3, None, 3)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
def test_both_states_are_restricted_each_by_its_own(normalize, training):
    """He2019 (4.4), and with the norms of its code."""
    transfer = GridTransfer(4, 2, normalize=normalize, dtype="float64")
    u, r = np.random.default_rng(0).normal(size=(2, 2, 5, 6, 3))
    transfer.build(u.shape, r.shape)
    randomize(transfer)
    parts = ((u, transfer.Pi, transfer.s1), (r, transfer.R, transfer.s2))
    expected = [twin_norm(twin_conv(x, each.conv.kernel.numpy(), 2), s, training) for x, each, s in parts]
    for computed, x in zip(transfer(tensor(u), tensor(r), training=training), expected, strict=True):
        close(computed, x)


def test_averages_are_means_of_two_by_two_pixels():
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 3))
    close(Restriction(3, "average", dtype="float64")(tensor(x)), x.reshape(2, 2, 2, 3, 2, 3).mean((2, 4)))


def test_maxima_are_taken_before_or_after_a_convolution():
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 3))

    def maxima(y):
        return np.asarray(y).reshape(2, 2, 2, 3, 2, -1).max((2, 4))

    close(Restriction(3, "max", dtype="float64")(tensor(x)), maxima(x))
    restriction = Restriction(4, "conv_max", dtype="float64")
    close(restriction(tensor(x)), maxima(twin_conv(x, restriction.conv.kernel.numpy(), 1)))
    assert restriction.compute_output_shape((None, 5, None, 3)) == (None, 3, None, 4)


def test_the_stem_of_imagenet_takes_maxima_of_three_by_three_pixels():
    stem = Stem(2, "imagenet", normalize=False, dtype="float64")
    x = tensor(np.random.default_rng(0).normal(size=(1, 12, 8, 1)))
    computed = stem(x)
    padded = np.pad(stem.conv(x), ((0, 0), (1, 1), (1, 1), (0, 0)))
    close(computed, np.max([padded[:, i : i + 6 : 2, j : j + 4 : 2] for i in range(3) for j in range(3)], axis=0))


def test_the_whitening_stem_pools_before_its_norm():
    stem = Stem(2, "whitening", activation="tanh", dtype="float64")
    x = np.random.default_rng(0).normal(size=(1, 5, 8, 3))
    stem.build(x.shape)
    randomize(stem)
    white = stem.whitening
    padded = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
    patches = np.stack([padded[:, i : i + 5, j : j + 8] for i in (0, 1) for j in (0, 1)], axis=3)
    y = np.tanh(np.einsum("nhwpc,pcf->nhwf", patches, white.kernel.numpy().reshape(4, 3, 24)) + white.bias.numpy())
    y = np.pad(twin_conv(y, stem.conv.kernel.numpy(), 1), ((0, 0), (0, 1), (0, 0), (0, 0)), constant_values=-np.inf)
    pooled = y.reshape(1, 3, 2, 4, 2, 2).max((2, 4))
    close(stem(tensor(x), training=True), np.tanh(twin_norm(pooled, stem.s, training=True)))
    assert stem.compute_output_shape((None, 5, None, 3)) == (None, 3, None, 2)
