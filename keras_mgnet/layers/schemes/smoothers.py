"""Smoothers: schemes for A u = f, which combine the corrections of one grid into the next iterate.

The state is (current, f, past). `current` is the pair (u, r). `f` is needed if A is not linear, because r must then be computed
from it; else it is None. `past` holds the earlier pairs that a scheme still needs.

All smoothers except `PolynomialSmoother` combine candidates u^j + e^j with weights that sum to one, so r = f - A * u holds for
each of them. All start as the plain residual correction, except `Damped`, `RedBlack` and a `Chebyshev` with given omega.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from keras import ops

from keras_mgnet.annotations import DType, Shape, Tensor
from keras_mgnet.errors import check_known
from keras_mgnet.layers import steps
from keras_mgnet.layers.schemes.scheme import Method, Scheme, State
from keras_mgnet.serialization import serializable

Pair = tuple[Tensor, Tensor]  # (u, r); u is None if it is zero, r if it is not yet computed


@serializable
class ResidualCorrection(Scheme):
    """MgNet's smoother: u^i = u^{i-1} + e^{i-1}, He2019 (4.3).

    Args:
        nu: number of iterations.

    Attributes:
        needs_B: whether the system has a B. A smoother that needs none makes it from A.
        keeps_residual: whether r <- r - A * e is the residual of the next u. Otherwise f must be carried.
    """

    method = Method(
        "multigrid, residual correction", "u <- u + B(f - A u)", "1 as forward Euler", "A u = f, by u' = B(f - A u)"
    )
    nonlinear = Method(
        "stationary iteration for the feature",
        "u <- u + B(f - A(u))",
        "1 as forward Euler",
        "A(u) = f, by u' = B(f - A(u))",
    )
    needs_B: ClassVar[bool] = True

    def __init__(self, nu: int, *, name: str | None = "scheme", dtype: DType = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.nu = nu

    @property
    def keeps_residual(self) -> bool:
        return True

    def build(self, u_shape: Shape) -> None:
        """Adds the trainable coefficients, for u of this shape."""

    def check(self, field: Any) -> None:
        if field.form == "residual" and not self.keeps_residual:
            raise ValueError(
                "expected form='feature' for a smoother that does not keep r = f - A * u. "
                f"Received: form='residual', smoother={type(self).__name__}"
            )

    def begin(self, system: Any, r: Tensor, u: Tensor | None = None) -> State:
        return (u, r), system.data(u, r), ()

    def step(self, i: int, system: Any, current: Pair, f: Any, past: tuple[Any, ...]) -> State:
        u, r = current
        r = system.residual(f, u) if r is None else r
        e = system.correction(r, lambda r: self.smoothed(i, system, r))
        candidate = steps.residual_correction(u, r, e, system.product(e)) if f is None else (steps.plus(u, e), None)
        return self.next_state(i, candidate, current, f, past)

    def end(self, system: Any, current: Pair, f: Any, past: tuple[Any, ...]) -> Any:
        u, r = current
        return u, r if f is None else system.last_residual(f, u)

    def smoothed(self, i: int, system: Any, r: Tensor) -> Tensor:
        """Returns B * r of iteration i."""
        return system.smooth(r)

    def next_state(self, i: int, candidate: Pair, current: Pair, f: Any, past: tuple[Any, ...]) -> State:
        """Returns the state after iteration i. `candidate` is (u^i + e^i, its residual)."""
        return candidate, f, ()

    def over(self, field: Any) -> Method:
        return self.method if field.is_linear else self.nonlinear


@serializable
class Damped(ResidualCorrection):
    """Damped Jacobi: scales B by sigmoid(a) before its normalisation. a is trainable, one per level, initially 1.

    The batch normalisation after it cancels the factor except for its epsilon, so a has hardly any gradient.
    """

    method = Method(
        "multigrid, damped Jacobi",
        "u <- u + s B(f - A u), 0 < s < 1",
        "1 as forward Euler",
        "A u = f, by u' = s B(f - A u)",
    )

    def build(self, u_shape: Shape) -> None:
        self.a = self.add_weight(shape=(), initializer="ones", name="a")

    def smoothed(self, i: int, system: Any, r: Tensor) -> Tensor:
        return ops.sigmoid(self.a) * system.smooth(r)


@serializable
class Weighted(ResidualCorrection):
    """Scales one B by a trainable weight per iteration, initially 1: B^i = w_i B."""

    def build(self, u_shape: Shape) -> None:
        self.w = self.add_weight(shape=(self.nu,), initializer="ones", name="w")

    def smoothed(self, i: int, system: Any, r: Tensor) -> Tensor:
        return self.w[i] * system.smooth(r)


@serializable
class Chebyshev(ResidualCorrection):
    """Chebyshev semi-iteration: u^i = omega_i (u^{i-1} + e^{i-1}) + (1 - omega_i) u^{i-2}, u^{-1} = u^0.

    It is the residual counterpart of LM-ResNet with k_i = 1 - omega_i. With omega_i = 1 it restarts.

    Args:
        nu: number of iterations.
        omega: initial values of the nu weights, such as `chebyshev_omegas`; None for 1.
        learned: whether the weights are trained.
    """

    method = Method(
        "multigrid, Chebyshev semi-iteration",
        "u_{n+1} = omega (u_n + B(f - A u_n)) + (1 - omega) u_{n-1}",
        "1 as a linear two-step method",
        "A u = f, by (2 - omega) u' = omega B(f - A u)",
    )

    def __init__(
        self,
        nu: int,
        omega: Sequence[float] | None = None,
        *,
        learned: bool = True,
        name: str | None = "scheme",
        dtype: DType = None,
    ) -> None:
        super().__init__(nu, name=name, dtype=dtype)
        self.initial, self.learned = (1.0,) * nu if omega is None else omega, learned

    def build(self, u_shape: Shape) -> None:
        self.omega = self.add_weight(
            shape=(self.nu,),
            initializer=lambda shape, dtype: ops.convert_to_tensor(self.initial, dtype=dtype),
            trainable=self.learned,
            name="omega",
        )

    def next_state(self, i: int, candidate: Pair, current: Pair, f: Any, past: tuple[Any, ...]) -> State:
        (before,) = past or (current,)
        return combined((candidate, before), (self.omega[i], 1 - self.omega[i])), f, (current,)


@serializable
class RedBlack(ResidualCorrection):
    """Half-sweeps over the colours of a chessboard: iteration i corrects only the points with even i + row + column.

    With B = D^{-1} of a five-point stencil two iterations are one sweep of red-black Gauss-Seidel. With B = omega D^{-1} they are
    one sweep of SOR.

    Example:
        >>> from keras_mgnet.layers import GridLevel, Stencil
        >>> A, B = Stencil([[4.0]], None), Stencil([[0.25]], None)
        >>> level = GridLevel(1, 1, 1, B=(None, None), smoother=RedBlack(1), operators=(A, B))
        >>> ops.convert_to_numpy(level(ops.ones((1, 2, 3, 1)))[0])[0, :, :, 0].tolist()
        [[0.25, 0.0, 0.25], [0.0, 0.25, 0.0]]
    """

    def smoothed(self, i: int, system: Any, r: Tensor) -> Tensor:
        _, h, w, _ = ops.shape(r)
        colour = (i + ops.arange(h)[:, None] + ops.arange(w)) % 2
        return ops.where(colour[None, :, :, None] == 0, system.smooth(r), 0.0)


@serializable
class Multistep(ResidualCorrection):
    """Multi-step correction: u^i = sum_{j<i} alpha_j^i (u^j + e^j) with sum_j alpha_j^i = 1.

    It starts with all weight on j = i-1. The weights of the earlier steps are trainable, and the last weight is the remainder to
    1. e^j is computed once, with the B of the iteration that produced r^j, so a step costs as much as a plain one.
    """

    method = Method(
        "multigrid, multi-step residual correction",
        "u_{n+1} = sum_j alpha_j (u_j + B(f - A u_j)), sum_j alpha_j = 1",
        "1 as a linear multistep method",
        "A u = f",
    )

    def build(self, u_shape: Shape) -> None:
        self.alpha = [self.add_weight(shape=(i,), initializer="zeros", name=f"alpha{i}") for i in range(1, self.nu)]

    def next_state(self, i: int, candidate: Pair, current: Pair, f: Any, past: tuple[Any, ...]) -> State:
        candidates = (*past, candidate)
        if i == 0:
            return candidate, f, candidates
        alpha = self.alpha[i - 1]
        weights = (*(alpha[j] for j in range(i)), 1 - ops.sum(alpha))
        return combined(candidates, weights), f, candidates if i < self.nu - 1 else ()


def combined(pairs: Sequence[Pair], weights: Sequence[Any]) -> Pair:
    """Returns the weighted sum of pairs. If a residual is not yet computed, neither is that of the sum."""
    us, rs = zip(*pairs, strict=True)
    return steps.combine(us, weights), None if any(r is None for r in rs) else steps.combine(rs, weights)


SMOOTHERS: dict[str, Callable[..., ResidualCorrection]] = {
    "residual_correction": ResidualCorrection,
    "damped": Damped,
    "chebyshev": Chebyshev,
    "multistep": Multistep,
}


def scheme(smoother: str | ResidualCorrection, nu: int, dtype: DType = None) -> ResidualCorrection:
    """Returns the smoother of a key of `SMOOTHERS` for nu iterations. A scheme layer is returned unchanged."""
    if isinstance(smoother, ResidualCorrection):
        return smoother
    check_known("smoother", smoother, SMOOTHERS)
    return SMOOTHERS[smoother](nu, dtype=dtype)


def chebyshev_omegas(rho: float, n: int) -> tuple[float, ...]:
    """Returns omega_1, ..., omega_n of the Chebyshev semi-iteration, for a basic iteration with real spectrum in [-rho, rho].

    omega_1 = 1, omega_2 = 1 / (1 - rho^2 / 2), omega_{i+1} = 1 / (1 - omega_i rho^2 / 4). They tend to 2 / (1 + sqrt(1 - rho^2)),
    which is in (1, 2). LM-ResNet's k_i = 1 - omega_i is then in (-1, 0] (Lu2018, Figure 4).

    Example:
        >>> [round(1 - omega, 4) for omega in chebyshev_omegas(0.9, 4)]
        [0.0, -0.6807, -0.5159, -0.4429]
    """
    if not 0 <= rho < 1:
        raise ValueError(f"expected 0 <= rho < 1. Received: rho={rho!r}")
    omegas = [1.0]
    for i in range(1, n):
        omegas.append(1 / (1 - omegas[-1] * rho**2 / (2 if i == 1 else 4)))
    return tuple(omegas[:n])
