"""The whitening layer: what its filters do to patches, and that nothing but images changes them."""

import keras
import numpy as np
import pytest

import keras_mgnet
from keras_mgnet import MgNet, ResNet
from keras_mgnet.layers import Whitening
from keras_mgnet.layers.operators.whitening import FLOOR, whitening_kernel

SMALL = {"stem": "whitening", "input_shape": (8, 8, 3), "classes": 3}


def smooth_images(count=300, size=8):
    """Images whose neighbouring pixels and channels are correlated, with a mean that is not zero."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(count, size // 4, size // 4, 1)).repeat(4, 1).repeat(4, 2)
    return (0.5 + coarse + 0.2 * rng.normal(size=(count, size, size, 3))).astype("float32")


@pytest.mark.parametrize("size", [2, 3])
def test_the_responses_to_patches_are_uncorrelated(size):
    images = smooth_images()
    kernel = whitening_kernel(images, size).astype(np.float64)
    filters, negatives = np.split(kernel, 2, axis=-1)
    np.testing.assert_array_equal(filters, -negatives)
    responses = np.asarray(keras.ops.conv(images.astype(np.float64), filters, 1, "valid")).reshape(-1, 3 * size**2)
    moments = responses.T @ responses / len(responses)
    variances = np.diag(moments)
    np.testing.assert_allclose(moments, np.diag(variances), atol=1e-5)
    assert np.all(np.diff(variances) < 1e-6) and variances.min() > 0.9 and variances.max() < 1


def test_directions_without_variance_get_bounded_filters():
    kernel = whitening_kernel(np.zeros((2, 4, 4, 1)), 2)
    assert abs(kernel).max() <= FLOOR**-0.5 + 1e-4


def test_only_whiten_changes_the_filters_and_a_file_keeps_them(tmp_path):
    model, images = MgNet((1, 1), 4, **SMALL), smooth_images(20)
    stem = model.get_layer("stem")
    keras_mgnet.whiten(model, images)
    expected = whitening_kernel(images, 2)
    model.trainable = False
    model.trainable = True
    model.fit(images, np.arange(20) % 3, verbose=0)
    np.testing.assert_array_equal(stem.whitening.kernel, expected)
    assert np.abs(stem.whitening.bias).max() > 0
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.get_layer("stem").whitening.kernel, expected)


def test_the_filters_are_named_apart_from_the_parameters():
    model = ResNet(blocks=(1,), base_width=2, **SMALL)
    assert "not trained: 288 weights of stem/whitening" in keras_mgnet.describe(model)
    assert all("whitening/kernel" not in variable.path for variable in model.trainable_variables)


def test_a_model_without_whitening_stays_as_it_is():
    model = MgNet((1,), 2, input_shape=(8, 8, 1))
    before = model.get_weights()
    keras_mgnet.whiten(model, smooth_images(4))
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("shape", [(4, 1, 8, 3), (8, 8, 3)])
def test_images_without_patches_are_refused(shape):
    layer = Whitening(2)
    layer.build((None, 8, 8, 3))
    with pytest.raises(ValueError, match=r"expected images \(N, H, W, c\) of at least 2x2 pixels. Received"):
        layer.adapt(np.zeros(shape))
