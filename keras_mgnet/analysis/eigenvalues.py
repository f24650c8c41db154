"""Stability of a network as a time-stepping scheme: eigenvalues of its Jacobians and the stability region (Lu2017)."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_mgnet.analysis.fourier import smoothing_levels
from keras_mgnet.analysis.intercept import levels
from keras_mgnet.analysis.states import STEPPING, iterates, residuals_of
from keras_mgnet.layers import Level, LinearMultistep, ResidualCorrection, autodiff
from keras_mgnet.layers.schemes.smoothers import Chebyshev, Multistep
from keras_mgnet.multigrid.iteration import arnoldi
from keras_mgnet.reporting import COLORS, finish, new_figure, save

STEPS = 40  # of Arnoldi's method


class Recursion(NamedTuple):
    """The recursion x_{n+1} = sum_j (a_j + b_j lambda) x_{n-j} that a scheme becomes for the equation x' = lambda x."""

    a: tuple[float, ...]
    b: tuple[float, ...]


EULER = Recursion((1.0,), (1.0,))


@dataclass(frozen=True)
class Block:
    """One iteration x_{n+1} = x_n + f(x_n) and eigenvalues of the Jacobian of f."""

    level: str
    index: int
    scheme: Recursion
    eigenvalues: np.ndarray  # outer eigenvalues of the Jacobian J at the state of one image, by Arnoldi's method
    residuals: np.ndarray  # ||J^T v - lambda v|| of each eigenvalue, for its approximate eigenvector v, ||v|| = 1
    growth: float  # largest amplification by the scheme over these eigenvalues; above 1 a disturbance grows
    rightmost: float  # largest Re lambda; if at most 0, the linearised equation x' = J x is stable


@dataclass(frozen=True)
class Stability:
    """The iterations of a network that keep the shape of the state, in order."""

    blocks: list[Block]

    def summary(self) -> str:
        growth = [block.growth for block in self.blocks]
        stable = sum(block.growth <= 1 for block in self.blocks)
        return f"{stable} of {len(growth)} iterations are stable; a disturbance grows by {min(growth):.2f} to {max(growth):.2f}"


def stability(model: keras.Model, images: np.ndarray, *, arnoldi_steps: int = STEPS, seed: int = 0) -> Stability:
    """Returns eigenvalues of the Jacobian of each iteration, and the largest growth of a disturbance by the scheme.

    The Jacobian is that of f for a residual block x_{n+1} = x_n + f(x_n), and that of the correction e for a smoothing step
    u_{n+1} = u_n + e(u_n).

    Args:
        model: a network of residual blocks, or of smoothing steps with a linear A.
        images: normalised images (N, H, W, C). Only the first image is used.
        arnoldi_steps: number of matrix-vector products for each iteration.
        seed: seed of the starting vectors.

    Example:
        >>> from keras_mgnet import MgNet
        >>> model = MgNet((1, 1), 2, input_shape=(8, 8, 1))
        >>> [(block.level, block.index) for block in stability(model, np.ones((1, 8, 8, 1)), arnoldi_steps=5).blocks]
        [('level1', 0), ('level2', 0)]
    """
    image, rng, blocks = images[:1], np.random.default_rng(seed), []
    for level, i, f, x in right_hand_sides(model, image):
        x = ops.convert_to_tensor(x)

        def transposed(v, f=f, x=x):
            _, pull = autodiff.vjp(f, x)
            return ops.convert_to_numpy(pull(ops.convert_to_tensor(v.reshape(x.shape), dtype=x.dtype))[0]).ravel()

        eigenvalues, residuals = arnoldi(transposed, rng.normal(size=int(np.prod(x.shape))), arnoldi_steps)
        scheme = recursion(level, i)
        growth = float(amplification(eigenvalues, scheme).max())
        blocks.append(Block(level.name, i, scheme, eigenvalues, residuals, growth, float(np.real(eigenvalues).max())))
    return Stability(blocks)


