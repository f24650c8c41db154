"""Smoothers u <- u + B * (f - A * u): the layer B of each grid, and the scheme of the smoothing steps."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import numpy as np

from keras_mgnet.errors import check_known
from keras_mgnet.layers import Stencil
from keras_mgnet.layers.schemes.smoothers import Chebyshev, RedBlack, ResidualCorrection, chebyshev_omegas
from keras_mgnet.models.checks import is_integer, is_real
from keras_mgnet.multigrid.grids import diagonal_layer
from keras_mgnet.multigrid.stencils import real_array

SPECTRUM = (0.5, 2.0)  # eigenvalues of D^{-1} A that Chebyshev's smoother damps; D is the diagonal of A


class Smoother(NamedTuple):
    """A smoother: functions that make its layer B on each grid and its schemes."""

    B: Callable[[int, np.ndarray, object], keras.layers.Layer]  # (grid from 0, A, dtype) -> the layer r -> B * r
    scheme: Callable[[int, object], ResidualCorrection]  # (steps, dtype) -> scheme, one iteration per product with A


def _plain(nu: int, dtype) -> ResidualCorrection:
    return ResidualCorrection(nu, dtype=dtype)


def _jacobi(omega: float, degree: int) -> Smoother:
    return Smoother(lambda j, A, dtype: diagonal_layer(A, omega, dtype), _plain)


def _red_black(omega: float, degree: int) -> Smoother:
    return Smoother(lambda j, A, dtype: diagonal_layer(A, 1.0, dtype), lambda nu, dtype: RedBlack(2 * nu, dtype=dtype))


def _chebyshev(omega: float, degree: int) -> Smoother:
    """Returns the Chebyshev semi-iteration with B = D^{-1} / theta. D is the diagonal of A, theta the middle of `SPECTRUM`.

    Each smoothing step restarts the semi-iteration.
    """
    low, high = SPECTRUM
    omegas = chebyshev_omegas((high - low) / (high + low), degree)
    return Smoother(
        lambda j, A, dtype: diagonal_layer(A, 2 / (low + high), dtype),
        lambda nu, dtype: Chebyshev(nu * degree, omegas * nu, learned=False, dtype=dtype),
    )


SMOOTHERS = {"jacobi": _jacobi, "red_black": _red_black, "chebyshev": _chebyshev}


def smoother_of(smoother, omega: float, degree: int, grids: int) -> Smoother:
    """Returns a smoother from a name, a kernel or layers. A `Smoother` is returned unchanged.

    D is the diagonal of A, and r = f - A u. "jacobi" computes u + omega D^{-1} r. "red_black" is Gauss-Seidel: first it updates
    the points where row + column is even, then all others. "chebyshev" applies the polynomial that damps the eigenvalues of
    D^{-1} A in [1/2, 2] best.
    `grids` is the number of grids that are smoothed. Other arguments as in `solver`.

    Raises:
        ValueError: if the name is unknown, omega <= 0, degree < 1, or the number of layers is not `grids`.
    """
    if isinstance(smoother, Smoother):
        return smoother
    if isinstance(smoother, str):
        check_known("smoother", smoother, SMOOTHERS)
        if not (is_real(omega) and omega > 0):
            raise ValueError(f"expected omega to be positive. Received: omega={omega!r}")
        if not (is_integer(degree) and degree >= 1):
            raise ValueError(f"expected degree >= 1. Received: degree={degree!r}")
        return SMOOTHERS[smoother](omega, degree)
    if isinstance(smoother, Sequence) and smoother and isinstance(smoother[0], keras.layers.Layer):
        if len(smoother) != grids:
            raise ValueError(f"expected a layer B for each of {grids} grids. Received: {len(smoother)}")
        return Smoother(lambda j, A, dtype: smoother[j], _plain)
    kernel = real_array("smoother", smoother).tolist()
    return Smoother(lambda j, A, dtype: Stencil(kernel, name="B", dtype=dtype), _plain)
