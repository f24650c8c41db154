"""Learned interpolation: a network changes the weights of black-box interpolation, and keeps their sparsity and their sums."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mgnet.annotations import Tensor
from keras_mgnet.errors import check_known
from keras_mgnet.layers.operators.stencil import by_offset, shifted_sum
from keras_mgnet.layers.operators.strided import interpolate
from keras_mgnet.multigrid.black_box import black_box, inside
from keras_mgnet.multigrid.grids import BLACK_BOX, Grid, Interpolation, hierarchy
from keras_mgnet.multigrid.smoothers import smoother_of

SMOOTHERS = ("jacobi", "patches")
DOUBLE = "float64"


def weight_net(channels: int = 16) -> keras.Sequential:
    """Returns a network from the stencils of A, divided by their diagonals, to nine numbers at each point, at first zero."""
    conv = keras.layers.Conv2D
    hidden = conv(channels, 3, padding="same", activation="relu", dtype=DOUBLE)
    mixed = conv(channels, 1, activation="relu", dtype=DOUBLE)
    net = keras.Sequential([hidden, mixed, conv(9, 1, kernel_initializer="zeros", dtype=DOUBLE)], name="weights")
    net.build((1, None, None, 9))
    return net


def learned_weights(net: keras.Sequential, A: Tensor, P: Tensor) -> Tensor:
    """Returns the interpolation of a network, a stencil at each coarse point (m, n, 3, 3).

    The weight of a coarse point in a fine point is that of P times exp(g), where g is the output of the network at the fine
    point for the direction of the coarse point. Then the weights of each fine point are scaled to the sum that they have in P.
    So the result is zero where P is zero, and interpolates constants as P does.

    Args:
        net: a network of `weight_net`.
        A: the stencils of the operator, (2 m + 1, 2 n + 1, 3, 3), with zeros for points outside.
        P: black-box interpolation, (m, n, 3, 3).
    """
    h, w = A.shape[:2]
    g = net(ops.reshape(A / A[..., 1:2, 1:2], (1, h, w, 9)))[0]
    changed = P * ops.exp(_around_coarse([g[..., i] for i in range(9)]))
    before, after = (_sums(weights) for weights in (P, changed))
    return changed * _around_coarse([before / ops.where(after == 0, ops.ones_like(after), after)] * 9)


def _around_coarse(fields: Sequence[Tensor]) -> Tensor:
    """Returns the values of nine fields (h, w) at the nine fine points around each coarse point: (m, n, 3, 3)."""
    h, w = fields[0].shape
    values = [fields[3 * d + e][d : h - 2 + d : 2, e : w - 2 + e : 2] for d in range(3) for e in range(3)]
    return ops.reshape(ops.stack(values, axis=-1), (h // 2, w // 2, 3, 3))


def _sums(P: Tensor) -> Tensor:
    """Returns the sum of the weights of each fine point, (h, w)."""
    return interpolate(ops.ones_like(P[None, :, :, 0, :1]), by_offset(P))[0, :, :, 0]


def learned_interpolation(net: keras.Sequential) -> Interpolation:
    """Returns the interpolation of a trained network as the argument `transfer` of `solver`.

    Example:
        >>> from keras_mgnet.multigrid import jumps, solver
        >>> solver(7, A=jumps(7), transfer=learned_interpolation(weight_net())).name
        'multigrid'
    """

    def interpolation(A: np.ndarray, halves: tuple[bool, bool]) -> np.ndarray:
        if halves != (True, True):
            raise ValueError(f"expected coarsening='full' with a learned interpolation. Received: halves={halves}")
        A, P = inside(A), black_box(A)
        return ops.convert_to_numpy(learned_weights(net, *map(ops.convert_to_tensor, (A, P))))

    return interpolation


class TwoGrid(keras.layers.Layer):
    """Applies a two-grid cycle to errors u (N, n, n, 1), with the interpolation P of a network and the coarse operator P^T A P.

    The coarse equations are solved exactly, so the cycle is u <- S^j (I - P (P^T A P)^{-1} P^T A) S^i u with the smoother
    S = I - B A. `assign` sets the operator.

    Args:
        net: a network of `weight_net`.
        n: points per side.
        size: points per side of the stencils of B.
        nu: smoothing steps (i, j) before and after.
    """

    def __init__(self, net: keras.Sequential, n: int, size: int, nu: tuple[int, int]) -> None:
        super().__init__(name="two_grid", dtype=DOUBLE)
        self.net, self.nu = net, nu
        shapes = {"A": (n, n, 3, 3), "B": (n, n, size, size), "P": (n // 2, n // 2, 3, 3)}
        self.stencils = [self.add_weight(shape, "zeros", trainable=False, name=name) for name, shape in shapes.items()]

    def assign(self, A: np.ndarray, B: np.ndarray) -> None:
        """Sets the stencils of the operator and of the smoother."""
        for variable, values in zip(self.stencils, (inside(A), B, black_box(A)), strict=True):
            variable.assign(values)

    def call(self, u: Tensor) -> Tensor:
        A, B, P = map(ops.convert_to_tensor, self.stencils)
        m, n = P.shape[0], u.shape[1]
        apply_A, apply_B = (lambda x, K=K: shifted_sum(x, by_offset(K)) for K in (A, B))
        units = ops.reshape(ops.eye(m * m, dtype=DOUBLE), (m * m, m, m, 1))
        columns = interpolate(units, by_offset(learned_weights(self.net, A, P)))
        Pt, PtA = (ops.reshape(x, (m * m, n * n)) for x in (columns, apply_A(columns)))  # A is symmetric
        for _ in range(self.nu[0]):
            u = u - apply_B(apply_A(u))
        restricted = ops.reshape(u, (-1, n * n)) @ ops.transpose(PtA)
        e = ops.transpose(ops.solve(PtA @ ops.transpose(Pt), ops.transpose(restricted))) @ Pt
        u = u - ops.reshape(e, (-1, n, n, 1))
        for _ in range(self.nu[1]):
            u = u - apply_B(apply_A(u))
        return u


def log_factor(_: Tensor, u: Tensor) -> Tensor:
    """Returns log ||M^8||_F / 8, at least the logarithm of the factor of a linear iteration M. u is M applied to all units."""
    M = ops.reshape(u, (u.shape[1] ** 2, u.shape[1] ** 2))
    for _ in range(3):
        M = M @ M
    return ops.log(ops.sum(M * M)) / 16


def train_interpolation(
    operators: Sequence[np.ndarray],
    *,
    smoother: str = "patches",
    nu: tuple[int, int] = (1, 1),
    channels: int = 16,
    steps: int = 400,
    learning_rate: float = 0.01,
    seed: int = 0,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> keras.Sequential:
    """Trains the network of an interpolation: minimises `log_factor` of two-grid cycles, for one operator in each step.

    A solver applies the network on all of its grids. So training takes two operators from each of those given: a quarter of
    the grid, and the operator of the next coarser grid.

    Args:
        operators: symmetric operators, a stencil at each point, (2 n + 1, 2 n + 1, 3, 3) with n = 2^k - 1. Training has n x n
            points. The cycle is a full matrix, so take n = 7 or 15.
        smoother: "jacobi" or "patches".
        nu: smoothing steps before and after the coarse grid.
        channels: channels of the network.
        steps: number of steps.
        learning_rate: initial rate of Adam; the rate falls to 0 along a cosine.
        seed: seed of the initial weights.
        report: a function that is called in each step with the number of the step and the loss.

    Returns:
        The network, for `learned_interpolation`.
    """
    check_known("smoother", smoother, SMOOTHERS)
    keras.utils.set_random_seed(seed)
    fields = [field for A in operators for field in _training_fields(A)]
    smoothers = [_stencils_of(smoother, A) for A in fields]
    n, net = len(fields[0]), weight_net(channels)
    layer, start = TwoGrid(net, n, smoothers[0].shape[-1], nu), keras.Input((n, n, 1), dtype=DOUBLE)
    trainer = keras.Model(start, layer(start))
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    trainer.compile(keras.optimizers.Adam(rate, gradient_accumulation_steps=len(fields)), log_factor, jit_compile=False)
    units = np.eye(n * n).reshape(n * n, n, n, 1)
    for step in range(steps):
        layer.assign(fields[step % len(fields)], smoothers[step % len(fields)])
        trainer.reset_metrics()
        report(step, float(trainer.train_on_batch(units, units)))
    return net


def _training_fields(A: np.ndarray) -> list[np.ndarray]:
    """Returns a quarter of the grid of A, and the operator of the next grid."""
    n = len(A) // 2
    return [A[:n, :n], hierarchy(A, len(A), 2, BLACK_BOX, "galerkin")[1].A]


def _stencils_of(smoother: str, A: np.ndarray) -> np.ndarray:
    """Returns the stencils of B on the first grid."""
    B: Any = smoother_of(smoother, 0.8, 2, 1).B(0, Grid(A, A.shape[:2], None), DOUBLE)
    return ops.convert_to_numpy(B.kernel)
