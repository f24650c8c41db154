"""Compares finished runs: networks side by side, with mean and spread over their seeds."""

import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from keras_mgnet.files import staged_file, workspace
from keras_mgnet.reporting import finish, new_figure, save, table
from keras_mgnet.training.runs.measure import measure_of
from keras_mgnet.training.runs.run import Run, read_log

FREE = ("model", "set", "seed", "out")  # fields in which compared runs may differ
HEADINGS = ("network", "parameters", "seeds", "test accuracy, last epoch", "spread", "time of a run")


@dataclass(frozen=True)
class Entry:
    """One network of a comparison, with the results of its runs."""

    label: str  # name and arguments
    params: int  # trainable parameters
    seeds: tuple[int, ...]  # of its runs
    accuracies: tuple[tuple[float, ...], ...]  # per seed and epoch, test accuracy in [0, 1]
    seconds: float  # mean time of a run

    @property
    def last(self) -> list[float]:
        """Test accuracy after the last epoch, per seed."""
        return [epochs[-1] for epochs in self.accuracies]

    @property
    def best(self) -> list[float]:
        """Test accuracy after the best epoch, per seed."""
        return [max(epochs) for epochs in self.accuracies]

    @property
    def mean(self) -> float:
        """Mean test accuracy after the last epoch, over the seeds."""
        return statistics.fmean(self.last)

    @property
    def spread(self) -> float:
        """Standard deviation of the test accuracy after the last epoch, over the seeds."""
        return deviation(self.last)

    @classmethod
    def of(cls, label: str, group: dict[int, Run]) -> "Entry":
        """Returns the entry of one network from its finished runs, given by seed."""
        runs = [group[seed] for seed in sorted(group)]
        logs = [read_log(run.path / "log.csv", ["val_accuracy"]) for run in runs]
        for run, log in zip(runs, logs, strict=True):
            if len(log) != run.record["result"]["epochs"]:
                expected = f"log.csv to have a row for each of {run.record['result']['epochs']} epochs"
                raise ValueError(f"expected {expected}. Received: {len(log)} rows in '{run.path}'")
        return cls(
            label=label,
            params=runs[0].record["model"]["params"],
            seeds=tuple(sorted(group)),
            accuracies=tuple(tuple(row["val_accuracy"] for row in log) for log in logs),
            seconds=statistics.fmean(run.record["result"]["seconds"] for run in runs),
        )


def deviation(values: list[float]) -> float:
    """Returns the sample standard deviation (divisor n - 1), or 0 for a single value.

    Example:
        >>> deviation([0.5, 0.75, 1.0])
        0.25
    """
    return statistics.stdev(values) if len(values) > 1 else 0.0


def compare(runs: Iterable[Run]) -> list[Entry]:
    """Groups finished runs by network and returns the networks, best mean accuracy first.

    Raises:
        ValueError: if a run is not finished or is a denoiser's, two runs have the same network and seed, or runs differ in
            anything other than network and seed.

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
        if measure_of(result).key != "accuracy":
            raise ValueError(f"expected runs of classifiers. Received: '{run.path}', a denoiser")
        fixed = {key: value for key, value in (config | run.record.get("training", {})).items() if key not in FREE}
        reference = reference or (run, fixed)
        if differing := [key for key in fixed | reference[1] if fixed.get(key) != reference[1].get(key)]:
            raise ValueError(f"expected runs that differ only in {', '.join(FREE)}. Received: another "
                             f"{', '.join(differing)} in '{reference[0].path}' and '{run.path}'")  # fmt: skip
        group = groups[_label(config)]
        if config["seed"] in group:
            raise ValueError(f"expected one run per seed. Received: seed {config['seed']} of {_label(config)} twice")
        group[config["seed"]] = run
    if not groups:
        raise ValueError("expected at least one finished run. Received: none")
    return sorted((Entry.of(label, group) for label, group in groups.items()), key=lambda entry: -entry.mean)


def _cells(e: Entry) -> tuple[object, ...]:
    accuracy = (f"**{100 * e.mean:.2f} %**", f"± {100 * e.spread:.2f}")
    return (e.label, f"{e.params:,}", len(e.seeds), *accuracy, f"{e.seconds:.0f} s")


def write_comparison(entries: list[Entry], directory: Path) -> list[Path]:
    """Writes comparison.md and comparison.png, and returns their paths."""
    text, picture = directory / "comparison.md", directory / "comparison.png"
    with workspace(directory):
        with staged_file(text) as staged:
            staged.write_text(table(HEADINGS, map(_cells, entries)) + "\n")
        plot_comparison(entries, picture)
    return [text, picture]


def plot_comparison(entries: list[Entry], path: Path) -> None:
    """Draws a PNG with every seed and the mean of each network, and with the mean test accuracy over the epochs."""
    figure = new_figure(12, 1.8 + 0.4 * len(entries))
    points, curves = figure.subplots(1, 2, width_ratios=[1.3, 1])
    for row, entry in enumerate(reversed(entries)):
        color = f"C{row}"
        points.plot([100 * a for a in entry.last], [row] * len(entry.last), "o", color=color, alpha=0.6)
        points.plot(100 * entry.mean, row, "|", color=color, markersize=24, markeredgewidth=2.5)
        means = [100 * statistics.fmean(epoch) for epoch in zip(*entry.accuracies, strict=True)]
        curves.plot(range(1, len(means) + 1), means, marker=".", color=color, label=entry.label)
    points.set_yticks(range(len(entries)), [entry.label for entry in reversed(entries)])
    points.margins(y=0.12)
    finish(points, xlabel="test accuracy in percent, last epoch: seeds and mean")
    finish(curves, legend=False, xlabel="epoch", ylabel="mean test accuracy in percent")
    save(figure, path)


def _label(config) -> str:
    arguments = ", ".join(f"{key}={value}" for key, value in config["set"].items())
    return config["model"] + (f" ({arguments})" if arguments else "")
