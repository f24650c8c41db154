"""Kernels as differential operators: moments, order of vanishing moments, nearest derivative stencil (Lu2017)."""

import math
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from keras_mgnet import compat
from keras_mgnet.description import short_path
from keras_mgnet.errors import required
from keras_mgnet.layers import Conv
from keras_mgnet.multigrid.stencils import along_axes, moment_matrix, powers
from keras_mgnet.reporting import COLORS, finish, new_figure, save

TOLERANCE = 0.1  # of a moment, relative to the moment of the kernel's absolute values
LAPLACIAN = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
STENCILS = {  # stencils that 3x3 kernels are compared with; rows are x; a factor of either sign makes no difference
    "1": np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]]),
    "mean": np.ones((3, 3)),
    "d/dx": np.outer([-1, 0, 1], [0, 1, 0]),
    "d/dy": np.outer([0, 1, 0], [-1, 0, 1]),
    "Sobel x": np.outer([-1, 0, 1], [1, 2, 1]),
    "Sobel y": np.outer([1, 2, 1], [-1, 0, 1]),
    "d2/dx2": np.outer([1, -2, 1], [0, 1, 0]),
    "d2/dy2": np.outer([0, 1, 0], [1, -2, 1]),
    "d2/dxdy": np.outer([-1, 0, 1], [-1, 0, 1]),
    "Laplacian": LAPLACIAN,
    "d3/dx2dy": np.outer([1, -2, 1], [-1, 0, 1]),
    "d3/dxdy2": np.outer([-1, 0, 1], [1, -2, 1]),
    "d4/dx2dy2": np.outer([1, -2, 1], [1, -2, 1]),
}


@dataclass(frozen=True)
class Moments:
    """The 3x3 kernels of each convolution of a network, described as differential operators."""

    nearest: dict[str, dict[str, float]]  # convolution -> stencil -> share of the kernels nearest to it
    cosine: dict[str, float]  # median |cosine| between a kernel and its nearest stencil
    order: dict[str, list[float]]  # shares of kernels with first non-zero moment of order 0, 1, 2, and 3 or more
    high_pass: dict[str, float]  # median of |sum q| / sum |q| over kernels q; 0 is a high-pass filter

    def summary(self) -> str:
        total = {s: np.mean([shares[s] for shares in self.nearest.values()]) for s in STENCILS}
        most = sorted(STENCILS, key=lambda s: -total[s])[:3]
        return f"nearest stencils: {', '.join(f'{s} {total[s]:.0%}' for s in most)}"


def kernel_of_moments(M: np.ndarray) -> np.ndarray:
    """Returns the kernels (n, n, ...) with the moments M (n, n, ...). This function is the inverse of `moment_matrix`.

    Example:
        >>> kernel_of_moments(moment_matrix(LAPLACIAN)).round(12).astype(int).tolist() == LAPLACIAN.tolist()
        True
    """
    V = np.linalg.inv(powers(len(M)))
    return along_axes([V, V], M)


def vanishing_order(q: np.ndarray, tolerance: float = 1e-9) -> np.ndarray:
    """Returns the lowest order of a non-zero moment of each kernel. The shape is (...) for kernels q (n, n, ...).

    The moment M[a, b] = sum_{d,e} d^a e^b q[d, e] has order a + b, where (d, e) are the offsets from the centre. A moment counts
    as zero if |M[a, b]| <= tolerance * sum_{d,e} |d^a e^b q[d, e]|. If all moments count as zero, the order is 2 n - 1.

    A kernel of order m approximates a differential operator of order m. For a smooth function F and eps -> 0,
    eps^{-m} sum_{d,e} q[d, e] F(x + eps d, y + eps e) converges to a combination of derivatives of order m.

    Example:
        >>> int(vanishing_order(LAPLACIAN)), int(vanishing_order(np.ones((3, 3)))), int(vanishing_order(STENCILS["d/dx"]))
        (2, 0, 1)
    """
    n, V = len(q), np.abs(powers(len(q)))
    remains = np.abs(moment_matrix(q)) > tolerance * along_axes([V, V], np.abs(q))
    order = np.add.outer(np.arange(n), np.arange(n)).reshape(n, n, *[1] * (q.ndim - 2))
    return np.where(remains, order, 2 * n - 1).min((0, 1))


