"""Newton's methods without matrices: products with the Jacobian and its transpose, conjugate gradients, Armijo's line search."""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from keras_mgnet.annotations import Map, Tensor
from keras_mgnet.layers.autodiff import jvp, vjp
from keras_mgnet.multigrid.iteration import compiled

SUFFICIENT = 1e-4  # share of the decrease that the slope promises, which Armijo's condition asks for
HALVINGS = 20
RELATIVE = 0.1  # to which conjugate gradients reduce the residual of a Newton equation


class Block:
    """A block of variables x of the problem min_x S(outputs(x)) / s + <x, Q x> / 2, with the other variables fixed.

    S is the sum of the cross-entropies of s points. The Hessian is approximated by H = J^T S'' J / s + Q, where J is the
    Jacobian of the outputs (Gauss-Newton). If the outputs are linear in x, H is the exact Hessian (Newton).

    Args:
        outputs: a function (x, given) -> logits (s, classes). `given` are the other variables.
        labels: one-hot, (s, classes).
        Q: the linear map of the regulariser, symmetric and positive definite.
        precondition: a function (r, given) that approximates H^{-1} r, symmetric and positive definite.
    """

    def __init__(
        self,
        outputs: Callable[[Tensor, Any], Tensor],
        labels: Tensor,
        Q: Map,
        precondition: Callable[[Tensor, Any], Tensor],
    ) -> None:
        count = labels.shape[0]

        def value(x, given):
            fit = -ops.sum(labels * ops.log_softmax(outputs(x, given))) / count
            return fit + ops.sum(x * Q(x)) / 2

        def gradient(x, given):
            logits, pull = vjp(lambda x: outputs(x, given), x)
            return pull((ops.softmax(logits) - labels) / count)[0] + Q(x)

        def product(x, given, v):
            _, Jv = jvp(lambda x: outputs(x, given), x, v)
            logits, pull = vjp(lambda x: outputs(x, given), x)
            p = ops.softmax(logits)
            return pull(p * (Jv - ops.sum(p * Jv, axis=1, keepdims=True)) / count)[0] + Q(v)

        self.value, self.gradient, self.product = (compiled(f, False) for f in (value, gradient, product))
        self.precondition, self.Q = compiled(precondition, False), Q

    def direction(
        self, x: Tensor, given: Any, iterations: int = 20, tolerance: float = RELATIVE
    ) -> tuple[Tensor, float, int]:
        """Returns p with H p = -gradient, approximately, the slope <gradient, p>, and the number of products with H."""
        gradient = self.gradient(x, given)
        H, precondition = lambda v: self.product(x, given, v), lambda r: self.precondition(r, given)
        p, products = pcg(H, -gradient, precondition, iterations, tolerance)
        return p, float(ops.sum(gradient * p)), products

    def step(self, x: Tensor, given: Any) -> tuple[Tensor, int]:
        """Returns x after one step of Newton's method with Armijo's line search, and the number of products with H."""
        p, slope, products = self.direction(x, given)
        return armijo(lambda x: self.value(x, given), x, p, slope), products


def pcg(H: Map, f: Tensor, precondition: Map, iterations: int, tolerance: float = RELATIVE) -> tuple[Tensor, int]:
    """Solves H x = f by preconditioned conjugate gradients from zero, until ||f - H x|| <= tolerance ||f||.

    Example:
        >>> x, count = pcg(lambda x: ops.array([1.0, 2.0]) * x, ops.array([1.0, 1.0]), lambda r: r, 10)
        >>> ops.convert_to_numpy(x).round(4).tolist(), count
        ([1.0, 0.5], 2)
    """
    x, r = ops.zeros_like(f), f
    p = z = precondition(r)
    rz, goal = ops.sum(r * z), tolerance * _norm(f)
    for count in range(1, iterations + 1):
        Hp = H(p)
        alpha = rz / ops.sum(p * Hp)
        x, r = x + alpha * p, r - alpha * Hp
        if _norm(r) <= goal:
            return x, count
        z, before = precondition(r), rz
        rz = ops.sum(r * z)
        p = z + (rz / before) * p
    return x, iterations


def _norm(x: Tensor) -> float:
    return float(ops.sum(x * x)) ** 0.5


def armijo(value: Callable[[Tensor], Tensor], x: Tensor, p: Tensor, slope: float) -> Tensor:
    """Returns x + t p with the first t of 1, 1/2, 1/4, ... such that value(x + t p) <= value(x) + `SUFFICIENT` t slope.

    `slope` is the derivative of the value along p, and negative. Returns x if no t suffices.
    """
    start, t = float(value(x)), 1.0
    for _ in range(HALVINGS):
        if float(value(x + t * p)) <= start + SUFFICIENT * t * slope:
            return x + t * p
        t /= 2
    return x


def inverse(matrix: np.ndarray) -> Map:
    """Returns the map r -> matrix^{-1} r along the first axis of r."""
    factor = ops.convert_to_tensor(np.linalg.inv(matrix))
    return lambda r: ops.tensordot(ops.cast(factor, r.dtype), r, 1)
