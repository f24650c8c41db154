"""Relative errors of functions on a grid: losses and metrics for networks that map functions to functions."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mgnet.annotations import DType, Tensor
from keras_mgnet.errors import check_known
from keras_mgnet.metrics import Mean

CUT_OFF = 20  # frequencies from here on have the weight 1 in the H1 norm of the paper
TINY = 1e-30  # the square of a norm is at least this, so that a norm of zero has a gradient


def l2_norm(e: Tensor) -> Tensor:
    """Returns the Euclidean norm of each function e (N, H, W, c) over all points and channels, as (N,).

    Example:
        >>> float(l2_norm(ops.ones((1, 3, 3, 1)))[0])
        3.0
    """
    return _root(ops.sum(ops.square(e), axis=(1, 2, 3)))


def fourier_h1_norm(e: Tensor, a: float = 1.0, cutoff: float | None = CUT_OFF) -> Tensor:
    """Returns the H1 norm |w F e| of each function e (N, H, W, c), as (N,). F is the discrete Fourier transform.

        w(k, l)^2 = 1 + a^2 (k^2 + l^2)

    A frequency k or l counts as 0 from the cut-off on. Source: the authors' code of MgNO. There, the middle frequency of an odd
    number n of points counts as (n + 1) / 2, one more than it is.

    Args:
        e: functions of known height and width.
        a: factor of the frequencies.
        cutoff: the cut-off; None for none.

    Example:
        >>> round(float(fourier_h1_norm(ops.ones((1, 4, 4, 1)))[0]), 4)
        16.0
    """
    weights = ops.convert_to_tensor(frequency_weights(e.shape[1], e.shape[2], a, cutoff), dtype=e.dtype)
    planes = ops.transpose(e, (0, 3, 1, 2))
    real, imaginary = ops.fft2((planes, ops.zeros_like(planes)))
    return _root(ops.sum(weights * (ops.square(real) + ops.square(imaginary)), axis=(1, 2, 3)))


def difference_h1_norm(e: Tensor, weight: float = 1.0) -> Tensor:
    """Returns (sum weight e^2 + (D_x e)^2 + (D_y e)^2)^(1/2) of each function e (N, H, W, c), as (N,).

    D_x and D_y are central differences with the mesh width 1 / H and 1 / W, and one-sided differences at the edges, as in
    `numpy.gradient`. The authors of MgNO use weight = 10 for Helmholtz' equation.

    Example:
        >>> float(difference_h1_norm(ops.ones((1, 3, 3, 1)), weight=4.0)[0])
        6.0
    """
    squares = weight * ops.square(e) + sum(ops.square(_derivative(e, axis)) for axis in (1, 2))
    return _root(ops.sum(squares, axis=(1, 2, 3)))


H1_NORMS: dict[str, Callable[[Tensor], Tensor]] = {"fourier": fourier_h1_norm, "differences": difference_h1_norm}


def relative_l2(truth: Tensor, values: Tensor) -> Tensor:
    """Returns |values - truth| / |truth| of each function (N, H, W, c) in the Euclidean norm, as (N,)."""
    return _relative(l2_norm, truth, values)


def relative_h1(truth: Tensor, values: Tensor, form: str = "fourier") -> Tensor:
    """Returns |values - truth| / |truth| of each function (N, H, W, c) in an H1 norm, as (N,).

    `form` is "fourier" for `fourier_h1_norm` or "differences" for `difference_h1_norm`.
    """
    check_known("form", form, H1_NORMS)
    return _relative(H1_NORMS[form], truth, values)


def mean_relative_l2(truth: np.ndarray, values: np.ndarray) -> float:
    """Returns the mean of `relative_l2` over functions, in double precision.

    Example:
        >>> mean_relative_l2(np.ones((1, 2, 2, 1)), np.full((1, 2, 2, 1), 1.5))
        0.5
    """
    error, norm = (np.sqrt(np.square(e).sum((1, 2, 3))) for e in (values.astype("float64") - truth, truth))
    return float(np.mean(error / norm))


@keras.saving.register_keras_serializable(package="keras_mgnet")
class RelativeL2(keras.losses.Loss):
    """The mean of `relative_l2` over functions, as a loss.

    The authors of MgNO add up the errors of a batch. Their gradients are those of this loss times the size of the batch.

    Example:
        >>> float(RelativeL2()(ops.ones((1, 2, 2, 1)), ops.full((1, 2, 2, 1), 1.5)))
        0.5
    """

    def __init__(self, name: str = "relative_l2", reduction: str = "sum_over_batch_size", dtype: DType = None) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return relative_l2(y_true, y_pred)


@keras.saving.register_keras_serializable(package="keras_mgnet")
class RelativeH1(keras.losses.Loss):
    """The mean of `relative_h1` over functions, as a loss.

    Args:
        form: "fourier" or "differences".

    Example:
        >>> float(RelativeH1("differences")(ops.ones((1, 2, 2, 1)), ops.full((1, 2, 2, 1), 1.5)))
        0.5
    """

    def __init__(
        self,
        form: str = "fourier",
        name: str = "relative_h1",
        reduction: str = "sum_over_batch_size",
        dtype: DType = None,
    ) -> None:
        check_known("form", form, H1_NORMS)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.form = form

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return relative_h1(y_true, y_pred, self.form)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"form": self.form}


@keras.saving.register_keras_serializable(package="keras_mgnet")
class L2Error(Mean):
    """The mean of `relative_l2` over functions, as a metric.

    Example:
        >>> measure = L2Error()
        >>> measure.update_state(ops.ones((1, 2, 2, 1)), ops.full((1, 2, 2, 1), 1.5))
        >>> float(measure.result())
        0.5
    """

    direction = "down"

    def __init__(self, name: str = "l2", dtype: DType = None) -> None:
        super().__init__(relative_l2, name, dtype)


@keras.saving.register_keras_serializable(package="keras_mgnet")
class H1Error(Mean):
    """The mean of `relative_h1` in the form "fourier" over functions, as a metric.

    Example:
        >>> measure = H1Error()
        >>> measure.update_state(ops.ones((1, 2, 2, 1)), ops.full((1, 2, 2, 1), 1.5))
        >>> float(measure.result())
        0.5
    """

    direction = "down"

    def __init__(self, name: str = "h1", dtype: DType = None) -> None:
        super().__init__(relative_h1, name, dtype)


def _root(x: Tensor) -> Tensor:
    return ops.sqrt(ops.maximum(x, TINY))


def _relative(norm: Callable[[Tensor], Tensor], truth: Tensor, values: Tensor) -> Tensor:
    values = ops.convert_to_tensor(values)
    wide = keras.backend.result_type(values.dtype, "float32")
    truth, values = (ops.cast(x, wide) for x in (truth, values))
    return norm(values - truth) / norm(truth)


def frequency_weights(height: int, width: int, a: float, cutoff: float | None) -> np.ndarray:
    """Returns w^2 of `fourier_h1_norm`, (height, width)."""
    rows, columns = (_frequencies(n, cutoff) for n in (height, width))
    return 1 + a**2 * (rows[:, None] ** 2 + columns**2)


def _frequencies(n: int, cutoff: float | None) -> np.ndarray:
    k = np.concatenate([np.arange(n // 2), np.arange((n + 1) // 2, 0, -1)]).astype("float64")
    return k if cutoff is None else np.where(k < cutoff, k, 0)


def _derivative(e: Tensor, axis: int) -> Tensor:
    n = e.shape[axis]
    if n < 2:
        raise ValueError(f"expected functions on at least 2 x 2 points. Received: {tuple(e.shape)}")
    first, last = (ops.take(e, [index], axis=axis) for index in (0, n - 1))
    ends = ops.concatenate([first, e, last], axis=axis)
    after, before = (ops.take(ends, np.arange(start, start + n), axis=axis) for start in (2, 0))
    step = np.full(n, n / 2)
    step[[0, -1]] = n  # the neighbour outside is the point itself: a difference over one mesh width
    return (after - before) * ops.convert_to_tensor(step.reshape([-1 if a == axis else 1 for a in range(4)]), e.dtype)