def derivative_coefficient(q: np.ndarray, a: int, b: int) -> float:
    """Returns the coefficient C = M[a, b] / (a! b!) of d^{a+b} / dx^a dy^b in a kernel q (n, n), Lu2017.

    M is `moment_matrix(q)`. If all other moments of order a + b or less are zero (sum rules), a smooth function F
    satisfies

        eps^{-a-b} sum_{d,e} q[d, e] F(x + eps d, y + eps e) = C d^{a+b} F / dx^a dy^b + O(eps)

    Example:
        >>> derivative_coefficient(LAPLACIAN, 2, 0)
        1.0
    """
    return float(moment_matrix(q)[a, b] / (math.factorial(a) * math.factorial(b)))


def nearest_stencil(q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns, for each kernel, the index of the nearest stencil in `STENCILS` and the |cosine| between kernel and stencil.

    q are kernels (3, 3, ...), and both results have shape (...). The nearest stencil has the largest |cosine|.

    Example:
        >>> number, cosine = nearest_stencil(-2.0 * LAPLACIAN)
        >>> list(STENCILS)[int(number)], round(float(cosine), 12)
        ('Laplacian', 1.0)
    """
    table = np.stack([stencil / np.linalg.norm(stencil) for stencil in STENCILS.values()])
    norm = np.sqrt(np.square(q).sum((0, 1)))
    cosines = np.abs(np.einsum("skl,kl...->s...", table, q)) / np.maximum(norm, np.finfo(float).tiny)
    return cosines.argmax(0), cosines.max(0)


def moments(model: keras.Model, tolerance: float = TOLERANCE) -> Moments:
    """Describes the 3x3 kernels of a network as differential operators. Each pair of input and output channel has a kernel.

    No moment of a learned kernel is exactly zero, so `tolerance` decides which moments count as zero, see `vanishing_order`.
    Raises ValueError for a network without 3x3 convolutions.

    Example:
        >>> from keras_mgnet import MgNet
        >>> sorted(moments(MgNet((1, 1), 4, input_shape=(8, 8, 1))).nearest)
        ['level1/A', 'level1/B', 'level2/A', 'level2/B', 'stem/conv', 'transfer2/Pi', 'transfer2/R']
    """
    kernels = {
        short_path(part.path): ops.convert_to_numpy(part.kernel).astype(np.float64)
        for layer in model.layers
        for part in compat.flatten_layers(layer)
        if isinstance(part, Conv) and tuple(part.kernel_size) == (3, 3)
    }
    required(model, "a network with 3x3 convolutions", kernels)
    nearest = {name: nearest_stencil(q) for name, q in kernels.items()}
    orders = {name: np.minimum(vanishing_order(q, tolerance), 3).ravel() for name, q in kernels.items()}
    high_pass = {name: np.abs(q.sum((0, 1))) / np.abs(q).sum((0, 1)) for name, q in kernels.items()}
    return Moments(
        nearest={name: _shares(number) for name, (number, _) in nearest.items()},
        cosine={name: float(np.median(cosine)) for name, (_, cosine) in nearest.items()},
        order={name: (np.bincount(order, minlength=4) / order.size).tolist() for name, order in orders.items()},
        high_pass={name: float(np.median(ratio)) for name, ratio in high_pass.items()},
    )


def plot_moments(result: Moments, path) -> None:
    """Draws, for each convolution, the nearest stencils as a map and the orders as bars to a PNG."""
    names = list(result.nearest)
    figure = new_figure(13, 2.2 + 0.3 * len(names), "3x3 kernels as differential operators, convolution by convolution")
    stencils, orders = figure.subplots(1, 2, width_ratios=[1.6, 1], sharey=True)
    shares = np.array([[result.nearest[name][stencil] for stencil in STENCILS] for name in names])
    shown = stencils.imshow(100 * shares, cmap="viridis", aspect="auto", vmin=0)
    figure.colorbar(shown, ax=stencils, label="percent of the kernels")
    stencils.set_xticks(range(len(STENCILS)), STENCILS, rotation=45, ha="right")
    stencils.set_yticks(range(len(names)), [f"{name}  ({result.cosine[name]:.2f})" for name in names])
    stencils.set(title="nearest stencil (median |cosine| in brackets)")
    left = np.zeros(len(names))
    for order in range(4):
        width = 100 * np.array([result.order[name][order] for name in names])
        label = str(order) if order < 3 else "3 or more"
        orders.barh(range(len(names)), width, left=left, color=COLORS[order], label=label)
        left += width
    finish(orders, legend=False, title="order of the first moment that remains", xlabel="percent of the kernels")
    orders.legend(title="order", loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
    save(figure, path)


def _shares(numbers: np.ndarray) -> dict[str, float]:
    return {stencil: float(np.mean(numbers == n)) for n, stencil in enumerate(STENCILS)}
