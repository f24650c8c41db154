"""A convolution that whitens the patches of images. Its kernel is computed from images and is never trained."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mgnet import compat
from keras_mgnet.annotations import Activation, DType, Shape, Tensor
from keras_mgnet.layers.operators.conv import initializer, record
from keras_mgnet.serialization import serializable

IMAGES = 5_000  # enough images for the second moments of small patches
CHUNK = 250
FLOOR = 5e-4  # added to the eigenvalues, so that the filters of nearly constant directions stay small


def whitening_kernel(images: Any, size: int) -> np.ndarray:
    """Returns the filters that whiten the patches of size x size pixels of images.

    Let e_k and v_k be the eigenvalues, largest first, and the eigenvectors of the matrix of second moments of all patches. Filter
    k is v_k / sqrt(e_k + 5e-4), so the responses to the patches are uncorrelated, with mean squares close to 1. The negatives of
    the filters follow, because an activation such as relu cuts off one sign.

    Source: the first layer of KellerJordan/cifar10-airbench.

    Args:
        images: (N, H, W, c), normalised as for training. At most the first 5,000 images are used.
        size: height and width of the patches.

    Returns:
        Kernel (size, size, c, 2 size^2 c), float32.

    Example:
        >>> whitening_kernel(np.random.default_rng(0).normal(size=(10, 8, 8, 3)), 2).shape
        (2, 2, 3, 24)
    """
    images = np.asarray(images, np.float64)[:IMAGES]
    *_, height, width, channels = images.shape
    if images.ndim != 4 or min(height, width) < size:
        raise ValueError(f"expected images (N, H, W, c) of at least {size}x{size} pixels. Received: {images.shape}")
    moments = np.zeros((size**2 * channels,) * 2)
    for start in range(0, len(images), CHUNK):
        windows = np.lib.stride_tricks.sliding_window_view(images[start : start + CHUNK], (size, size), axis=(1, 2))
        patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, len(moments))
        moments += patches.T @ patches / len(patches) * len(windows) / len(images)
    eigenvalues, eigenvectors = np.linalg.eigh(moments)
    filters = (eigenvectors / np.sqrt(eigenvalues.clip(0) + FLOOR))[:, ::-1].reshape(size, size, channels, -1)
    return np.concatenate([filters, -filters], axis=-1).astype(np.float32)


@serializable
class Whitening(keras.layers.Layer):
    """Whitens the patches of an image: y = sigma(W * x + b), with a fixed kernel W and a trained bias b.

    The kernel is random until `adapt` computes it from images (see `whitening_kernel`). It is a non-trainable weight: it is saved
    with the model and does not change in training. The layer maps (N, H, W, c) to (N, H, W, 2 size^2 c).

    Args:
        size: height and width of the patches.
        activation: sigma, or None.

    Example:
        >>> tuple(Whitening(2)(ops.ones((1, 8, 8, 3))).shape)
        (1, 8, 8, 24)
    """

    def __init__(
        self, size: int = 2, *, activation: Activation = None, name: str | None = None, dtype: DType = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.size = size
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: Shape) -> None:
        *_, filters = self.compute_output_shape(input_shape)
        shape = (self.size, self.size, input_shape[-1], filters)
        self.kernel = self.add_weight(
            shape=shape, initializer=initializer("he_fan_out"), trainable=False, name="kernel"
        )
        self.bias = self.add_weight(shape=(filters,), initializer="zeros", name="bias")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], 2 * self.size**2 * input_shape[-1])

    def call(self, x: Tensor) -> Tensor:
        record(self, tuple(x.shape)[1:3], self.kernel.shape)
        return self.activation(ops.conv(x, self.kernel, 1, "same", data_format="channels_last") + self.bias)

    def adapt(self, images: Any) -> None:
        """Computes the kernel from images (N, H, W, c), normalised as for training."""
        self.kernel.assign(whitening_kernel(images, self.size))


def whiten(model: keras.Model, images: Any) -> None:
    """Computes the kernels of the whitening layers of a model from training images.

    Call this function before the first step of training. `keras-mgnet train` does. A model without such a layer stays unchanged.

    Args:
        model: a model, such as `MgNet(stem="whitening")`.
        images: (N, H, W, c), normalised as for training. At most the first 5,000 images are used.

    Example:
        >>> import keras_mgnet
        >>> model = keras_mgnet.MgNet((1, 1), 8, stem="whitening")
        >>> keras_mgnet.whiten(model, np.random.default_rng(0).normal(size=(100, 32, 32, 3)))
    """
    for layer in whitenings(model):
        layer.adapt(images)


def whitenings(model: keras.Model) -> list[Whitening]:
    """Returns the whitening layers of a model."""
    return [layer for layer in compat.flatten_layers(model) if isinstance(layer, Whitening)]
