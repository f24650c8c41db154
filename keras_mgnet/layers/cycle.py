"""Multigrid cycles: levels and transfers that are passed twice, on the way down and on the way up."""

import keras
from keras import ops

from keras_mgnet.layers import steps
from keras_mgnet.layers.level import GridLevel, build_all, identity
from keras_mgnet.layers.norm import Norm
from keras_mgnet.layers.scheme import scheme
from keras_mgnet.layers.transfer import Restriction
from keras_mgnet.serialization import serializable


@serializable
class CycleLevel(GridLevel):
    """One grid of a multigrid cycle, with one A: nu smoothing steps on the way down, a correction and post_nu steps back up.

    Down, `level(r, u)` is that of `GridLevel` and returns (u, r). Up, `level(r, u, e)` takes that state and the correction
    e (N, H, W, c) of the coarse grid, and returns (u, r) after u <- u + e, r <- r - A * e and the smoothing steps.

    Args:
        channels: c_u = c_f; R *_2^T maps what R *_2 has made of data to features.
        nu, post_nu: iterations on the way down and up.
        share_B: whether one B serves all iterations of both ways.
        B: what stands before and behind B, as `GridLevel`.
        form, operators: as `GridLevel`.
        smoothers: the schemes of both ways, keys of `scheme.SMOOTHERS` or layers.
        activation: sigma.
        init: a key of `conv.INITIALIZERS`.

    Example:
        >>> level = CycleLevel(4, nu=2, post_nu=1)
        >>> u, r = level(ops.ones((1, 8, 8, 4)))
        >>> u, r = level(r, u, 0.1 * u)
        >>> tuple(u.shape)
        (1, 8, 8, 4)
    """

    def __init__(
        self,
        channels,
        nu,
        post_nu,
        *,
        share_B=True,
        B=("sigma", "sigma"),
        form="residual",
        smoothers=("residual_correction", "residual_correction"),
        operators=None,
        activation="relu",
        init="he_fan_out",
        name=None,
        dtype=None,
    ):
        down, up = (scheme(rule, count, dtype) for rule, count in zip(smoothers, (nu, post_nu), strict=True))
        options = {
            "share_B": share_B,
            "B": B,
            "form": form,
            "operators": operators,
            "activation": activation,
            "init": init,
        }
        super().__init__(channels, channels, nu + post_nu, smoother=down, **options, name=name, dtype=dtype)
        self.nu, self.post_nu, self.post_scheme = nu, post_nu, up

    def build(self, r_shape, u_shape=None, e_shape=None):
        super().build(r_shape)
        self.post_scheme.build(r_shape)

    def compute_output_shape(self, r_shape, u_shape=None, e_shape=None):
        return super().compute_output_shape(r_shape)

    def call(self, r, u=None, e=None, training=None):
        if e is None:
            return super().call(r, u, training)
        u, r = steps.residual_correction(u, r, self.A[0], e)
        return self._iterate(u, r, self.post_scheme, training, first=self.nu)

    def _smoother(self, i, A, B):
        return super()._smoother(i, A, B) if i < self.nu else self.post_scheme.smoother(i - self.nu, A, B)


@serializable
class CycleTransfer(keras.layers.Layer):
    """The transfers between two grids of a V-cycle, with one R: s(R *_2 r) on the way down, R *_2^T e on the way up.

    Down, `transfer(r)` takes (N, H, W, c) to (N, ceil(H/2), ceil(W/2), channels). Up, `transfer(r, e)` takes what the coarse
    grid has made of it back to the grid of r. R *_2^T is the exact adjoint of R *_2, on grids of even and of odd size.

    Args:
        channels: of the coarse grid.
        normalize: whether s is a norm and sigma, or the identity. R *_2^T has neither.
        activation: sigma.
        init: a key of `conv.INITIALIZERS`.

    Example:
        >>> transfer, r = CycleTransfer(8), ops.ones((1, 7, 7, 4))
        >>> e = transfer(r)
        >>> tuple(e.shape), tuple(transfer(r, e).shape)
        ((1, 4, 4, 8), (1, 7, 7, 4))
    """

    def __init__(self, channels, *, normalize=True, activation="relu", init="he_fan_out", name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        policy = self.dtype_policy
        self.R = Restriction(channels, init=init, name="R", dtype=policy)
        self.s = Norm(activation, foldable=False, name="s", dtype=policy) if normalize else identity

    def build(self, r_shape, e_shape=None):
        self.R.build(r_shape)
        build_all(self.R.compute_output_shape(r_shape), [self.s])

    def compute_output_shape(self, r_shape, e_shape=None):
        return self.R.compute_output_shape(r_shape) if e_shape is None else tuple(r_shape)

    def call(self, r, e=None):
        return self.s(self.R(r)) if e is None else self.R.conv.adjoint(e, ops.shape(r)[1:3])
