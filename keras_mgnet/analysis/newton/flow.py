"""The constraint: residual networks on points, as discretised differential equations in the depth t (Lu2017)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from keras import ops

from keras_mgnet.annotations import Tensor
from keras_mgnet.layers import steps


def _euler(Y: Tensor, Z: Tensor, K: Tensor, b: Tensor, h: float) -> tuple[Tensor, Tensor]:
    return steps.euler(Y, h * steps.single_layer(Y, lambda x: x @ K, b, ops.tanh)), Z


def _antisymmetric(Y: Tensor, Z: Tensor, K: Tensor, b: Tensor, h: float) -> tuple[Tensor, Tensor]:
    return _euler(Y, Z, (K - ops.transpose(K)) / 2, b, h)


def _verlet(Y: Tensor, Z: Tensor, K: Tensor, b: Tensor, h: float) -> tuple[Tensor, Tensor]:
    Z = steps.coupling(Z, -h * steps.single_layer(Y, lambda x: x @ ops.transpose(K), b, ops.tanh))
    return steps.coupling(Y, h * steps.single_layer(Z, lambda x: x @ K, b, ops.tanh)), Z


SCHEMES: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "euler": _euler,
    "antisymmetric": _antisymmetric,
    "verlet": _verlet,
}


@dataclass(frozen=True)
class Flow:
    """A network that moves points: `depth` steps of size h = time / depth.

    - "euler": Y <- Y + h tanh(Y K + b).
    - "antisymmetric": Y <- Y + h tanh(Y (K - K^T) / 2 + b).
    - "verlet": Z <- Z - h tanh(Y K^T + b), then Y <- Y + h tanh(Z K + b). Z is initially zero.

    Each step has its own K and b, the layers of `HamiltonianNet` with matrices in place of convolutions. All of them are one
    tensor theta (depth, width + 1, width): theta[j] is K of step j, and b in its last row.

    Example:
        >>> flow = Flow("verlet", depth=4, width=3)
        >>> tuple(flow(ops.ones((5, 3)), ops.ones((4, 4, 3))).shape)
        (5, 3)
    """

    scheme: str = "verlet"  # a key of `SCHEMES`
    depth: int = 16
    width: int = 4
    time: float = 4.0

    @property
    def h(self) -> float:
        """The step size."""
        return self.time / self.depth

    def __call__(self, Y: Tensor, theta: Tensor) -> Tensor:
        """Returns the last Y, (s, width), from the first one. The last layers of theta are the last steps."""
        step, Z = SCHEMES[self.scheme], ops.zeros_like(Y)
        for j in range(self.depth):
            Y, Z = step(Y, Z, theta[j, :-1], theta[j, -1], self.h)
        return Y

    def start(self, seed: int = 0) -> np.ndarray:
        """Returns a random theta that is constant over the depth."""
        layer = np.random.default_rng(seed).normal(size=(1, self.width + 1, self.width)) / np.sqrt(self.width)
        return np.repeat(layer, self.depth, axis=0)

    def smoothness(self) -> np.ndarray:
        """Returns the symmetric matrix Q (depth, depth) of the squared H1 norm over the depth.

        theta^T Q theta = h sum_j |theta_j|^2 + h sum_j |(theta_{j+1} - theta_j) / h|^2.
        """
        D = np.diff(np.eye(self.depth), axis=0) / self.h
        return self.h * (np.eye(self.depth) + D.T @ D)
