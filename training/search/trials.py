"""The trials of a search: their records, their table, and their Pareto front of accuracy and size."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat

from keras_mgnet.configuration import Count
from keras_mgnet.reporting import finish, new_figure, save, table
from keras_mgnet.schema import read_json

RECORD = "result.json"
Unit = Annotated[float, Field(ge=0, le=1)]
HEADINGS = (
    *("trial", "validation accuracy", "parameters", "multiply-adds", "network"),
    *("rate", "weight decay", "epochs", "seconds"),
)
NOISE = 3  # standard errors of an accuracy: the best of 30 equal networks is rarely further from their mean


@dataclass(frozen=True)
class Trial:
    """The record of a finished trial."""

    number: NonNegativeInt  # from 0, in the order in which trials began
    accuracy: Unit  # on the held-out images after the last epoch; 0 if the training diverged
    params: Count  # trainable parameters
    madds: Count  # multiply-adds per image
    arguments: dict[str, Any]  # of the network
    learning_rate: PositiveFloat  # peak
    weight_decay: NonNegativeFloat  # coupled
    epochs: Count
    seconds: NonNegativeFloat  # of training
    status: str  # of the run
    worker: str  # the process that trained it

    @property
    def label(self) -> str:
        """The arguments in one line."""
        return ", ".join(f"{key}={value}" for key, value in self.arguments.items())


def read_trials(directory: Path) -> list[Trial]:
    """Returns the finished trials in the trials folder of a search, most accurate first; among equals, smallest first.

    Raises ValueError if a file is not the record of a trial.
    """
    expected = f"{RECORD} to be the record of a trial; restore it, or search anew in another directory"
    trials = [read_json(path, Trial, expected) for path in directory.glob(f"trial_*/{RECORD}")]
    return sorted(trials, key=lambda t: (-t.accuracy, t.params, t.number))


def pareto_front(trials: Iterable[Trial]) -> list[Trial]:
    """Returns the Pareto front: the trials for which no smaller network is as accurate, smallest first."""
    front = []
    for trial in sorted(trials, key=lambda t: (t.params, -t.accuracy, t.number)):
        if not front or trial.accuracy > front[-1].accuracy:
            front.append(trial)
    return front


def doubt(trials: Sequence[Trial], labels: np.ndarray) -> str | None:
    """Returns a warning if the ranking of the trials means little, else None.

    The ranking means little if the best trial is no better than guessing, or if more than half of the trials are as good as the
    best. A trial is as good if its accuracy is at most three standard errors below the best accuracy.

    Args:
        trials: the trials, most accurate first.
        labels: the labels of the held-out images.
    """
    best, images = trials[0].accuracy, f"{len(labels)} held-out images"
    chance = np.bincount(labels).max() / len(labels)
    if best - chance <= NOISE * _error(chance, labels):
        return (
            f"No network has learned anything: the best reaches {best:.2%} on {images}, and guessing {chance:.2%}. "
            "Search with more epochs."
        )
    noise = NOISE * _error(best, labels)
    equal = sum(best - trial.accuracy <= noise for trial in trials)
    if equal > max(1, len(trials) // 2):
        return (
            f"The ranking means little: {equal} of {len(trials)} trials are within {100 * noise:.2f} points of the best. "
            f"Such a difference is noise on {images}. Search with more epochs or more images."
        )
    return None


def _error(accuracy: float, labels: np.ndarray) -> float:
    return (accuracy * (1 - accuracy) / len(labels)) ** 0.5


def markdown(trials: list[Trial]) -> str:
    """Returns the trials as a Markdown table, with marks on the Pareto front."""
    front = pareto_front(trials)
    return table(HEADINGS, (_cells(trial, "▸ " if trial in front else "") for trial in trials))


def _cells(t: Trial, mark: str) -> tuple[str, ...]:
    sizes, rates = (f"{t.params:,}", f"{t.madds:,}"), (f"{t.learning_rate:.3g}", f"{t.weight_decay:.1g}")
    return (f"{mark}{t.number}", f"{t.accuracy:.2%}", *sizes, t.label, *rates, f"{t.epochs}", f"{t.seconds:.0f}")


def plot_pareto(trials: list[Trial], path: Path, title: str) -> None:
    """Draws a PNG of validation accuracy over parameters, with the Pareto front and the numbers of its trials."""
    figure = new_figure(8, 5, title)
    axes, front = figure.subplots(), pareto_front(trials)
    least, most = 100 * front[0].accuracy, 100 * front[-1].accuracy
    bottom = max(0, least - 0.3 * max(5, most - least))  # trials far below the front are of no interest
    hidden = sum(100 * t.accuracy < bottom for t in trials)
    label = f"{len(trials)} trials" + (f", {hidden} below the frame" if hidden else "")
    axes.plot([t.params for t in trials], [100 * t.accuracy for t in trials], "o", alpha=0.5, label=label)
    corners = [t.params for t in front], [100 * t.accuracy for t in front]
    axes.plot(*corners, "s-", drawstyle="steps-post", label="Pareto front, with the numbers of its trials")
    for number, *corner in zip((t.number for t in front), *corners, strict=True):
        axes.annotate(number, corner, textcoords="offset points", xytext=(4, -12))
    finish(axes, xlabel="parameters", xscale="log", ylabel="validation accuracy in percent", ylim=(bottom, None))
    save(figure, path)