def right_hand_sides(model: keras.Model, image: np.ndarray):
    """Yields (level, i, f, x) for every iteration i that does not change the shape of its state.

    The iteration is a step of x' = f(x) from the state x. A level with A and B yields f(x) = B (r^i - A x) and x = 0 instead.
    This f(x) is the correction after the feature u^i has changed by x.
    """
    own = stepping_levels(model)
    if isinstance(own[0].scheme, ResidualCorrection):
        states = next(residuals_of(model, image))
        for level in own:
            for i, r in enumerate(states[level.name][: level.nu]):
                zero = np.zeros((*r.shape[:-1], level.field.channels), r.dtype)
                yield level, i, partial(_corrected, level, i, r), zero
        return
    states = next(iterates(model, image))
    for level in own:
        first = level.nu + 1 - len(states[level.name])
        for i, x in enumerate(states[level.name][:-1], start=first):
            yield level, i, level.field.at(i), x


def _corrected(level, i, r, x):
    system = level.field.at(i)
    return system.correction(r - system.product(x), lambda r: level.scheme.smoothed(i, system, r))


def stepping_levels(model: keras.Model) -> list[Level]:
    """Returns the levels of residual blocks of a network. If there are none, returns its levels of smoothing steps.

    Raises ValueError if the network has no levels of either kind.
    """
    return levels(model, *STEPPING) or smoothing_levels(model)


def recursion(level, i: int) -> Recursion:
    """Returns the recursion of the scheme in iteration i of a level.

    Example:
        >>> from keras_mgnet.layers import Euler, Level, basic
        >>> recursion(Level(Euler(), basic(4)), 0)
        Recursion(a=(1.0,), b=(1.0,))
    """
    scheme = level.scheme
    if isinstance(scheme, LinearMultistep) and i >= scheme.first:
        k = float(ops.convert_to_numpy(scheme.k[i - scheme.first]))
        return Recursion((1 - k, k), (1.0, 0.0))
    if isinstance(scheme, Chebyshev):
        omega = float(ops.convert_to_numpy(scheme.omega)[i])
        return Recursion((omega, 1 - omega), (omega, 0.0))
    if isinstance(scheme, Multistep) and i:
        early = ops.convert_to_numpy(scheme.alpha[i - 1]).tolist()
        weights = (1 - sum(early), *early[::-1])
        return Recursion(weights, weights)
    return EULER


def amplification(eigenvalues: np.ndarray, scheme: Recursion) -> np.ndarray:
    """Returns, for each eigenvalue lambda, the factor by which the scheme amplifies a disturbance in each step.

    The factor is the largest |z| with z^p = sum_j (a_j + b_j lambda) z^{p-1-j}, where p is the number of states that the next
    state depends on. The scheme is stable for lambda if the factor is at most 1.

    Example:
        >>> amplification(np.array([-1.0, -2.0, 1j]), EULER).round(4).tolist()
        [0.0, 1.0, 1.4142]
    """
    a, b = (np.array(part) for part in scheme)
    companion = np.zeros((*np.shape(eigenvalues), len(a), len(a)), complex)
    companion[..., 0, :] = a + b * np.asarray(eigenvalues)[..., None]
    companion[..., range(1, len(a)), range(len(a) - 1)] = 1
    return np.abs(np.linalg.eigvals(companion)).max(-1)


def plot_stability(result: Stability, path) -> None:
    """Draws one panel per level to a PNG: the eigenvalues of each iteration, and the boundary of the stability region."""
    names = list(dict.fromkeys(block.level for block in result.blocks))
    title = "Eigenvalues of the Jacobians, and where the scheme is stable (inside the lines)"
    figure = new_figure(4.6 * len(names), 4.6, title)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        own = [block for block in result.blocks if block.level == name]
        values = np.concatenate([block.eigenvalues for block in own])
        for n, block in enumerate(own):
            label, color = f"{block.index}: growth {block.growth:.2f}", COLORS[n % len(COLORS)]
            axes.plot(np.real(block.eigenvalues), np.imag(block.eigenvalues), ".", color=color, label=label)
        span = 1.1 * max(2.2, np.abs(values).max())
        grid = np.linspace(-span, span, 241)
        plane = grid[None, :] + 1j * grid[:, None]
        for n, scheme in enumerate(dict.fromkeys(block.scheme for block in own)):
            color = "black" if scheme == EULER else COLORS[n % len(COLORS)]
            axes.contour(grid, grid, amplification(plane, scheme), levels=[1], colors=[color], linewidths=1)
        axes.axvline(0, color="gray", linewidth=0.8, linestyle=":")
        axes.set_aspect("equal")
        finish(axes, title=name, xlabel="Re lambda", ylabel="Im lambda")
    save(figure, path)
