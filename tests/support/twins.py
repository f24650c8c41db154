"""Convolutions, norms, maps and adjoints of MgNet and related networks in numpy."""

import keras
import numpy as np
from scipy.signal import correlate2d

from keras_mgnet.layers import Norm


def twin_conv(x, kernel, strides=1):
    """Convolves x (N, H, W, c_in), zero-padded by k // 2, with kernel (k, k, c_in, c_out). Keeps pixels 0, strides, ..."""
    channels = [
        sum(
            np.stack([correlate2d(image[..., i], kernel[..., i, o], mode="same") for image in x])
            for i in range(kernel.shape[2])
        )
        for o in range(kernel.shape[3])
    ]
    return np.stack(channels, axis=-1)[:, ::strides, ::strides]


def twin_norm(x, layer, training):
    """Applies a norm with its activation. Returns x for any other `layer`."""
    if not isinstance(layer, Norm):
        return x
    gamma, beta, moving_mean, moving_variance = (w.numpy() for w in layer.weights)
    mean, variance = (x.mean((0, 1, 2)), x.var((0, 1, 2))) if training else (moving_mean, moving_variance)
    x = gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta
    return np.maximum(x, 0) if layer.activation is keras.activations.relu else x


def mapping(x, kernel, before, behind, training):
    """He2019 (4.7): a convolution with a norm and activation before and after it; each may be missing."""
    return twin_norm(twin_conv(twin_norm(x, before, training), kernel), behind, training)


def adjoint(y, kernel, grid):
    """Applies the transpose of the stride-2 convolution on `grid` to y, with the matrix of the convolution."""
    c = kernel.shape[2]
    size = grid[0] * grid[1] * c
    columns = twin_conv(np.eye(size).reshape(size, *grid, c), kernel, 2).reshape(size, -1)
    return (y.reshape(len(y), -1) @ columns.T).reshape(len(y), *grid, c)


def close(computed, expected, tolerance=1e-9):
    np.testing.assert_allclose(computed, expected, rtol=tolerance, atol=tolerance)


def depthwise(x, kernel):
    """Convolves x with stride 2 and one group per channel."""
    multiplier = kernel.shape[-1] // x.shape[-1]
    groups = np.split(kernel, x.shape[-1], axis=-1)
    assert all(group.shape[-1] == multiplier for group in groups)
    return np.concatenate([twin_conv(x[..., [g]], group, 2) for g, group in enumerate(groups)], axis=-1)


def matrix(K, shape):
    """Returns the matrix of a linear, built layer K on images of the shape (H, W, c)."""
    basis = np.eye(np.prod(shape)).reshape(-1, *shape)
    return keras.ops.convert_to_numpy(K(keras.ops.convert_to_tensor(basis))).reshape(len(basis), -1).T
