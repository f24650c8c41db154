"""Reports on a solver: a table of its grids, convergence factors, and a picture of its residuals."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from keras_mgnet.multigrid.solvers import VISITS, cycle_levels
from keras_mgnet.reporting import finish, new_figure, save, style


@dataclass(frozen=True)
class LevelRow:
    """One grid of a solver."""

    points: tuple[int, int]  # rows and columns
    stencil: str  # kind of A, such as "5-point"
    visits: int  # in one cycle
    products: int  # with A, in one cycle; those whose result is never used are left out
    work: float  # the products, weighted by the number of points, in units of one product on the first grid


def level_rows(model: keras.Model, cycle: str) -> list[LevelRow]:
    """Returns one row per grid of a model of `solver`, fine to coarse."""
    levels, rows, visits = cycle_levels(model), [], 1
    n = model.inputs[0].shape[1]
    shape = (None, n, n, 1)
    for j, level in enumerate(levels):
        last = j == len(levels) - 1
        if j:
            shape = model.get_layer(f"transfer{j + 1}").compute_output_shape(shape)
        products = visits * (level.nu - 1 if last else level.nu + level.post_nu)
        products += visits // 2 if cycle == "W" and not last else 0  # a residual between two visits
        products += 1 if j == 0 else 0  # the first residual
        h, w = shape[1:3]
        rows.append(LevelRow((h, w), _stencil(level.field.A[0]), visits, products, products * h * w / n**2))
        visits *= VISITS[cycle] if j < len(levels) - 2 else 1
    return rows


def _stencil(A) -> str:
    return f"{A.size**2}-point field" if hasattr(A, "size") else f"{len(A.weights_by_offset)}-point"


def factors(history) -> np.ndarray:
    """Returns the factor by which each cycle multiplies the residual norm, (cycles,), from the norms (cycles + 1,)."""
    history = np.asarray(history)
    return history[1:] / np.where(history[:-1] > 0, history[:-1], 1.0)


def plot_histories(histories: Mapping[str, np.ndarray], title: str, path: str | Path) -> None:
    """Draws the relative residuals per cycle, one line for each history, to a PNG."""
    figure = new_figure(7.5, 4.5, title)
    axes = figure.subplots()
    for number, (name, history) in enumerate(histories.items()):
        axes.plot(np.arange(len(history)), history, label=name, **style(number))
    finish(axes, xlabel="cycle", ylabel=r"relative residual $\|f - Au\| / \|f\|$", yscale="log")
    save(figure, path)
