"""Reports our results next to a published table, as Markdown, JSON and a plot."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from keras_mgnet.files import staged_file, write_json
from keras_mgnet.recipes import recipe
from keras_mgnet.reporting import new_figure, save
from keras_mgnet.reporting import table as markdown_table
from keras_mgnet.training.runs.compare import Entry, deviation
from keras_mgnet.training.runs.run import Run
from keras_mgnet.training.tables.tables import Row, Table
from keras_mgnet.version import versions

COLUMNS = (
    *("row", "data", "parameters", "printed", "published", "last epoch", "difference", "best epoch", "difference"),
    *("seeds", "training"),
)
MARKS = {None: "", True: " ✓", False: " ✗"}


@dataclass(frozen=True)
class Result:
    """A row of a table and the results of its runs."""

    row: Row
    training: str  # recipe, epochs, and changes to the recipe, in words
    seeds: int  # number of seeds wanted
    runs: dict[int, Run]  # the runs begun so far, by seed
    obstacle: str | None = None  # why the row cannot be run here

    @cached_property
    def entry(self) -> Entry | None:
        """Parameters and accuracies of the finished runs, or None if no run has finished."""
        finished = {seed: run for seed, run in self.runs.items() if _is_finished(run)}
        return Entry.of(self.row.key, finished) if finished else None

    @property
    def gap(self) -> str:
        """What is missing, in words. Empty if every seed has finished."""
        if not self.runs:
            return self.obstacle or "not run"
        missing = [f"seed {seed} not run" for seed in range(1, self.seeds + 1) if seed not in self.runs]
        unfinished = [_end(seed, run.record["result"]) for seed, run in self.runs.items() if not _is_finished(run)]
        return "; ".join(unfinished + missing)

    @property
    def accuracies(self) -> dict[str, dict[str, float | None]]:
        """Accuracies in percent: {"last": {"mean", "spread", "difference"}, "best": ...}. "spread" is None for a single seed.

        If the top-5 accuracy was measured, "last" also has its mean, "top5".
        """
        if self.entry is None:
            return {}
        top5 = {"top5": round(100 * statistics.fmean(self.entry.top5), 3)} if self.entry.top5 else {}
        return {"last": self._percent(self.entry.last) | top5, "best": self._percent(self.entry.best)}

    def _percent(self, values: list[float]) -> dict[str, float | None]:
        mean, published = 100 * statistics.fmean(values), self.row.published
        return {
            "mean": round(mean, 3),
            "spread": round(100 * deviation(values), 3) if len(values) > 1 else None,
            "difference": None if published is None else round(mean - published, 3),
        }


@dataclass(frozen=True)
class Outcome:
    """The result of a reproduction, and the files of its report."""

    results: list[Result]  # one per row of the table
    paths: list[Path]  # files of the report
    stopped: str | None = None  # "interrupted" or "preempted" if a signal stopped the runs


def write_report(table: Table, results: Sequence[Result], headline: str, directory: Path) -> list[Path]:
    """Writes table.md, table.json and table.png, and returns their paths. The headline says how the rows were trained."""
    paths = [directory / f"table.{suffix}" for suffix in ("md", "json", "png")]
    content = record(table, results, headline)
    with staged_file(paths[0]) as staged:
        staged.write_text(markdown(content))
    write_json(paths[1], content)
    plot(table, results, headline, paths[2])
    return paths


def record(table: Table, results: Sequence[Result], headline: str) -> dict[str, Any]:
    """Returns the report as JSON-ready values."""
    recipes = dict.fromkeys(result.row.recipe for result in results)
    sizes = dict.fromkeys(f"{r.row.model}, printed {r.row.size}: {r.row.note}" for r in results if r.row.note)
    return {
        "title": table.title,
        "training": headline,
        "versions": versions(),
        "notes": [*(f"recipe {name}: {recipe(name).source}" for name in recipes), *table.remarks, *sizes],
        "rows": [
            {
                **asdict(result.row),
                "training": result.training,
                "params": result.entry and result.entry.params,
                "accuracy": result.accuracies,
                "seeds": result.seeds,
                "gap": result.gap,
                "runs": {seed: run.record["result"] for seed, run in result.runs.items()},
            }
            for result in results
        ],
    }


def markdown(content: dict[str, Any]) -> str:
    """Returns the content of a report (see `record`) as Markdown."""
    explanation = (
        "Accuracies are top-1 on the test images, in percent: mean ± standard deviation over the seeds. They are given after the "
        "last and after the best epoch, each with its difference from the published accuracy. The best epoch has the best test "
        "accuracy, or the best validation accuracy if the data set has validation images. Parameters are those of the network "
        "that was trained. A printed size marked ✓ is the exact size of the full network, rounded or truncated. A printed size "
        "marked ✗ cannot be reproduced."
    )
    rows, notes = (
        markdown_table(COLUMNS, map(_cells, content["rows"])),
        "\n".join(f"- {note}" for note in content["notes"]),
    )
    return "\n\n".join((f"# {content['title']}", f"**{content['training']}**", explanation, rows, notes)) + "\n"


def _cells(row: dict[str, Any]) -> list[str]:
    size = "" if row["size"] is None else row["size"] + MARKS[row["size_matches"]]
    done = sum(result["status"] == "finished" for result in row["runs"].values())
    return [
        row["key"],
        row["dataset"],
        "—" if row["params"] is None else f"{row['params']:,}",
        size,
        "not printed" if row["published"] is None else f"{row['published']:.2f}{_top5(row['top5'])}",
        *_accuracy(row["accuracy"].get("last")),
        *_accuracy(row["accuracy"].get("best")),
        f"{done} of {row['seeds']} ({row['gap']})" if row["gap"] else str(done),
        row["training"],
    ]


def _accuracy(values: dict[str, float | None] | None) -> tuple[str, str]:
    if values is None:
        return "—", "—"
    spread = "" if values["spread"] is None else f" ± {values['spread']:.2f}"
    difference = "—" if values["difference"] is None else f"{values['difference']:+.2f}"
    return f"{values['mean']:.2f}{spread}{_top5(values.get('top5'))}", difference


def _top5(percent: float | None) -> str:
    return "" if percent is None else f" (top-5 {percent:.2f})"


def plot(table: Table, results: Sequence[Result], headline: str, path: Path) -> None:
    """Draws a PNG with a panel per data set: our accuracies after the last and best epoch with spread, and the published ones."""
    panels = {name: [r for r in results if r.row.dataset == name] for name in table.datasets}
    tallest = max(map(len, panels.values()))
    figure = new_figure(2 + 5.5 * len(panels), 2.2 + 0.32 * tallest)
    figure.suptitle(f"{table.title}\n{headline}", fontsize="medium", wrap=True)
    for axes, (name, rows) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        _draw(axes, rows)
        axes.set(xlabel=f"{name}: test accuracy in percent", ylim=(len(rows) - 0.5, -0.5))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    save(figure, path)


def _draw(axes, results: Sequence[Result]) -> None:
    places = range(len(results))
    published = [float("nan") if r.row.published is None else r.row.published for r in results]
    axes.plot(published, places, "|", color="black", markersize=14, markeredgewidth=2, label="published")
    for name, style, color, shift in (("last", "o", "C0", -0.12), ("best", "s", "C1", 0.12)):
        values = [r.accuracies.get(name, {}) for r in results]
        means = [v.get("mean", float("nan")) for v in values]
        spreads = [v.get("spread") or 0 for v in values]
        rows = [place + shift for place in places]
        axes.errorbar(
            means, rows, xerr=spreads, fmt=style, color=color, markersize=5, capsize=3, label=f"ours, {name} epoch"
        )
    axes.set_yticks(places, [r.row.model + (" (gap)" if r.gap else "") for r in results], fontsize="small")
    axes.grid(alpha=0.3)


def _is_finished(run: Run) -> bool:
    return run.record["result"]["status"] == "finished"


def _end(seed: int, result: dict[str, Any]) -> str:
    if result["status"] == "running":  # or killed before it could write another status
        return f"seed {seed} not ended"
    return f"seed {seed} {result['status']} after {result['epochs']} epochs"
