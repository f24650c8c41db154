"""Lesion study: deletes modules of a trained network, or changes their order (Veit et al. 2016).

A module is one residual block, one smoothing step, or one layer of a plain chain.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

from keras_mgnet.analysis.result import chance, error
from keras_mgnet.analysis.rewiring import Module, can_be_deleted, modules, rewired
from keras_mgnet.reporting import COLORS, finish, new_figure, save

MOST = 20  # largest number of modules deleted, or pairs exchanged, at once


@dataclass(frozen=True)
class Lesions:
    """Errors of a network with and without lesions. An error is the fraction of wrongly classified images, from 0 to 1."""

    intact: float  # error of the whole network
    chance: float  # error of always guessing the most frequent class
    modules: list[Module]  # all modules that can be deleted, in order
    deleted: list[float]  # for each module, the error without this module
    several: dict[int, list[float]]  # number of deleted modules -> error of each random choice of modules
    exchanged: dict[int, list[tuple[float, float]]]  # exchanged pairs -> (Kendall's tau, error) of each choice

    @property
    def median_increase(self) -> float:
        """Median increase of the error over the deletions of one module that keeps the shape; NaN without such modules."""
        increases = [e - self.intact for m, e in zip(self.modules, self.deleted, strict=True) if not m.changes_shape]
        return float(np.median(increases)) if increases else float("nan")

    def summary(self) -> str:
        most = max(self.deleted)
        worst = self.modules[self.deleted.index(most)]
        return (
            f"error {self.intact:.1%}; one module less adds {self.median_increase:.1%} in the median, "
            f"{most - self.intact:.1%} at most ({worst.level}.{worst.index})"
        )


def lesions(
    model: keras.Model, images: np.ndarray, labels: np.ndarray, *, draws: int = 5, most: int = MOST, seed: int = 0
) -> Lesions:
    """Returns the error of a trained network after each kind of lesion. The network is not trained again.

    A module is deleted, several random modules are deleted, or random pairs of modules within a level are exchanged. Only modules
    that keep the shape of the state are deleted together or exchanged.

    Args:
        model: a network of residual blocks or smoothing steps, or a plain chain.
        images: normalised images (N, H, W, C).
        labels: classes (N,).
        draws: number of random choices of the deleted modules or exchanged pairs, for each number of modules or pairs.
        most: largest number of modules deleted, or pairs exchanged, at once.
        seed: seed of the random choices.

    Example:
        >>> from keras_mgnet import ResNet
        >>> model, images = ResNet(8, base_width=2, input_shape=(8, 8, 1)), np.ones((3, 8, 8, 1))
        >>> result = lesions(model, images, np.zeros(3))
        >>> len(result.deleted), list(result.several)
        (3, [1])
    """
    rng = np.random.default_rng(seed)
    found = [m for m in modules(model) if can_be_deleted(model, m)]
    inner = [m for m in found if not m.changes_shape]

    def lesioned(table) -> float:
        with rewired(model, table):
            return error(model, images, labels)

    orders = {n: [exchange(inner, n, rng) for _ in range(draws)] for n in range(1, min(most, len(_pairs(inner))) + 1)}
    choices = {m: [rng.permutation(len(inner))[:m] for _ in range(draws)] for m in range(1, min(most, len(inner)) + 1)}
    return Lesions(
        intact=error(model, images, labels),
        chance=1 - chance(labels),
        modules=found,
        deleted=[lesioned({module: None}) for module in found],
        several={m: [lesioned({inner[c]: None for c in chosen}) for chosen in drawn] for m, drawn in choices.items()},
        exchanged={
            n: [(kendall_tau(inner, order), lesioned(dict(zip(inner, order, strict=True)))) for order in drawn]
            for n, drawn in orders.items()
        },
    )


def exchange(ordered: Sequence[Module], pairs: int, rng: np.random.Generator) -> list[Module]:
    """Returns the modules after `pairs` exchanges. Each exchange swaps a random pair of modules of one level."""
    order = list(ordered)
    for a, b in rng.permutation(_pairs(ordered))[:pairs]:
        order[a], order[b] = order[b], order[a]
    return order


def kendall_tau(before: Sequence, after: Sequence) -> float:
    """Returns Kendall's tau: the share of pairs in the same order minus the share of pairs in the opposite order."""
    places = [before.index(entry) for entry in after]
    signs = [np.sign(b - a) for n, a in enumerate(places) for b in places[n + 1 :]]
    return float(np.mean(signs)) if signs else 1.0


def plot_lesions(result: Lesions, path) -> None:
    """Draws the three kinds of lesion next to each other and writes the picture as PNG."""
    figure = new_figure(15, 4.6, "Test error after lesions of the trained network, nothing retrained")
    single, several, order = figure.subplots(1, 3, sharey=True, width_ratios=[1.4, 1, 1])
    _draw_single(single, result)
    _draw_several(several, result)
    _draw_order(order, result)
    for axes in (single, several, order):
        axes.axhline(100 * result.intact, color=COLORS[2], linewidth=1.5, label="whole network")
        axes.axhline(100 * result.chance, color="black", linestyle=":", linewidth=1.5, label="guessing")
    drawn = [zip(*axes.get_legend_handles_labels(), strict=True) for axes in (single, several)]
    entries = {label: handle for pairs in drawn for handle, label in pairs}
    figure.legend(entries.values(), entries, loc="outside lower center", ncols=len(entries), fontsize="small")
    save(figure, path)


def _draw_single(axes, result: Lesions) -> None:
    places = np.arange(len(result.modules))
    for changes, color, label in ((False, COLORS[0], "keeps the shape"), (True, COLORS[1], "changes the shape")):
        own = [p for p in places if result.modules[p].changes_shape == changes]
        if own:
            axes.bar(own, [100 * result.deleted[p] for p in own], color=color, label=label)
    names = [f"{m.level.removeprefix('level')}.{m.index}" for m in result.modules]
    axes.set_xticks(places, names, rotation=90 if len(names) > 12 else 0)
    labels = {"xlabel": "deleted module, level.iteration", "ylabel": "test error in percent"}
    finish(axes, legend=False, title="one module deleted", **labels)


def _draw_several(axes, result: Lesions) -> None:
    for m, errors in result.several.items():
        axes.plot([m] * len(errors), [100 * e for e in errors], "o", color=COLORS[0], alpha=0.6)
    medians = [100 * np.median(errors) for errors in result.several.values()]
    axes.plot([*result.several], medians, color=COLORS[0], label="median")
    axes.xaxis.get_major_locator().set_params(integer=True)
    finish(axes, legend=False, title="m random modules deleted", xlabel="m", ylim=(0, 102))


def _draw_order(axes, result: Lesions) -> None:
    for drawn in result.exchanged.values():
        axes.plot([tau for tau, _ in drawn], [100 * e for _, e in drawn], "o", color=COLORS[0], alpha=0.6)
    axes.invert_xaxis()
    xlabel = "order: Kendall's tau, 1 is the trained one"
    finish(axes, legend=False, title="modules exchanged within levels", xlabel=xlabel)


def _pairs(ordered: Sequence[Module]) -> list[tuple[int, int]]:
    return [(a, b) for a in range(len(ordered)) for b in range(a) if ordered[a].level == ordered[b].level]
