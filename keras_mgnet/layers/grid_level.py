"""MgNet's levels. A level smooths on one grid: on the way down, and in a multigrid cycle also on the way up."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_mgnet.annotations import Activation, DType, Shape, Tensor
from keras_mgnet.layers import steps
from keras_mgnet.layers.fields.system import LinearSystem
from keras_mgnet.layers.level import Level
from keras_mgnet.layers.schemes.scheme import Method
from keras_mgnet.layers.schemes.smoothers import ResidualCorrection, scheme
from keras_mgnet.serialization import serializable

PLAIN = "residual_correction"


@serializable
class GridLevel(Level):
    """Smooths u for nu iterations on one grid: u^i = u^{i-1} + s2(B * s1(f - A(u^{i-1}))), He2019 (4.3).

    A and B are convolutions. By default s1 and s2 are each a norm followed by the activation, and A(u) = A * u.

    Call the level with the residual r = f - A(u) (N, H, W, c_f) and with u (N, H, W, c_u). Leave u out if u is zero. The level
    returns u and r after the last iteration.

    The residual form updates r <- r - A * e with the correction e = s2(B * s1(r)). The feature form computes f = r + A(u) once,
    and r = f - A(u) in each iteration. The two forms are the same function if A is linear and shared. With `share_A=False` they
    are different networks: iteration i computes r <- r - A_i * e in the residual form, and r = f - A_i * u in the feature form.

    Args:
        channels, channels_f, share_A, share_B, A, B, form, operators, last, activation, norm, init: as in `LinearSystem`.
        nu: number of iterations.
        smoother: a key of `smoothers.SMOOTHERS`, or a scheme layer.

    Example:
        >>> u, r = GridLevel(4, 4, nu=2)(keras.ops.ones((1, 8, 8, 4)))
        >>> tuple(u.shape), tuple(r.shape)
        ((1, 8, 8, 4), (1, 8, 8, 4))
    """

    def __init__(
        self,
        channels: int,
        channels_f: int,
        nu: int,
        *,
        share_A: bool = True,
        share_B: bool = True,
        A: Sequence[str | None] = (None, None),
        B: Sequence[str | None] = ("sigma", "sigma"),
        form: str = "residual",
        smoother: str | ResidualCorrection = PLAIN,
        operators: Sequence[Any] | None = None,
        last: bool = False,
        activation: Activation = "relu",
        norm: str | None = "batch",
        init: str = "he_fan_out",
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        policy = keras.dtype_policies.get(dtype)
        rule = scheme(smoother, nu, policy)
        if rule.nu != nu:
            raise ValueError(f"expected a smoother of nu={nu} iterations. Received: nu={rule.nu}")
        if not rule.needs_B and channels != channels_f:
            raise ValueError(
                f"expected channels_f == channels for a smoother without B. "
                f"Received: channels_f={channels_f}, channels={channels}"
            )
        maps: dict[str, Any] = {"A": A, "B": B, "has_B": rule.needs_B, "operators": operators, "last": last}
        options: dict[str, Any] = {
            "share_A": share_A,
            "share_B": share_B,
            "form": form,
            "activation": activation,
            "norm": norm,
            "init": init,
        }
        system = LinearSystem(channels, channels_f, nu, **maps, **options, name="system", dtype=policy)
        super().__init__(rule, system, name=name, dtype=policy)

    def build(self, r_shape: Shape, u_shape: Shape | None = None) -> None:
        self.field.build(r_shape, u_shape)
        self.scheme.build(self.field.compute_output_shape(r_shape)[0])

    def compute_output_shape(self, r_shape: Shape, u_shape: Shape | None = None) -> tuple[Shape, Shape]:
        return self.field.compute_output_shape(r_shape)

    def compute_output_spec(self, r: Tensor, u: Tensor | None = None, training: bool | None = None) -> Any:
        return self.symbolic(self.compute_output_shape(r.shape))

    def call(self, r: Tensor, u: Tensor | None = None, training: bool | None = None) -> tuple[Tensor, Tensor]:
        return super().call(r, u, training=training)


@serializable
class CycleLevel(Level):
    """One grid of a multigrid cycle: nu smoothing iterations on the way down, a correction and post_nu iterations on the way up.

    Each way has its own scheme. Both ways share one A. On the way down, `level(r, u)` works as in `GridLevel` and returns (u, r).
    On the way up, `level(r, u, e)` takes this pair and the correction e (N, H, W, c) from the coarse grid. There the level first
    computes u <- u + e and r <- r - A * e, then smooths and returns (u, r).

    Args:
        channels: number of channels of u and of r. They are equal because one kernel restricts r and, transposed, prolongs e.
        nu, post_nu: iterations on the way down and on the way up.
        share_B: whether one B serves all iterations, down and up.
        B, form, operators, activation, norm, init: as in `LinearSystem`.
        smoothers: the schemes on the way down and up, each a key of `smoothers.SMOOTHERS` or a scheme layer.

    Example:
        >>> level = CycleLevel(4, nu=2, post_nu=1)
        >>> u, r = level(keras.ops.ones((1, 8, 8, 4)))
        >>> u, r = level(r, u, 0.1 * u)
        >>> tuple(u.shape)
        (1, 8, 8, 4)
    """

    cycle = Method(
        "multigrid V-cycle",
        "u <- u + B(f - A u); u <- u + R^T e, e from the coarse grid for R(f - A u); u <- u + B(f - A u)",
        "none, it has a convergence factor",
        "A u = f on every grid, by u' = B(f - A u)",
    )

    def __init__(
        self,
        channels: int,
        nu: int,
        post_nu: int,
        *,
        share_B: bool = True,
        B: Sequence[str | None] = ("sigma", "sigma"),
        form: str = "residual",
        smoothers: Sequence[str | ResidualCorrection] = (PLAIN, PLAIN),
        operators: Sequence[Any] | None = None,
        activation: Activation = "relu",
        norm: str | None = "batch",
        init: str = "he_fan_out",
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        policy = keras.dtype_policies.get(dtype)
        down, up = (scheme(rule, count, policy) for rule, count in zip(smoothers, (nu, post_nu), strict=True))
        system = LinearSystem(
            channels,
            channels,
            nu + post_nu,
            share_B=share_B,
            B=B,
            form=form,
            operators=operators,
            activation=activation,
            norm=norm,
            init=init,
            name="system",
            dtype=policy,
        )
        up.check(system)
        super().__init__(down, system, name=name, dtype=policy)
        self.post_scheme = up

    @property
    def nu(self) -> int:
        return self.scheme.nu

    @property
    def method(self) -> Method:
        return self.cycle

    @property
    def post_nu(self) -> int:
        """Number of iterations on the way up."""
        return self.post_scheme.nu

    def build(self, r_shape: Shape, u_shape: Shape | None = None, e_shape: Shape | None = None) -> None:
        self.field.build(r_shape, u_shape)
        for rule in (self.scheme, self.post_scheme):
            rule.build(self.field.compute_output_shape(r_shape)[0])

    def compute_output_shape(
        self, r_shape: Shape, u_shape: Shape | None = None, e_shape: Shape | None = None
    ) -> tuple[Shape, Shape]:
        return self.field.compute_output_shape(r_shape)

    def compute_output_spec(
        self, r: Tensor, u: Tensor | None = None, e: Tensor | None = None, training: bool | None = None
    ) -> Any:
        return self.symbolic(self.compute_output_shape(r.shape))

    def call(
        self, r: Tensor, u: Tensor | None = None, e: Tensor | None = None, training: bool | None = None
    ) -> tuple[Tensor, Tensor]:
        if e is None:
            return super().call(r, u, training=training)
        system = self.field.at(0)
        state = self.post_scheme.begin(system, *reversed(steps.residual_correction(u, r, e, system.product(e))))
        state = self.iterate(self.post_scheme, state, training, first=self.nu)
        return self.post_scheme.end(self.field.at(self.nu + self.post_nu), *state)
