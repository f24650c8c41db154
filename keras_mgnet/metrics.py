"""Metrics: top-1 and top-5 accuracy, and the quality of images."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from keras.metrics import (
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)

from keras_mgnet import compat
from keras_mgnet.annotations import DType, Tensor

PEAK = 255.0  # grey values are 0..255


@keras.saving.register_keras_serializable(package="keras_mgnet")
def psnr(clean: Tensor, image: Tensor) -> Tensor:
    """Returns the peak signal-to-noise ratio of each image in dB, (N,), for images (N, H, W, C) with values 0..255.

    psnr = 10 log10(255^2 / mean squared error)

    Example:
        >>> float(psnr(keras.ops.zeros((1, 2, 2, 1)), keras.ops.full((1, 2, 2, 1), 25.5))[0])
        20.0
    """
    error = ops.mean((ops.cast(image, "float32") - ops.cast(clean, "float32")) ** 2, axis=(1, 2, 3))
    return 10 * ops.log10(PEAK**2 / error)


def mean_psnr(clean: np.ndarray, images: np.ndarray) -> float:
    """Returns the mean of `psnr` over images (N, H, W, C), in double precision.

    Example:
        >>> mean_psnr(np.zeros((1, 2, 2, 1)), np.full((1, 2, 2, 1), 25.5))
        20.0
    """
    errors = np.mean((images.astype("float64") - clean) ** 2, axis=(1, 2, 3))
    return float(np.mean(10 * np.log10(PEAK**2 / errors)))


@keras.saving.register_keras_serializable(package="keras_mgnet")
def accuracy(labels: Tensor, outputs: Tensor) -> Tensor:
    """Returns for each image 1 if the largest output is that of the label, else 0, as (N,). Labels are integers or one-hot.

    Example:
        >>> outputs = keras.ops.array([[0.2, 0.8], [0.9, 0.1]])
        >>> accuracy([1, 1], outputs).numpy().tolist(), accuracy([[0, 1], [0, 1]], outputs).numpy().tolist()
        ([1.0, 0.0], [1.0, 0.0])
    """
    return (categorical_accuracy if _are_one_hot(labels, outputs) else sparse_categorical_accuracy)(labels, outputs)


@keras.saving.register_keras_serializable(package="keras_mgnet")
def top5_accuracy(labels: Tensor, outputs: Tensor) -> Tensor:
    """Returns for each image 1 if the output of the label is among the five largest, else 0, as (N,). Labels as in `accuracy`.

    Example:
        >>> top5_accuracy([0, 1], keras.ops.array([[0.0, 1, 2, 3, 4, 5]] * 2)).numpy().tolist()
        [0.0, 1.0]
    """
    one_hot = _are_one_hot(labels, outputs)
    return (top_k_categorical_accuracy if one_hot else sparse_top_k_categorical_accuracy)(labels, outputs, k=5)


def _are_one_hot(labels: Tensor, outputs: Tensor) -> bool:
    labels = ops.convert_to_tensor(labels)
    return len(labels.shape) == len(outputs.shape) and labels.shape[-1] == outputs.shape[-1]


class Mean(keras.metrics.MeanMetricWrapper):
    """The mean of a function over images or functions. Higher is better if `direction` is "up", lower if it is "down"."""

    direction = "up"

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], name: str, dtype: DType) -> None:
        super().__init__(function, name=name, dtype=dtype)
        compat.mark_direction(self, self.direction)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable(package="keras_mgnet")
class Accuracy(Mean):
    """The mean of `accuracy` over images.

    Keras' "accuracy" computes the same, but creates its variables only in the first step.

    Example:
        >>> measure = Accuracy()
        >>> measure.update_state(keras.ops.array([0, 1]), keras.ops.array([[0.9, 0.1], [0.8, 0.2]]))
        >>> float(measure.result())
        0.5
    """

    def __init__(self, name: str = "accuracy", dtype: DType = None) -> None:
        super().__init__(accuracy, name, dtype)


@keras.saving.register_keras_serializable(package="keras_mgnet")
class Top5Accuracy(Mean):
    """The mean of `top5_accuracy` over images.

    Example:
        >>> measure = Top5Accuracy()
        >>> measure.update_state(keras.ops.array([0, 1]), keras.ops.array([[0.0, 1, 2, 3, 4, 5]] * 2))
        >>> float(measure.result())
        0.5
    """

    def __init__(self, name: str = "top5_accuracy", dtype: DType = None) -> None:
        super().__init__(top5_accuracy, name, dtype)


@keras.saving.register_keras_serializable(package="keras_mgnet")
class PSNR(Mean):
    """The mean of `psnr` over images.

    Example:
        >>> measure = PSNR()
        >>> measure.update_state(keras.ops.zeros((1, 2, 2, 1)), keras.ops.full((1, 2, 2, 1), 25.5))
        >>> float(measure.result())
        20.0
    """

    def __init__(self, name: str = "psnr", dtype: DType = None) -> None:
        super().__init__(psnr, name, dtype)
