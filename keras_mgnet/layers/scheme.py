"""Smoothing schemes: how the corrections of one level are combined into its next iterate.

A state is (u, r) or, in the feature form, (u,). Every scheme of this file combines candidates u^j + e^j with weights that
sum to one, so r = f - A * u holds for each of them. All start as the plain residual correction, but for `Damped`, `RedBlack`
and a `Chebyshev` with given omega.
"""

import keras
from keras import ops

from keras_mgnet.errors import check_known
from keras_mgnet.layers import steps
from keras_mgnet.serialization import serializable


@serializable
class ResidualCorrection(keras.layers.Layer):
    """u^i = u^{i-1} + e^{i-1}: MgNet's smoother, He2019 (4.3).

    Args:
        nu: number of iterations.
    """

    needs_B = True

    def __init__(self, nu, *, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.nu = nu

    def build(self, input_shape=None):
        """Adds the trainable coefficients, for u of this shape; the level that owns a scheme builds it and calls its methods."""

    def smoother(self, i: int, A, B):
        """Returns the map r -> B * r of iteration i; a scheme without `needs_B` makes it of A."""
        return B

    def next_state(self, i: int, states, candidates):
        """Returns state i + 1 from the states 0..i and their corrected candidates 0..i."""
        return candidates[i]


@serializable
class Damped(ResidualCorrection):
    """Damped Jacobi: B is scaled by sigmoid(a) before its normalisation; a is trainable, one per level, initially 1.

    The batch normalisation behind it cancels the factor but for its epsilon, so a has hardly any gradient.
    """

    def build(self, input_shape=None):
        self.a = self.add_weight(shape=(), initializer="ones", name="a")

    def smoother(self, i, A, B):
        return lambda r: ops.sigmoid(self.a) * B(r)


@serializable
class Weighted(ResidualCorrection):
    """Iteration i takes B^i = w_i B: one B, and a trainable weight per iteration, initially 1."""

    def build(self, input_shape=None):
        self.w = self.add_weight(shape=(self.nu,), initializer="ones", name="w")

    def smoother(self, i, A, B):
        return lambda r: self.w[i] * B(r)


@serializable
class Chebyshev(ResidualCorrection):
    """Chebyshev semi-iteration: u^i = omega_i (u^{i-1} + e^{i-1}) + (1 - omega_i) u^{i-2}, u^{-1} = u^0.

    It is the residual counterpart of LM-ResNet with k_i = 1 - omega_i. An omega_i of 1 begins it anew.

    Args:
        nu: number of iterations.
        omega: the nu values that the weights start from, such as `chebyshev_omegas`; None for 1.
        learned: whether they are trained.
    """

    def __init__(self, nu, omega=None, *, learned=True, name=None, dtype=None):
        super().__init__(nu, name=name, dtype=dtype)
        self.initial, self.learned = (1.0,) * nu if omega is None else omega, learned

    def build(self, input_shape=None):
        self.omega = self.add_weight(
            shape=(self.nu,),
            initializer=lambda shape, dtype: ops.convert_to_tensor(self.initial, dtype=dtype),
            trainable=self.learned,
            name="omega",
        )

    def next_state(self, i, states, candidates):
        omega = self.omega[i]
        return steps.combine((candidates[i], states[max(i - 1, 0)]), (omega, 1 - omega))


@serializable
class RedBlack(ResidualCorrection):
    """Half-sweeps over the colours of a chessboard: iteration i corrects the points of even i + row + column alone.

    With B = D^{-1} of a five-point stencil two iterations are a sweep of red-black Gauss-Seidel, with B = omega D^{-1} of SOR.

    Example:
        >>> B = RedBlack(2).smoother(1, None, lambda r: r)
        >>> ops.convert_to_numpy(B(ops.ones((1, 2, 3, 1))))[0, :, :, 0].tolist()
        [[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]
    """

    def smoother(self, i, A, B):
        def half_sweep(r):
            _, h, w, _ = ops.shape(r)
            colour = (i + ops.arange(h)[:, None] + ops.arange(w)) % 2
            return ops.where(colour[None, :, :, None] == 0, B(r), 0.0)

        return half_sweep


@serializable
class Multistep(ResidualCorrection):
    """Multi-step correction: u^i = sum_{j<i} alpha_j^i (u^j + e^j) with sum_j alpha_j^i = 1; starts with all weight on j = i-1.

    The weights of the earlier steps are trainable, the last one is what remains to 1. e^j is computed once, with the B of
    the iteration that produced r^j, so a step costs what a plain one costs.
    """

    def build(self, input_shape=None):
        self.alpha = [self.add_weight(shape=(i,), initializer="zeros", name=f"alpha{i}") for i in range(1, self.nu)]

    def next_state(self, i, states, candidates):
        if i == 0:
            return candidates[0]
        alpha = self.alpha[i - 1]
        return steps.combine(candidates, (*(alpha[j] for j in range(i)), 1 - ops.sum(alpha)))


SMOOTHERS = {
    "residual_correction": ResidualCorrection,
    "damped": Damped,
    "chebyshev": Chebyshev,
    "multistep": Multistep,
}


def scheme(smoother: str | ResidualCorrection, nu: int, dtype=None) -> ResidualCorrection:
    """Returns the scheme layer of a key of `SMOOTHERS` for nu iterations; a scheme layer returns as it is."""
    if isinstance(smoother, ResidualCorrection):
        return smoother
    check_known("smoother", smoother, SMOOTHERS)
    return SMOOTHERS[smoother](nu, name="scheme", dtype=dtype)


def chebyshev_omegas(rho: float, n: int) -> tuple[float, ...]:
    """Returns omega_1, ..., omega_n of the Chebyshev semi-iteration for a basic iteration of real spectrum in [-rho, rho].

    omega_1 = 1, omega_2 = 1 / (1 - rho^2 / 2), omega_{i+1} = 1 / (1 - omega_i rho^2 / 4), which tends to
    2 / (1 + sqrt(1 - rho^2)) in (1, 2). LM-ResNet's k_i = 1 - omega_i then lies in (-1, 0] (Lu2018, Figure 4).

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
