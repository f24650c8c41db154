"""The errors of an iteration against the solution of the differential equation: the algebraic error and that of the grid."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from keras_mgnet.multigrid.experiment import SolveConfig
from keras_mgnet.multigrid.iteration import Iteration
from keras_mgnet.reporting import COLORS, finish, new_figure, save

EXACT, CYCLES = 1e-13, 200  # relative residual, and largest number of cycles, for the solution on the grid


@dataclass(frozen=True)
class Errors:
    """Largest errors at the points of the grid, relative to the largest value of u. u_h is the solution on the grid."""

    discretisation: float  # of u_h - u
    algebraic: list[float]  # of u_k - u_h, before the first cycle and after each
    total: list[float]  # of u_k - u


def smooth_problem(config: SolveConfig) -> tuple[np.ndarray, np.ndarray]:
    """Returns u and h^2 (-eps u_xx - u_yy), each (1, n, n, 1), for u = p(x) p(y) with p(x) = x (1 - x) e^x.

    Raises:
        ValueError: for a problem with variable coefficients.

    Example:
        >>> u, f = smooth_problem(SolveConfig("poisson", n=3))
        >>> float(u[0, 1, 1, 0].round(4)), float(f[0, 1, 1, 0].round(4))
        (0.1699, 0.1487)
    """
    if config.operator().ndim != 2:
        raise ValueError(f"expected constant coefficients. Received: problem={config.problem!r}")
    x = np.arange(1, config.n + 1) / (config.n + 1)
    p, second = x * (1 - x) * np.exp(x), -x * (3 + x) * np.exp(x)
    eps = -config.operator()[1, 0]
    f = -(eps * np.outer(p, second) + np.outer(second, p)) / (config.n + 1) ** 2
    return np.outer(p, p)[None, :, :, None], f[None, :, :, None]


def errors(config: SolveConfig, model: keras.Model, cycles: int) -> Errors:
    """Returns the errors of the first cycles of a solver, from u = 0, for `smooth_problem`."""
    u, f = smooth_problem(config)
    iteration = Iteration(model, accelerate="none")
    states, last = [np.zeros_like(u)], np.zeros_like(u)
    for _ in range(cycles):
        last, _ = iteration(f, last, tolerance=0.0, cycles=1)
        states.append(last)
    u_h, _ = iteration(f, last, tolerance=EXACT, cycles=CYCLES)
    largest = np.abs(u).max()
    algebraic, total = ([float(np.abs(v - w).max() / largest) for v in states] for w in (u_h, u))
    return Errors(float(np.abs(u_h - u).max() / largest), algebraic, total)


def plot_errors(found: Mapping[str, tuple[float, Errors]], title: str, path: str | Path) -> None:
    """Draws the errors against the work to a PNG: total errors as lines, algebraic ones dashed, that of the grid dotted.

    Args:
        found: work of a cycle and errors for each method.
        title: title of the figure.
        path: path of the PNG.
    """
    figure = new_figure(7.5, 4.8, title)
    axes = figure.subplots()
    for color, (name, (work, result)) in zip(COLORS, found.items(), strict=False):
        places = work * np.arange(len(result.total))
        axes.plot(places, result.total, color=color, marker="o", markersize=3, label=name)
        axes.plot(places, result.algebraic, color=color, linestyle="--", linewidth=0.9)
    _, result = next(iter(found.values()))
    axes.axhline(result.discretisation, color="black", linestyle=":", label="discretisation error")
    finish(axes, xlabel="work in products with A", ylabel="largest error / largest u", yscale="log")
    save(figure, path)
