"""The pooling block against restriction first, He2019 (6.5)-(6.8): one pixel, what is lost, and the accuracy without it."""

import numpy as np
import pytest
from keras import ops
from scipy.signal import correlate2d

from keras_mgnet import DenseNet, MgNet, PreActResNet, ResNet, RevNet
from keras_mgnet.analysis import interpolated, one_pixel, pooling
from keras_mgnet.analysis.pooling_block import PLACES, strided_convolutions
from support.numerics import randomize
from support.twins import twin_conv

TINY = {"base_width": 2, "input_shape": (16, 16, 1), "classes": 3}


def sample(x):
    """He2019 after (6.7): [S(r)]_{i,j} = r_{2i-1,2j-1}, counted from 1."""
    return x[..., ::2, ::2]


def interpolation(n):
    """The matrix of P S on n pixels of a line."""
    P, last = np.zeros((n, n)), 2 * ((n - 1) // 2)
    for i in range(n):
        P[i, i - i % 2] += 1 / 2
        P[i, min(i + i % 2, last)] += 1 / 2
    return P


def test_the_example_of_one_pixel():
    """r is 1 at (2, 2) and else 0: S(r) = 0, but S(B * r) is not, unless the corners of B are zero."""
    r, B = np.zeros((8, 8)), np.random.default_rng(0).normal(size=(3, 3))
    r[1, 1] = 1
    assert not sample(r).any()
    response = sample(correlate2d(r, B, mode="same"))
    np.testing.assert_array_equal(response[:2, :2], B[2::-2, 2::-2])
    assert np.square(response).sum() == pytest.approx(one_pixel(B[:, :, None, None])[1, 1])


@pytest.mark.parametrize("size", [1, 3, 7])
def test_the_responses_to_one_pixel_are_those_of_the_convolution(size):
    kernel = np.random.default_rng(0).normal(size=(size, size, 2, 3))
    for row, column in PLACES:
        pixels = np.zeros((2, 12, 12, 2))  # one for each channel
        pixels[range(2), 4 + row, 4 + column, range(2)] = 1
        response = np.square(twin_conv(pixels, kernel, 2)).sum()
        assert one_pixel(kernel)[row, column] == pytest.approx(response, abs=1e-12)


@pytest.mark.parametrize("shape", [(6, 8), (7, 5), (1, 4)])
def test_interpolation_keeps_what_was_sampled(shape):
    x = np.random.default_rng(0).normal(size=(2, *shape, 3))
    expected = np.einsum("ij,njlc,kl->nikc", interpolation(shape[0]), x, interpolation(shape[1]))
    np.testing.assert_allclose(interpolated(ops.convert_to_tensor(x)), expected, rtol=1e-12)


def test_what_is_lost_is_that_of_a_numpy_twin(images):
    model = randomize(PreActResNet(blocks=(1, 1), form="printed", **TINY))
    x, labels = images(model, 260), np.arange(260) % 3  # more than one batch
    result = pooling(model, x, labels)
    level = model.get_layer("level2")
    r = model.get_layer("level1")(model.get_layer("stem")(x))
    r = ops.convert_to_numpy(level.field.branch.activate(r, 0)).astype(float)
    B = ops.convert_to_numpy(level.field.branch.conv(0, 0).kernel)
    P = interpolation(16)
    y, y_S = twin_conv(r, B, 2), twin_conv(np.einsum("ij,njlc,kl->nikc", P, r, P), B, 2)
    assert result.lost["level2/f/B"] == pytest.approx(np.linalg.norm(y - y_S) / np.linalg.norm(y), rel=1e-4)
    assert result.lost["level2/R"] == 0 and result.seen["level2/R"] == [1, 0, 0, 0]
    taps = np.square(B.astype(float)).sum((2, 3))
    edges = [taps[1, ::2].sum(), taps[::2, 1].sum()]
    expected = np.array([taps[1, 1], *edges, taps[::2, ::2].sum()]) / taps.sum()
    np.testing.assert_allclose(result.seen["level2/f/B"], expected, rtol=1e-5)
    assert set(result.seen) == {"level2/R", "level2/f/B"}
    logits = ops.convert_to_numpy(model(x, training=False))
    assert result.intact == pytest.approx(np.mean(logits.argmax(-1) == labels))


@pytest.mark.parametrize("family", [ResNet, PreActResNet])
def test_restriction_first_reads_the_sampled_pixels_alone(family, images):
    model = randomize(family(18, share_B="restriction_first", **TINY))
    x = images(model, 30)
    labels = ops.convert_to_numpy(model(x, training=False)).argmax(-1)
    result = pooling(model, x, labels)
    assert set(result.lost) == {"transfer2", "transfer3", "transfer4"} and not any(result.lost.values())
    assert all(shares == [1, 0, 0, 0] for shares in result.seen.values())
    assert result.intact == result.sampled == 1


def test_the_accuracy_is_that_of_interpolated_inputs(images):
    model = randomize(MgNet((1, 1), 3, input_shape=(8, 8, 1), classes=3))
    x = images(model, 50)
    u, r = model.get_layer("level1")(model.get_layer("stem")(x))
    u, r = model.get_layer("transfer2")(*map(interpolated, (u, r)))
    u, _ = model.get_layer("level2")(r, u)
    classifier = model.layers[-1]
    logits = ops.convert_to_numpy(classifier(ops.mean(u, (1, 2))))
    classifier.bias.assign(classifier.bias - logits.mean(0))  # else all images have one class
    result = pooling(model, x, (logits - logits.mean(0)).argmax(-1))
    assert result.sampled == 1 > result.intact and min(result.lost.values()) > 0


def test_a_kernel_of_its_centre_loses_nothing_and_one_of_corners_reads_what_S_drops(images):
    model = randomize(MgNet((1, 1), 3, input_shape=(8, 8, 1), classes=3))
    x = images(model, 30)
    Pi, R = strided_convolutions(model).values()
    taps = np.indices((3, 3)) % 2 == 1
    Pi.kernel.assign(Pi.kernel * taps.all(0)[:, :, None, None])
    R.kernel.assign(R.kernel * (~taps.any(0))[:, :, None, None])
    result = pooling(model, x, np.zeros(30))
    assert result.lost["transfer2/Pi"] == 0 and result.seen["transfer2/Pi"] == [1, 0, 0, 0]
    assert result.lost["transfer2/R"] > 0 and result.seen["transfer2/R"] == [0, 0, 0, 1]


def test_networks_without_such_convolutions_are_refused():
    for model in (
        DenseNet(10, growth=3, input_shape=(8, 8, 1)),
        MgNet((1, 1), 3, Pi="average", R="average", input_shape=(8, 8, 1)),
        RevNet(blocks=(1, 2), channels=(4, 6), input_shape=(8, 8, 1), include_top=False, pooling=None),
    ):
        with pytest.raises(ValueError, match="expected a classifier with convolutions of stride 2"):
            strided_convolutions(model)
