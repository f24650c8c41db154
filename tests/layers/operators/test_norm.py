"""The norm: its values, its moving statistics, and what stays when it is frozen."""

import keras
import numpy as np
import pytest

from keras_mgnet import MgNet
from keras_mgnet.compat import flatten_layers
from keras_mgnet.layers import Norm
from keras_mgnet.loading import load_model
from support.numerics import randomize
from support.twins import twin_norm


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_norm_equals_its_twin_and_keeps_the_unbiased_variance(dtype):
    norm = Norm("relu", dtype=dtype)
    x = np.random.default_rng(0).normal(2.0, 3.0, size=(2, 3, 4, 5)).astype(dtype)
    norm.build(x.shape)
    randomize(norm)
    mean, variance = norm.moving_mean.numpy(), norm.moving_variance.numpy()
    expected = twin_norm(x, norm, training=True)
    np.testing.assert_allclose(norm(keras.ops.convert_to_tensor(x), training=True), expected, rtol=1e-4, atol=1e-5)
    flat = x.reshape(-1, 5)
    np.testing.assert_allclose(norm.moving_mean, 0.9 * mean + 0.1 * flat.mean(0), rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, 0.9 * variance + 0.1 * flat.var(0, ddof=1), rtol=1e-5)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_negative_variances_of_a_file_are_refused(suffix, tmp_path):
    model, path = MgNet((1,), 2, input_shape=(8, 8, 1)), tmp_path / f"m{suffix}"
    norm = next(part for part in flatten_layers(model) if isinstance(part, Norm))
    norm.moving_variance.assign([1.0, -1e-3])
    model.save_weights(path) if "weights" in suffix else model.save(path)
    with pytest.raises(ValueError, match=rf"expected moving variances >= 0 of .*{norm.name}.*Received: -0.001"):
        model.load_weights(path) if "weights" in suffix else load_model(path)


def test_a_frozen_norm_uses_and_keeps_its_statistics():
    norm = Norm()
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 2)).astype("float32")
    norm.build(x.shape)
    randomize(norm)
    norm.trainable = False
    before = [w.numpy() for w in norm.weights]
    np.testing.assert_allclose(norm(x, training=True), norm(x, training=False))
    np.testing.assert_equal([w.numpy() for w in norm.weights], before)
