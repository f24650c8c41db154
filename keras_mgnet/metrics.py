"""Measures of image quality."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mgnet import compat
from keras_mgnet.annotations import DType, Tensor

PEAK = 255.0  # grey values are 0..255


def psnr(clean: Tensor, image: Tensor) -> Tensor:
    """Returns the peak signal-to-noise ratio of each image in dB, 10 log10(255^2 / mean squared error): (N, H, W, C) -> (N,).

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
class PSNR(keras.metrics.MeanMetricWrapper):
    """The mean of `psnr` over images.

    Example:
        >>> measure = PSNR()
        >>> measure.update_state(keras.ops.zeros((1, 2, 2, 1)), keras.ops.full((1, 2, 2, 1), 25.5))
        >>> float(measure.result())
        20.0
    """

    def __init__(self, name: str = "psnr", dtype: DType = None) -> None:
        super().__init__(psnr, name=name, dtype=dtype)
        compat.mark_higher_is_better(self)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}
