"""Learned functions of one variable as sums of Gaussians: the influence functions of reaction-diffusion."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mgnet.annotations import DType, Shape, Tensor
from keras_mgnet.serialization import serializable

REACH = 7  # standard deviations beyond which a Gaussian counts as zero: exp(-7^2 / 2) = 2e-11
PIECES = 20  # cubics per standard deviation; the error is at most 2e-7 of the largest weight, float32's round-off


@serializable
class RadialBasis(keras.layers.Layer):
    """Learns one function per channel as a sum of Gaussians, psi_i(z) = sum_j w_ij exp(-(z - mu_j)^2 / (2 gamma^2)).

    Maps (..., c) to (..., c). The centres mu_j divide [-bound, bound] into intervals of length gamma. Outside of [-bound, bound]
    the functions fall to zero. Source: Chen, Pock 2017, 63 Gaussians for grey values 0..255.

    In float64 the layer computes this sum. In lower precision, the layer first tabulates each function as a piecewise cubic: the
    Hermite interpolant on 20 pieces per gamma. The error is of the size of float32's round-off. Each value then costs four
    coefficients instead of `count` exponentials. The gradients with respect to z and w are the gradients of the interpolant.

    The initial functions are those of Perona and Malik, slope * z / (1 + (z / scale)^2), smoothed by the Gaussians.

    Args:
        count: number of Gaussians per function, at least 2.
        bound: the outermost centres are at -bound and bound.
        slope: slope of the initial functions at zero.
        scale: the z > 0 where slope * z / (1 + (z / scale)^2) has its maximum.

    Example:
        >>> psi = RadialBasis(slope=1.0, scale=1e6)
        >>> psi(keras.ops.array([[-20.0, 0.0, 30.0]])).numpy().round(3).tolist()
        [[-20.0, 0.0, 30.0]]
    """

    def __init__(
        self,
        count: int = 63,
        bound: float = 310.0,
        *,
        slope: float = 0.02,
        scale: float = 30.0,
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if count < 2:
            raise ValueError(f"expected at least 2 Gaussians. Received: count={count!r}")
        self.centres = np.linspace(-bound, bound, count)
        self.gamma = 2 * bound / (count - 1)
        self.slope, self.scale = slope, scale

    def build(self, shape: Shape) -> None:
        # Gaussians spaced by gamma and weighted by the values of a function sum to (2 pi)^(1/2) times this function.
        initial = self.slope * self.centres / (1 + (self.centres / self.scale) ** 2) / math.sqrt(2 * math.pi)
        start = np.repeat(initial[:, None], shape[-1], axis=1)
        self.w = self.add_weight(shape=start.shape, initializer=lambda shape, dtype: ops.array(start, dtype), name="w")

    def compute_output_shape(self, shape: Shape) -> Shape:
        return tuple(shape)

    def call(self, z: Tensor) -> Tensor:
        if keras.backend.standardize_dtype(z.dtype) == "float64":
            distance = (z[..., None, :] - self.centres[:, None]) / self.gamma
            return ops.sum(self.w * ops.exp(-(distance**2) / 2), axis=-2)
        table = cubics(ops.cast(self.w, "float32"))
        start = self.centres[0] - REACH * self.gamma
        place = (ops.cast(z, "float32") - start) * (PIECES / self.gamma)
        return ops.cast(interpolated(place, table), z.dtype)


def cubics(w: Tensor) -> Tensor:
    """Returns the Hermite interpolants of c sums of J Gaussians with weights w (J, c), standard deviation 1 and spacing 1.

    Returns: (c * pieces, 4), for each channel and piece the coefficients of t^0, ..., t^3. A piece has the length 1 / PIECES, and
    t goes from 0 to 1 on a piece. The pieces cover REACH before the first centre to REACH after the last centre.
    """
    J, channels = w.shape
    cells = J - 1 + 2 * REACH
    reach = 2 * REACH
    padded = ops.pad(w, ((reach - 1, reach - 1), (0, 0)))
    windows = ops.stack([padded[m : m + cells] for m in range(reach)])  # the weights that a cell sees
    table = ops.einsum("mkc,mpa->ckpa", windows, ops.array(_pieces(), w.dtype))
    return ops.reshape(table, (channels * cells * PIECES, 4))


def interpolated(place: Tensor, table: Tensor) -> Tensor:
    """Evaluates one piecewise cubic per channel. The result is zero outside of all pieces.

    Args:
        place: float (..., c), the distance from the start of the first piece, in pieces.
        table: (c * pieces, 4), see `cubics`.
    """
    channels, rows = place.shape[-1], table.shape[0]
    pieces = rows // channels
    offsets = ops.arange(channels, dtype="int32") * pieces

    @ops.custom_gradient
    def evaluate(place: Tensor, table: Tensor) -> Any:
        inside = ops.clip(place, 0.0, pieces - 1e-3)
        piece = ops.cast(inside, "int32")
        t = inside - ops.cast(piece, inside.dtype)
        index = piece + offsets
        c0, c1, c2, c3 = ops.unstack(ops.take(table, index, axis=0), 4, axis=-1)

        def gradient(*args: Any, upstream: Tensor | None = None) -> tuple[Tensor, Tensor]:
            upstream = args[0] if upstream is None else upstream
            to_place = upstream * (c1 + t * (2 * c2 + 3 * t * c3))
            flat, powers, weight = ops.reshape(index, (-1,)), ops.reshape(t, (-1,)), ops.reshape(upstream, (-1,))
            to_table = []
            for _ in range(4):
                to_table.append(ops.segment_sum(weight, flat, num_segments=rows))
                weight = weight * powers
            return to_place, ops.stack(to_table, axis=-1)

        return c0 + t * (c1 + t * (c2 + t * c3)), gradient

    return evaluate(place, table)


def _pieces() -> np.ndarray:
    """Returns the cubics (2 REACH, PIECES, 4) on the pieces of one cell, the interval of length 1 from one centre to the next.

    Entry m belongs to the Gaussian whose centre is m - REACH + 1 cells after the start of the cell.
    """
    ends = np.linspace(0, 1, PIECES + 1) - np.arange(1 - REACH, 1 + REACH)[:, None]
    values = np.exp(-(ends**2) / 2)
    slopes = -ends * values / PIECES
    f0, f1, d0, d1 = values[:, :-1], values[:, 1:], slopes[:, :-1], slopes[:, 1:]
    return np.stack([f0, d0, 3 * (f1 - f0) - 2 * d0 - d1, 2 * (f0 - f1) + d0 + d1], axis=-1)
