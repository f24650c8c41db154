"""MgNet's level: all iterations on one grid, and the owner of their convolutions and norms."""

import functools

import keras

from keras_mgnet.errors import check_known, unknown
from keras_mgnet.layers import steps
from keras_mgnet.layers.conv import Conv
from keras_mgnet.layers.norm import Norm
from keras_mgnet.layers.remat import Rematerialized
from keras_mgnet.layers.scheme import scheme
from keras_mgnet.layers.sharing import instance
from keras_mgnet.serialization import serializable

FORMS = ("residual", "feature")
PLACES = (None, "norm", "sigma")


@serializable
class GridLevel(Rematerialized, keras.layers.Layer):
    """nu smoothing steps of MgNet on one grid: u^i = u^{i-1} + B(f - A(u^{i-1})), He2019 (4.3), B(r) = s2(B * s1(r)).

    Call it with r (N, H, W, c_f), the residual f - A(u) at entry, and u (N, H, W, c_u), omitted where u = 0. It returns
    the last (u, r). The residual form carries r <- r - A * e; the feature form rebuilds f = r + A(u) and evaluates
    f - A(u) in each step. Both are the same function while A is linear and shared. With `share_A=False` they are two
    networks: the residual form then means r <- r - A_i * e, the feature form f - A_i * u.

    A nonlinear A(u) = t2(A * t1(u)) has nu pairs of norms, for A(u^0), ..., A(u^{nu-1}); the residual behind the last step
    takes the last pair again. Where u^0 = 0, A(0) counts as zero, and the pairs are those of A(u^1), ..., A(u^nu).

    Args:
        channels: c_u.
        channels_f: c_f.
        nu: number of iterations.
        share_A, share_B: whether one A, one B serves all iterations. Norms are never shared.
        A, B: what stands before and behind the convolution, each one of `PLACES`: nothing, a norm, or a norm and sigma.
        form: "residual", or "feature", which a nonlinear A needs.
        smoother: a key of `scheme.SMOOTHERS`, or the scheme.
        operators: the layers (A, B), shared by all iterations, in place of the 3x3 convolutions.
        last: whether nobody reads the last residual; a nonlinear A then keeps it out of the moving statistics.
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
        A=(None, None),
        B=("sigma", "sigma"),
        form="residual",
        smoother="residual_correction",
        operators=None,
        last=False,
        activation="relu",
        init="he_fan_out",
        name=None,
        dtype=None,
    ):
        super().__init__(name=name, dtype=dtype)
        check_known("form", form, FORMS)
        if form == "residual" and any(A):
            raise ValueError(f"expected form='feature' for a nonlinear A. Received: form={form!r}, A={A}")
        policy = self.dtype_policy
        rule = scheme(smoother, nu, policy)
        if not rule.needs_B and channels != channels_f:
            raise ValueError(
                f"expected channels_f to be channels where B is made of A. Received: {channels_f}, {channels}"
            )
        self.nu, self.form, self.last, self.channels = nu, form, last, channels
        if operators is not None:
            self.A, self.B = ([layer] for layer in operators)
        else:
            self.A = conv_family("A", channels_f, 1 if share_A else nu, init, policy)
            self.B = conv_family("B", channels, 1 if share_B else nu, init, policy) if rule.needs_B else []
        norms = functools.partial(norm_family, count=nu, activation=activation, policy=policy)
        self.s1 = norms("s1", B[0])
        self.s2 = norms("s2", B[1], foldable=len(self.B) == nu)
        self.t1 = norms("t1", A[0])
        self.t2 = norms("t2", A[1])
        self.scheme = rule

    def build(self, r_shape, u_shape=None):
        u_shape, r_shape = self.compute_output_shape(r_shape)
        build_all(u_shape, self.A, self.s2, self.t1)
        build_all(r_shape, self.B, self.s1, self.t2)
        self.scheme.build(u_shape)

    def compute_output_shape(self, r_shape, u_shape=None):
        return (*r_shape[:-1], self.channels), tuple(r_shape)

    def call(self, r, u=None, training=None):
        return self._iterate(0.0 if u is None else u, r, self.scheme, training)

    def _iterate(self, u, r, scheme, training, first=0):
        """The iterations of a scheme, which are the iterations `first`, `first` + 1, ... of the level."""
        iterate = self._iterate_residual if self.form == "residual" else self._iterate_feature
        return iterate(u, r, scheme, functools.partial(self.again, training=training), first)

    def _iterate_residual(self, u, r, scheme, again, first):
        states, candidates = [(u, r)], []
        for i in range(scheme.nu):
            candidates.append(again(functools.partial(self._corrected, first + i), *states[i]))
            states.append(scheme.next_state(i, states, candidates))
        return states[-1]

    def _iterate_feature(self, u, r, scheme, again, first):
        norms = first - (1 if isinstance(u, float) else 0)
        f = steps.data(r, u, self._map(first, first))
        states, candidates = [(u,)], []
        for i in range(scheme.nu):
            (u,) = states[i]
            if i:
                e = again(functools.partial(self._correction_of_data, first + i, norms + i), f, u)
            else:
                e = again(functools.partial(self.correction, first), r)
            candidates.append((u + e,))
            states.append(scheme.next_state(i, states, candidates))
        (u,) = states[-1]
        mode = {"training": False} if self.last else {}
        return u, steps.residual(f, u, self._map(first + scheme.nu, norms + scheme.nu, **mode))

    def _corrected(self, i, u, r):
        """Iteration i in residual form."""
        return steps.residual_correction(u, r, instance(self.A, i), self.correction(i, r))

    def _correction_of_data(self, i, norms, f, u):
        """The correction of the residual f - A(u), with the norms of that index in A."""
        return self.correction(i, steps.residual(f, u, self._map(i, norms)))

    def correction(self, i, r):
        """The correction of iteration i for a residual."""
        B = instance(self.B, i) if self.B else None
        return steps.mapping(r, self._smoother(i, instance(self.A, i), B), self.s1[i], self.s2[i])

    def _smoother(self, i, A, B):
        return self.scheme.smoother(i, A, B)

    def _map(self, i, norms, **mode):
        """The map u -> A_i(u) with the norms of that index, in the mode of the level unless it is given."""
        t1, t2 = (functools.partial(instance(t, norms), **mode) for t in (self.t1, self.t2))
        return lambda u: steps.mapping(u, instance(self.A, i), t1, t2)


def build_all(shape, *groups) -> None:
    """Builds layers that take inputs of one shape, unless they are built."""
    for layer in (layer for group in groups for layer in group if isinstance(layer, keras.layers.Layer)):
        if not layer.built:
            layer.build(shape)


def build_chain(layers, shape):
    """Builds layers, each on what the one before it returns, unless they are built; returns the shape behind the last."""
    for layer in layers:
        if not layer.built:
            layer.build(shape)
        shape = layer.compute_output_shape(shape)
    return shape


def conv_family(name: str, filters: int, count: int, init: str, policy) -> list[Conv]:
    """Returns `count` 3x3 convolutions named `name` or, where there are several, `name` and index."""
    names = [name] if count == 1 else [f"{name}{i}" for i in range(count)]
    return [Conv(filters, init=init, name=n, dtype=policy) for n in names]


def norm_family(name: str, place: str | None, count: int, activation, policy, foldable: bool = False) -> list:
    """Returns `count` norms, with sigma where `place` is "sigma", named `name` and index; or as many times the identity."""
    if place not in PLACES:
        raise unknown("place", place, ["norm", "sigma", "None"])
    if place is None:
        return [identity] * count
    activation = activation if place == "sigma" else None
    return [Norm(activation, foldable=foldable, name=f"{name}_{i}", dtype=policy) for i in range(count)]


def identity(x, training=None):
    """The norm that is not there."""
    return x
