"""How far the smoothing of a trained MgNet gets: the residual f - A(u) after each iteration."""

from dataclasses import dataclass

import keras
import numpy as np

from keras_mgnet.analysis.states import residuals_of
from keras_mgnet.reporting import finish, new_figure, save, style


@dataclass(frozen=True)
class Residuals:
    """Norms of the residuals r^i = f - A(u^i) over grid and channels, level by level."""

    first: dict[str, float]  # mean over the images of ||r^0||
    relative: dict[str, list[float]]  # for each iteration the mean over the images of ||r^i|| / ||r^0||; the first is 1
    spread: dict[str, list[float]]  # standard deviation of ||r^i|| / ||r^0|| over the images

    def summary(self) -> str:
        last = ", ".join(f"{level} {values[-1]:.2f}" for level, values in self.relative.items())
        return f"||r|| after the last iteration, divided by ||r|| at the entry: {last}"


def residuals(model: keras.Model, images: np.ndarray) -> Residuals:
    """Returns the residual ||f - A(u)|| after each iteration of an MgNet, divided by the residual at the entry of the level.

    Args:
        model: a network whose levels solve A(u) = f, such as MgNet.
        images: normalised images (N, H, W, C).

    Example:
        >>> from keras_mgnet import MgNet
        >>> residuals(MgNet((1, 2), 4, input_shape=(8, 8, 1)), np.ones((2, 8, 8, 1))).relative["level2"][0]
        1.0
    """
    norms: dict[str, list[np.ndarray]] = {}
    for states in residuals_of(model, images):
        for level, rs in states.items():
            norms.setdefault(level, []).append(np.stack([np.linalg.norm(r.reshape(len(r), -1), axis=1) for r in rs], 1))
    table = {level: np.concatenate(parts) for level, parts in norms.items()}
    ratio = {level: rows / np.maximum(rows[:, :1], np.finfo(rows.dtype).tiny) for level, rows in table.items()}
    return Residuals(
        first={level: float(rows[:, 0].mean()) for level, rows in table.items()},
        relative={level: rows.mean(0).tolist() for level, rows in ratio.items()},
        spread={level: rows.std(0).tolist() for level, rows in ratio.items()},
    )


def plot_residuals(result: Residuals, path) -> None:
    """Draws the residuals over the iterations, one line per level, to a PNG."""
    figure = new_figure(6.4, 4, "Residual ||f - A(u)|| of each level, divided by the residual at its entry")
    axes = figure.subplots()
    for n, (level, values) in enumerate(result.relative.items()):
        axes.errorbar(range(len(values)), values, result.spread[level], capsize=3, label=level, **style(n))
    axes.axhline(1, color="gray", linewidth=0.8, linestyle=":")
    axes.set_xticks(range(max(map(len, result.relative.values()))))
    finish(axes, xlabel="iteration i", ylabel="||r^i|| / ||r^0||, mean and spread over images", ylim=(0, None))
    save(figure, path)
