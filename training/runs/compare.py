"""Compares finished runs: networks side by side, with mean and spread over their seeds, and how their training differs."""

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_mgnet.files import staged_file, workspace
from keras_mgnet.reporting import finish, new_figure, save, table
from keras_mgnet.training.runs.measure import TOP5, measure_of
from keras_mgnet.training.runs.run import OF_THE_MACHINE, Run, read_log

# Fields that do not say how a network is trained. `recipe` is the option, which may be None; see `_training`.
NO_TRAINING = (*OF_THE_MACHINE, "dataset", "model", "set", "seed", "recipe")
HEADINGS = ("network", "parameters", "seeds", "test accuracy, last epoch", "spread", "time of a run")


@dataclass(frozen=True)
class Entry:
    """One network of a comparison, with the results of its runs."""

    label: str  # name and arguments
    params: int  # trainable parameters
    seeds: tuple[int, ...]  # of its runs
    last: tuple[float, ...]  # per seed, test accuracy of last.keras in [0, 1]
    best: tuple[float, ...]  # per seed, test accuracy of best.keras
    top5: tuple[float, ...]  # per seed, top-5 accuracy of last.keras; empty if it was not measured
    judge: str  # the images that chose the best epoch: "validation" or "test"
    accuracies: tuple[tuple[float, ...], ...]  # per seed and epoch, accuracy on these images
    learned: tuple[
        tuple[float, ...], ...
    ]  # per seed and epoch, accuracy on the training images, as they were augmented
    seconds: float  # mean time of a run
    training: dict[str, Any] = field(default_factory=dict)  # fields in which the training of compared networks differs

    @property
    def trained(self) -> str:
        """How the training differs from that of the other networks, in words."""
        return "; ".join(f"{key}={value}" for key, value in self.training.items())

    @property
    def mean(self) -> float:
        """Mean test accuracy after the last epoch, over the seeds."""
        return statistics.fmean(self.last)

    @property
    def spread(self) -> float:
        """Standard deviation of the test accuracy after the last epoch, over the seeds."""
        return deviation(self.last)

    @classmethod
    def of(cls, label: str, group: dict[int, Run], training: dict[str, Any] | None = None) -> "Entry":
        """Returns the entry of one network. `group` maps each seed to the finished run with this seed."""
        runs = [group[seed] for seed in sorted(group)]
        logs = [read_log(run.path / "log.csv", ["val_accuracy", "accuracy"]) for run in runs]
        for run, log in zip(runs, logs, strict=True):
            if len(log) != run.record["result"]["epochs"]:
                expected = f"log.csv to have a row for each of {run.record['result']['epochs']} epochs"
                raise ValueError(f"expected {expected}. Received: {len(log)} rows in '{run.path}'")
        results = [run.record["result"] for run in runs]
        last, best = (tuple(result[f"{name}_test_accuracy"] for result in results) for name in ("last", "best"))
        top5 = [result.get(f"last_test_{TOP5}") for result in results]
        return cls(
            label=label,
            params=runs[0].record["model"]["params"],
            seeds=tuple(sorted(group)),
            last=last,
            best=best,
            top5=() if None in top5 else tuple(top5),
            judge=runs[0].judge,
            accuracies=tuple(tuple(row["val_accuracy"] for row in log) for log in logs),
            learned=tuple(tuple(row["accuracy"] for row in log) for log in logs),
            seconds=statistics.fmean(run.record["result"]["seconds"] for run in runs),
            training=training or {},
        )


def deviation(values: Sequence[float]) -> float:
    """Returns the sample standard deviation (divisor n - 1), or 0 for a single value.

    Example:
        >>> deviation([0.5, 0.75, 1.0])
        0.25
    """
    return statistics.stdev(values) if len(values) > 1 else 0.0


def compare(runs: Iterable[Run]) -> list[Entry]:
    """Groups finished runs by network and training, and returns the groups, best mean test accuracy first.

    Each group is an `Entry`. Its field `training` has the options in which the groups differ, such as the recipe or the epochs.

    Raises:
        ValueError: if a run is not finished, a run trained a denoiser, two runs have the same network, training and seed, or runs
            were made on different images.

    Example:
        >>> compare([])
        Traceback (most recent call last):
            ...
        ValueError: expected at least one finished run. Received: none
    """
    groups, reference = defaultdict(dict), None
    for run in runs:
        config, result = run.record["config"], run.record["result"]
        if result["status"] != "finished":
            raise ValueError(f"expected finished runs. Received: '{run.path}', {result['status']}")
        if (kind := measure_of(result).kind) != "classifier":
            raise ValueError(f"expected runs of classifiers. Received: '{run.path}', a {kind}")
        reference = reference or run
        _check_images(reference, run)
        group = groups[_label(config), json.dumps(_training(run.record), sort_keys=True)]
        if config["seed"] in group:
            raise ValueError(f"expected one run per seed. Received: seed {config['seed']} of {_label(config)} twice")
        group[config["seed"]] = run
    if not groups:
        raise ValueError("expected at least one finished run. Received: none")
    trainings = [json.loads(training) for _, training in groups]
    differing = _differing(trainings)
    entries = [
        Entry.of(label, group, {name: training.get(name) for name in differing})
        for ((label, _), group), training in zip(groups.items(), trainings, strict=True)
    ]
    return sorted(entries, key=lambda entry: -entry.mean)


