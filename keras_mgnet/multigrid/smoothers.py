"""Smoothers u <- u + B * (f - A * u): the layer B of each grid, and the scheme of the smoothing steps."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_mgnet.errors import check_known
from keras_mgnet.layers import LineSolver, Stencil, StencilField
from keras_mgnet.layers.schemes.smoothers import Chebyshev, RedBlack, ResidualCorrection, chebyshev_omegas
from keras_mgnet.models.checks import is_integer, is_real
from keras_mgnet.multigrid.grids import Grid, assigned, diagonal_layer
from keras_mgnet.multigrid.patches import additive_schwarz
from keras_mgnet.multigrid.stencils import real_array

PATCHES = (3, 5)  # points per side of a patch on the first grid, and on all coarser grids
SPECTRUM = (0.5, 2.0)  # eigenvalues of D^{-1} A that Chebyshev's smoother damps; D is the diagonal of A


class Smoother(NamedTuple):
    """A smoother: functions that make its layer B on each grid and its schemes.

    B(j, grid, dtype) returns the layer r -> B * r of grid j, counted from 0, or a list of layers, which a smoothing step applies
    one after the other. scheme(steps, dtype) returns the scheme for a number of smoothing steps. A step that needs several
    products with A, such as red-black with two, counts as that many iterations of the scheme.
    """

    B: Callable[[int, Grid, Any], keras.layers.Layer | list[keras.layers.Layer]]
    scheme: Callable[[int, Any], ResidualCorrection]


def _plain(nu: int, dtype) -> ResidualCorrection:
    return ResidualCorrection(nu, dtype=dtype)


def _jacobi(omega: float, degree: int) -> Smoother:
    return Smoother(lambda j, grid, dtype: diagonal_layer(grid.A, omega, dtype), _plain)


def _red_black(omega: float, degree: int) -> Smoother:
    return Smoother(
        lambda j, grid, dtype: diagonal_layer(grid.A, 1.0, dtype), lambda nu, dtype: RedBlack(2 * nu, dtype=dtype)
    )


def _chebyshev(omega: float, degree: int) -> Smoother:
    """Returns the Chebyshev semi-iteration with B = D^{-1} / theta. D is the diagonal of A, theta the middle of `SPECTRUM`.

    Each smoothing step restarts the semi-iteration.
    """
    low, high = SPECTRUM
    omegas = chebyshev_omegas((high - low) / (high + low), degree)
    return Smoother(
        lambda j, grid, dtype: diagonal_layer(grid.A, 2 / (low + high), dtype),
        lambda nu, dtype: Chebyshev(nu * degree, omegas * nu, learned=False, dtype=dtype),
    )


def _zebra(axes: str) -> Callable[[float, int], Smoother]:
    """Returns line relaxation along each of the axes: first every second line from the first on, then the other lines."""

    def B(j: int, grid: Grid, dtype) -> list[keras.layers.Layer]:
        layers = []
        for axis in axes:
            count = grid.shape[0 if axis == "x" else 1]
            for colour in range(min(count, 2)):
                layer = LineSolver(axis, colour, grid.A.ndim == 2, name=f"B_{axis}{colour}", dtype=dtype)
                layer.build((None, *grid.shape, 1))
                layer.assign(grid.A)
                layers.append(layer)
        return layers

    return lambda omega, degree: Smoother(B, _plain)


def _patches(omega: float, degree: int) -> Smoother:
    def B(j: int, grid: Grid, dtype) -> keras.layers.Layer:
        size = PATCHES[min(j, len(PATCHES) - 1)]
        values = additive_schwarz(np.broadcast_to(grid.A, (*grid.shape, 3, 3)), size)
        return assigned(StencilField(2 * size - 1, name="B", dtype=dtype), values, grid.shape)

    return Smoother(B, _plain)


POINTWISE = {"jacobi": _jacobi, "red_black": _red_black, "chebyshev": _chebyshev}
SMOOTHERS = POINTWISE | {"zebra_x": _zebra("x"), "zebra_y": _zebra("y"), "zebra": _zebra("xy"), "patches": _patches}


def smoother_of(smoother, omega: float, degree: int, grids: int) -> Smoother:
    """Returns a smoother from a name, a kernel or layers. A `Smoother` is returned unchanged.

    D is the diagonal of A, and r = f - A u. "jacobi" computes u + omega D^{-1} r. "red_black" is Gauss-Seidel: first it updates
    the points where row + column is even, then all others. "chebyshev" applies the polynomial that damps the eigenvalues of
    D^{-1} A in [1/2, 2] best. "zebra_x" solves for all points of a row at once, first in every second row from the first on, then
    in the other rows. "zebra_y" does the same with columns, and "zebra" with rows and then columns. "patches" solves exactly on
    all patches of 3x3 points, on coarser grids 5x5 points, and takes the mean.
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
        return Smoother(lambda j, grid, dtype: smoother[j], _plain)
    kernel = real_array("smoother", smoother).tolist()
    return Smoother(lambda j, grid, dtype: Stencil(kernel, name="B", dtype=dtype), _plain)
