"""The trials of a search: one record each, their table, and which of them no other beats in accuracy and size."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from keras_mgnet.figures import new_figure, save
from keras_mgnet.files import write_json
from keras_mgnet.markdown import table

RECORD = "result.json"
HEADINGS = (
    *("trial", "validation accuracy", "parameters", "multiply-adds", "network"),
    *("rate", "weight decay", "epochs", "time"),
)


@dataclass(frozen=True)
class Trial:
    """What a trial has shown.

    Attributes:
        number: from 0, in the order in which trials began.
        accuracy: on the validation images after the last epoch, in [0, 1]; 0 where the training diverged.
        params: trainable parameters.
        madds: multiply-adds per image.
        arguments: of the network.
        learning_rate: at its height.
        weight_decay: coupled.
        epochs: trained.
        seconds: of training.
        status: of the run.
        worker: who trained it.
    """

    number: int
    accuracy: float
    params: int
    madds: int
    arguments: dict[str, Any]
    learning_rate: float
    weight_decay: float
    epochs: int
    seconds: float
    status: str
    worker: str

    @property
    def label(self) -> str:
        """The arguments in one line."""
        return ", ".join(f"{key}={_short(value)}" for key, value in self.arguments.items())

    def write(self, directory: Path) -> None:
        """Writes the record into the directory of the trial."""
        write_json(directory / RECORD, asdict(self))


def read_trials(directory: Path) -> list[Trial]:
    """Returns the finished trials below the directory of a search, the most accurate first, of equals the smallest.

    Example:
        >>> read_trials(Path("nowhere"))
        []
    """
    records = (json.loads(path.read_text()) for path in directory.glob(f"trial_*/{RECORD}"))
    return sorted((Trial(**record) for record in records), key=lambda t: (-t.accuracy, t.params, t.number))


def pareto_front(trials: Iterable[Trial]) -> list[Trial]:
    """Returns the trials that no other beats: none is as accurate with fewer parameters. From the smallest to the most accurate.

    Example:
        >>> pareto_front([])
        []
    """
    front = []
    for trial in sorted(trials, key=lambda t: (t.params, -t.accuracy, t.number)):
        if not front or trial.accuracy > front[-1].accuracy:
            front.append(trial)
    return front


def markdown(trials: list[Trial]) -> str:
    """Returns the trials as a table; those of the Pareto front are bold."""
    front = pareto_front(trials)
    return table(HEADINGS, (_cells(trial, "**" if trial in front else "") for trial in trials)) + "\n"


def _cells(t: Trial, mark: str) -> tuple[object, ...]:
    sizes = (f"{t.params:,}", f"{t.madds:,}")
    options = (f"{t.learning_rate:.3g}", f"{t.weight_decay:.1g}", t.epochs)
    return (t.number, f"{mark}{100 * t.accuracy:.2f} %{mark}", *sizes, t.label, *options, f"{t.seconds:.0f} s")


def plot_pareto(trials: list[Trial], path: Path, title: str) -> None:
    """Draws to a PNG: validation accuracy against parameters, and the Pareto front with the networks on it."""
    figure = new_figure(8, 5)
    axes, front = figure.subplots(), pareto_front(trials)
    least, most = front[0].accuracy, front[-1].accuracy
    bottom = max(0, 100 * least - 0.3 * max(5, 100 * (most - least)))  # far below the front nothing is of interest
    hidden = sum(100 * t.accuracy < bottom for t in trials)
    label = f"{len(trials)} trials" + (f", {hidden} below the frame" if hidden else "")
    axes.plot([t.params for t in trials], [100 * t.accuracy for t in trials], "o", alpha=0.5, label=label)
    corners = [t.params for t in front], [100 * t.accuracy for t in front]
    axes.plot(*corners, "s-", drawstyle="steps-post", label="Pareto front, with the numbers of its trials")
    for t in front:
        axes.annotate(t.number, (t.params, 100 * t.accuracy), textcoords="offset points", xytext=(4, -12))
    axes.set(
        title=title, xlabel="parameters", xscale="log", ylabel="validation accuracy in percent", ylim=(bottom, None)
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    save(figure, path)


def _short(value: Any) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, (list, tuple)) else str(value)