def _check_images(run: Run, other: Run) -> None:
    """Raises ValueError unless two runs were made on the same images. An older record may have no sha256 to compare."""
    for key in ("dataset", "val", "sha256"):
        one, two = ((r.record["config"] | r.record["data"]).get(key) for r in (run, other))
        if one != two and not (key == "sha256" and None in (one, two)):
            raise ValueError(
                f"expected runs on the same images. Received: {key}={one!r} in '{run.path}', {two!r} in '{other.path}'"
            )


def _training(record: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields of a record that say how the network was trained."""
    fields = {key: value for key, value in record["config"].items() if key not in NO_TRAINING and value is not None}
    return {"recipe": record.get("recipe")} | fields | record.get("training", {})


def _differing(trainings: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the names of the fields that are not the same in all trainings."""
    names = dict.fromkeys(name for training in trainings for name in training)
    return [name for name in names if any(training.get(name) != trainings[0].get(name) for training in trainings)]


def _cells(e: Entry) -> tuple[object, ...]:
    top5 = f" (top-5 {100 * statistics.fmean(e.top5):.2f} %)" if e.top5 else ""
    accuracy = (f"**{100 * e.mean:.2f} %**{top5}", f"± {100 * e.spread:.2f}")
    return (e.label, f"{e.params:,}", len(e.seeds), *accuracy, f"{e.seconds:.0f} s", *filter(None, [e.trained]))


def write_comparison(entries: list[Entry], directory: Path) -> list[Path]:
    """Writes comparison.md and comparison.png, and returns their paths."""
    text, picture = directory / "comparison.md", directory / "comparison.png"
    with workspace(directory):
        with staged_file(text) as staged:
            headings = (*HEADINGS, "training") if entries[0].training else HEADINGS
            staged.write_text(table(headings, map(_cells, entries)) + "\n")
        save(drawn(entries), picture)
    return [text, picture]


def drawn(entries: list[Entry]) -> Any:
    """Returns a matplotlib figure with three panels. A network has one colour in all of them.

    - The test accuracies after the last epoch, one per seed, and their mean.
    - The mean error over the epochs, as in figures 3 and 5 of Lu2018: dashed on the training images, solid on the test images,
      or on the validation images if there are any.
    - The mean test error after the last epoch over the number of parameters, as in figure 2 of Lu2018.
    """
    from matplotlib import ticker

    figure = new_figure(16, max(3.6, 1.8 + 0.4 * len(entries)))
    points, curves, sizes = figure.subplots(1, 3, width_ratios=[1.3, 1, 1])
    for row, entry in enumerate(reversed(entries)):
        color = f"C{row}"
        points.plot([100 * a for a in entry.last], [row] * len(entry.last), "o", color=color, alpha=0.6)
        points.plot(100 * entry.mean, row, "|", color=color, markersize=24, markeredgewidth=2.5)
        for accuracies, line in ((entry.learned, "--"), (entry.accuracies, "-")):
            errors = [100 - 100 * statistics.fmean(epoch) for epoch in zip(*accuracies, strict=True)]
            curves.plot(range(1, len(errors) + 1), errors, line, color=color)
        sizes.errorbar(entry.params, 100 - 100 * entry.mean, 100 * entry.spread, fmt="o", color=color)
    points.set_yticks(range(len(entries)), ["\n".join(filter(None, [e.label, e.trained])) for e in reversed(entries)])
    points.margins(y=0.12)
    finish(points, xlabel="test accuracy, %, after the last epoch")
    finish(curves, title=f"dashed: training, solid: {entries[0].judge}", xlabel="epoch", ylabel="mean error, %")
    finish(sizes, xlabel="parameters", ylabel="mean test error, %", xscale="log")
    sizes.xaxis.set(major_locator=ticker.LogLocator(subs=(1, 2, 5)), major_formatter=ticker.EngFormatter(sep=""))
    sizes.xaxis.set_minor_formatter("")
    return figure


def _label(config) -> str:
    arguments = ", ".join(f"{key}={value}" for key, value in config["set"].items())
    return config["model"] + (f" ({arguments})" if arguments else "")
