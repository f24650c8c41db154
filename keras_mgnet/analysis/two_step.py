"""The learned coefficients of two-step schemes, compared with those of the Chebyshev semi-iteration (Lu2018, Figure 4)."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from keras_mgnet.analysis.intercept import levels
from keras_mgnet.errors import required
from keras_mgnet.layers.schemes.smoothers import Chebyshev, Damped, chebyshev_omegas
from keras_mgnet.layers.schemes.two_step import TwoStep
from keras_mgnet.reporting import COLORS, finish, new_figure, save

RHOS = (0.5, 0.9, 0.99)


@dataclass(frozen=True)
class Coefficients:
    """The coefficients of the schemes of a network, level by level.

    An LM network has k_n in x_{n+1} = (1 - k_n) x_n + k_n x_{n-1} + f_n(x_n). The smoother "chebyshev" has
    weights omega_n, and k_n is 1 - omega_n.
    """

    k: dict[str, list[float]]
    first: dict[str, int]  # index of the iteration that has the first k
    damping: dict[str, float]  # sigmoid(a), the factor of a damped smoother
    chebyshev: dict[
        float, dict[str, list[float]]
    ]  # rho -> k of the semi-iteration for an iteration matrix with spectrum in [-rho, rho], per level
    stable: float  # share of the k in (-1, 1], for which the scheme is zero-stable
    negative: float  # share of negative k

    def summary(self) -> str:
        if not self.k:
            return f"damping {', '.join(f'{level} {value:.3f}' for level, value in self.damping.items())}"
        values = [value for own in self.k.values() for value in own]
        shares = f"{self.stable:.0%} in (-1, 1], {self.negative:.0%} negative"
        return f"{len(values)} values of k from {min(values):.3f} to {max(values):.3f}, {shares}"


def coefficients(model: keras.Model) -> Coefficients:
    """Returns the learned coefficients of an LM network, or of an MgNet with the smoother "chebyshev" or "damped".

    Example:
        >>> from keras_mgnet import LMResNet
        >>> result = coefficients(LMResNet(20, base_width=2))
        >>> [len(k) for k in result.k.values()], result.stable, result.negative
        ([2, 2, 2], 1.0, 1.0)
    """
    k, first = {}, {}
    for level in levels(model, TwoStep):
        k[level.name] = [float(ops.convert_to_numpy(value)) for value in level.scheme.k]
        first[level.name] = level.scheme.first
    for level in levels(model, Chebyshev):
        k[level.name] = (1 - ops.convert_to_numpy(level.scheme.omega)).tolist()
        first[level.name] = 0
    damped = levels(model, Damped)
    required(model, "an LM network, or an MgNet with smoother='chebyshev' or 'damped'", [*k, *damped])
    values = np.array([value for own in k.values() for value in own])
    return Coefficients(
        k=k,
        first=first,
        damping={level.name: float(ops.convert_to_numpy(ops.sigmoid(level.scheme.a))) for level in damped},
        chebyshev={rho: {name: _chebyshev(rho, first[name], len(own)) for name, own in k.items()} for rho in RHOS},
        stable=float(np.mean((values > -1) & (values <= 1))) if len(values) else 1.0,
        negative=float(np.mean(values < 0)) if len(values) else 0.0,
    )


def plot_coefficients(result: Coefficients, path) -> None:
    """Draws the coefficients of all levels side by side to a PNG."""
    figure = new_figure(8, 4, "Learned coefficients of the scheme, and those of the Chebyshev semi-iteration")
    axes, start = figure.subplots(), 0
    ticks: dict[int, str] = {}
    learned = result.k or {name: [value] for name, value in result.damping.items()}
    for name, values in learned.items():
        if start:
            axes.axvline(start - 1, color="gray", linewidth=0.8)
        places, first = range(start, start + len(values)), result.first.get(name, 0)
        ticks |= {place: f"{first + i}" for i, place in enumerate(places)} | {start: f"{name}\n{first}"}
        for c, (rho, table) in enumerate(result.chebyshev.items() if result.k else ()):
            label = None if start else f"Chebyshev, rho = {rho}"
            axes.plot(places, table[name], linestyle="--", marker=".", color=COLORS[c + 1], label=label)
        label = None if start else f"learned {'k' if result.k else 'damping'}"
        axes.plot(places, values, marker="o", linewidth=2, color=COLORS[0], label=label)
        start += len(values) + 1
    axes.axhline(0, color="gray", linewidth=0.8, linestyle=":")
    axes.set_xticks(list(ticks), list(ticks.values()))
    finish(axes, xlabel="level and iteration", ylabel="k" if result.k else "sigmoid(a)")
    save(figure, path)


def _chebyshev(rho: float, first: int, n: int) -> list[float]:
    return [1 - omega for omega in chebyshev_omegas(rho, first + n)][first:]
