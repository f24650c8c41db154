"""Smoothers: schemes that improve u in A u = f with corrections e = B r of the residual r = f - A u.

The state of a smoother is (current, f, past):

- `current` is the pair (u, r).
- `f` is None in the residual form, where each iteration updates r. In the feature form `f` is the data, and each iteration
  computes r from `f`.
- `past` is a tuple of the earlier pairs that the smoother still needs.

The next u of a smoother is a weighted sum of candidates u^j + e^j and earlier u^j. The weights sum to one, so r = f - A * u stays
true. Before training, all smoothers of this file compute the same as `ResidualCorrection`, except `Damped`, `RedBlack` and a
`Chebyshev` with given omega.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from keras import ops

from keras_mgnet.annotations import DType, Shape, Tensor
from keras_mgnet.errors import check_known
from keras_mgnet.layers import steps
from keras_mgnet.layers.schemes.scheme import Method, Scheme, State
from keras_mgnet.serialization import serializable

Pair = tuple[Tensor, Tensor]  # (u, r); u is None if u is zero, and r is None until r is computed


@serializable
class ResidualCorrection(Scheme):
    """MgNet's smoother: u^i = u^{i-1} + e^{i-1}, where e^{i-1} is the correction for the residual of u^{i-1}, He2019 (4.3).

    Args:
        nu: number of iterations.

    Attributes:
        needs_B: whether the level needs a B. A polynomial smoother computes corrections with A alone.
        keeps_residual: whether updates of r alone keep r = f - A * u true. If not, the smoother needs the feature form.
    """

    method = Method(
        "multigrid, residual correction",
        "u <- u + B(f - A u)",
        "none, it has a convergence factor",
        "A u = f, by u' = B(f - A u)",
    )
    nonlinear = Method(
        "stationary iteration for the feature",
        "u <- u + B(f - A(u))",
        "none, it has a convergence factor",
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
        """Creates the trainable coefficients, for u with this shape."""

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
        """Returns the state after iteration i. `candidate` is the pair of u^i + e^i and the residual of u^i + e^i."""
        return candidate, f, ()

    def over(self, field: Any) -> Method:
        return self.method if field.is_linear else self.nonlinear


@serializable
class Damped(ResidualCorrection):
    """Damped Jacobi: multiplies B by sigmoid(a). Each level has one trainable number a, initially 1.

    A batch normalisation after B cancels a positive factor almost completely, so the gradient of a is almost zero.
    """

    method = Method(
        "multigrid, damped Jacobi",
        "u <- u + s B(f - A u), 0 < s < 1",
        "none, it has a convergence factor",
        "A u = f, by u' = s B(f - A u)",
    )

    def build(self, u_shape: Shape) -> None:
        self.a = self.add_weight(shape=(), initializer="ones", name="a")

    def smoothed(self, i: int, system: Any, r: Tensor) -> Tensor:
        return ops.sigmoid(self.a) * system.smooth(r)


@serializable
class Weighted(ResidualCorrection):
    """Multiplies B in iteration i by a trainable weight w_i, initially 1: B^i = w_i B."""

    def build(self, u_shape: Shape) -> None:
        self.w = self.add_weight(shape=(self.nu,), initializer="ones", name="w")

    def smoothed(self, i: int, system: Any, r: Tensor) -> Tensor:
        return self.w[i] * system.smooth(r)


@serializable
class Chebyshev(ResidualCorrection):
    """Chebyshev semi-iteration: u^i = omega_i (u^{i-1} + e^{i-1}) + (1 - omega_i) u^{i-2}.

    In the first iteration u^{-1} = u^0. An iteration with omega_i = 1 ignores u^{i-2}. LM-ResNet with k_i = 1 - omega_i is the
    same two-step method for residual blocks.

    Args:
        nu: number of iterations.
        omega: initial values of the nu weights omega_i, for example from `chebyshev_omegas`; None for all 1.
        learned: whether the weights are trained.
    """

    method = Method(
        "multigrid, Chebyshev semi-iteration",
        "u_{n+1} = omega (u_n + B(f - A u_n)) + (1 - omega) u_{n-1}",
        "none, it has a convergence factor",
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

    Let A be a five-point stencil with the diagonal D. With B = D^{-1}, two iterations are one sweep of red-black Gauss-Seidel.
    With B = omega D^{-1}, two iterations are one sweep of successive over-relaxation (SOR).

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

    The weights with j < i-1 are trainable and initially zero. The weight with j = i-1 is 1 minus the sum of the other weights.
    Each e^j is computed once, with the B of the iteration that starts from (u^j, r^j). So the smoother needs as many convolutions
    as `ResidualCorrection`.
    """

    method = Method(
        "multigrid, multi-step residual correction",
        "u_{n+1} = sum_j alpha_j (u_j + B(f - A u_j)), sum_j alpha_j = 1",
        "none, it has a convergence factor",
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
    """Returns the weighted sum of pairs (u, r). If an r is None, the r of the sum is None, too."""
    us, rs = zip(*pairs, strict=True)
    return steps.combine(us, weights), None if any(r is None for r in rs) else steps.combine(rs, weights)


SMOOTHERS: dict[str, Callable[..., ResidualCorrection]] = {
    "residual_correction": ResidualCorrection,
    "damped": Damped,
    "chebyshev": Chebyshev,
    "multistep": Multistep,
}


def scheme(smoother: str | ResidualCorrection, nu: int, dtype: DType = None) -> ResidualCorrection:
    """Returns the smoother with the given name for nu iterations. If `smoother` is a layer, returns the layer unchanged."""
    if isinstance(smoother, ResidualCorrection):
        return smoother
    check_known("smoother", smoother, SMOOTHERS)
    return SMOOTHERS[smoother](nu, dtype=dtype)


def chebyshev_omegas(rho: float, n: int) -> tuple[float, ...]:
    """Returns omega_1, ..., omega_n of the Chebyshev semi-iteration, for a basic iteration with real spectrum in [-rho, rho].

    omega_1 = 1, omega_2 = 1 / (1 - rho^2 / 2), omega_{i+1} = 1 / (1 - omega_i rho^2 / 4). The limit is 2 / (1 + sqrt(1 - rho^2)).
    All omega_i are in [1, 2), so the k_i = 1 - omega_i of LM-ResNet are in (-1, 0] (Lu2018, Figure 4).

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
