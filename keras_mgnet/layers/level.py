"""MgNet's level: all iterations on one grid, and the owner of their convolutions and norms."""

import keras

from keras_mgnet.errors import unknown
from keras_mgnet.layers import steps
from keras_mgnet.layers.conv import Conv
from keras_mgnet.layers.norm import Norm
from keras_mgnet.layers.scheme import scheme
from keras_mgnet.layers.sharing import instance
from keras_mgnet.serialization import serializable

FORMS = ("residual", "feature")


@serializable
class GridLevel(keras.layers.Layer):
    """nu smoothing steps of MgNet on one grid: u^i = u^{i-1} + s2(B * s1(f - A * u^{i-1})), He2019 (4.3).

    Call it with r (N, H, W, c_f), the residual f - A * u at entry, and u (N, H, W, c_u), omitted where u = 0. It returns
    the last (u, r). The residual form carries r <- r - A * e; the feature form rebuilds f = r + A * u and evaluates
    f - A * u in each step. Both are the same function while A is shared. With `share_A=False` they are two networks: the
    residual form then means r <- r - A_i * e, the feature form f - A_i * u.

    Args:
        channels: c_u.
        channels_f: c_f.
        nu: number of iterations.
        share_A, share_B: whether one A, one B serves all iterations. Norms are never shared.
        form: "residual" or "feature".
        smoother: a key of `scheme.SMOOTHERS`.
        activation: sigma.
        init: a key of `conv.INITIALIZERS`.

    Example:
        >>> u, r = GridLevel(4, 4, nu=2)(keras.ops.ones((1, 8, 8, 4)))
        >>> tuple(u.shape), tuple(r.shape)
        ((1, 8, 8, 4), (1, 8, 8, 4))
    """

    def __init__(
        self,
        channels,
        channels_f,
        nu,
        *,
        share_A=True,
        share_B=True,
        form="residual",
        smoother="residual_correction",
        activation="relu",
        init="he_fan_out",
        name=None,
        dtype=None,
    ):
        super().__init__(name=name, dtype=dtype)
        if form not in FORMS:
            raise unknown("form", form, FORMS)
        policy = self.dtype_policy
        self.nu, self.form = nu, form
        self.A = conv_family("A", channels_f, 1 if share_A else nu, init, policy)
        self.B = conv_family("B", channels, 1 if share_B else nu, init, policy)
        self.s1 = [Norm(activation, foldable=False, name=f"s1_{i}", dtype=policy) for i in range(nu)]
        self.s2 = [Norm(activation, foldable=len(self.B) == nu, name=f"s2_{i}", dtype=policy) for i in range(nu)]
        self.scheme = scheme(smoother, nu, policy)

    def build(self, r_shape, u_shape=None):
        u_shape, r_shape = self.compute_output_shape(r_shape)
        build_all(u_shape, self.A, self.s2)
        build_all(r_shape, self.B, self.s1)
        self.scheme.build()

    def compute_output_shape(self, r_shape, u_shape=None):
        return (*r_shape[:-1], self.B[0].filters), tuple(r_shape)

    def call(self, r, u=None):
        u = 0.0 if u is None else u
        return self._iterate_residual(u, r) if self.form == "residual" else self._iterate_feature(u, r)

    def _iterate_residual(self, u, r):
        states, candidates = [(u, r)], []
        for i in range(self.nu):
            u, r = states[i]
            candidates.append(steps.residual_correction(u, r, instance(self.A, i), self._correction(i, r)))
            states.append(self.scheme.next_state(i, states, candidates))
        return states[-1]

    def _iterate_feature(self, u, r):
        f = steps.data(r, u, instance(self.A, 0))
        states, candidates = [(u,)], []
        for i in range(self.nu):
            (u,) = states[i]
            e = self._correction(i, steps.residual(f, u, instance(self.A, i)))
            candidates.append((u + e,))
            states.append(self.scheme.next_state(i, states, candidates))
        (u,) = states[-1]
        return u, steps.residual(f, u, self.A[-1])

    def _correction(self, i, r):
        return steps.correction(r, self.scheme.smoother(instance(self.B, i)), self.s1[i], self.s2[i])


def build_all(shape, *groups: list[keras.layers.Layer]) -> None:
    """Builds layers that take inputs of one shape."""
    for layer in (layer for group in groups for layer in group):
        layer.build(shape)


def conv_family(name: str, filters: int, count: int, init: str, policy) -> list[Conv]:
    """Returns `count` 3x3 convolutions named `name` or, where there are several, `name` and index."""
    names = [name] if count == 1 else [f"{name}{i}" for i in range(count)]
    return [Conv(filters, init=init, name=n, dtype=policy) for n in names]
