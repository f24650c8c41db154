"""Polynomial smoothers: a polynomial in A with trained coefficients replaces B (Poly-MgNet)."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_mgnet.annotations import Activation, DType, Shape, Tensor
from keras_mgnet.errors import check_known
from keras_mgnet.layers import steps
from keras_mgnet.layers.operators.families import build_all, identity, norm_family
from keras_mgnet.layers.schemes.scheme import Method, State
from keras_mgnet.layers.schemes.smoothers import Pair, ResidualCorrection
from keras_mgnet.layers.separable import scaled
from keras_mgnet.layers.sharing import instance, own, shared
from keras_mgnet.serialization import serializable

POLYNOMIALS = ("linear", "double", "quadratic")


@serializable
class PolynomialSmoother(ResidualCorrection):
    """Smooths with a polynomial q(A) in place of B: u^i = s3(u^{i-1} + q(A) r), where r is the residual.

    The coefficients alpha of q are trained. Without norms an iteration multiplies r by I - A q(A), the residual polynomial.

    - "linear": q(A) r = alpha r (Richardson). The residual polynomial is I - A / z with the root z = 1 / alpha.
    - "double": q(A) r = alpha A * r.
    - "quadratic": in the last iteration q(A) r = 2 a r - (a^2 + b^2) A * r with alpha = (a, b). The residual polynomial is
      (I - A / z)(I - A / conj(z)) with 1 / z = a + ib. The earlier iterations are "linear".

    Where alpha is one number, a norm after q(A) r cancels the size of alpha. Training then hardly changes alpha.

    Args:
        nu: number of iterations.
        kind: one of `POLYNOMIALS`.
        share: whether all iterations share one alpha. The pair of roots of "quadratic" is not shared.
        behind: s3, which is None for the identity, "norm", or "sigma" for a norm followed by sigma. The residual form needs None.
        sigma_last: whether sigma follows the last iteration. The residual form needs False.
        activation: sigma.
        norm: "batch" for batch normalisation, None for no norm.

    Example:
        >>> from keras_mgnet.layers import GridLevel
        >>> u, r = GridLevel(4, 4, nu=2, smoother=PolynomialSmoother(2))(ops.ones((1, 8, 8, 4)))
        >>> tuple(u.shape)
        (1, 8, 8, 4)
    """

    method = Method(
        "multigrid, polynomial (Richardson) smoother",
        "u <- u + q(A)(f - A u), I - A q(A) = prod (I - A / z)",
        "none, it has a convergence factor",
        "A u = f, by u' = q(A)(f - A u)",
    )
    needs_B = False

    def __init__(
        self,
        nu: int,
        kind: str = "linear",
        *,
        share: bool = False,
        behind: str | None = None,
        sigma_last: bool = False,
        activation: Activation = "relu",
        norm: str | None = "batch",
        name: str | None = "scheme",
        dtype: DType = None,
    ) -> None:
        super().__init__(nu, name=name, dtype=dtype)
        check_known("polynomial", kind, POLYNOMIALS)
        pairs = 1 if kind == "quadratic" else 0
        table = (shared if share else own)(nu - pairs)
        self.kind = kind
        self.sizes = (1,) * len(set(table)) + (2,) * pairs
        self.table = table + (len(self.sizes) - 1,) * pairs
        self.s3 = norm_family("s3", behind, nu, activation, self.dtype_policy, norm=norm)
        self.sigma = keras.activations.get(activation) if sigma_last else identity

    @property
    def keeps_residual(self) -> bool:
        return self.sigma is identity and self.s3[0] is identity

    def build(self, u_shape: Shape) -> None:
        build_all(u_shape, self.s3)
        c = u_shape[-1]
        sizes = enumerate(self.sizes)
        self.alpha = [self.add_weight(shape=(n,), initializer=inverse_root(c), name=f"alpha{i}") for i, n in sizes]

    def smoothed(self, i: int, system: Any, r: Tensor) -> Tensor:
        alpha = self.alpha[self.table[i]]
        if alpha.shape == (2,):
            return steps.root_pair(r, system.product, alpha[:1], alpha[1:])
        return system.product(scaled(r, alpha)) if self.kind == "double" else scaled(r, alpha)

    def next_state(self, i: int, candidate: Pair, current: Pair, f: Any, past: tuple[Any, ...]) -> State:
        u, r = candidate
        u = instance(self.s3, i)(u)
        return (self.sigma(u) if i == self.nu - 1 else u, r), f, ()


def inverse_root(channels: int) -> Callable[..., Tensor]:
    """Returns the initialiser of alpha = 1 / z.

    The real and imaginary parts of z are drawn from U(-1, 1) sqrt(6 / (2 c)), the "Xavier" rule of the released code. c is
    `channels`.
    """
    part = keras.initializers.RandomUniform(-((3 / channels) ** 0.5), (3 / channels) ** 0.5)

    def alpha(shape: Shape, dtype: DType = None) -> Tensor:
        z = part(shape, dtype)
        return z / ops.sum(z * z)

    return alpha
