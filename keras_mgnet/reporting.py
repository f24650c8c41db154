"""The look of reports: tables in Markdown, and figures of one style, with colours that colour-blind readers can tell apart."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keras_mgnet.extras import TRAIN, extra
from keras_mgnet.files import staged_file

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")  # Okabe and Ito
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
SEQUENTIAL, DIVERGING = "viridis", "PuOr"


def table(headings: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Returns a Markdown table, without a newline at its end.

    Example:
        >>> print(table(["n", "factor"], [[31, 0.12]]))
        | n | factor |
        |---|---|
        | 31 | 0.12 |
    """
    headings = list(headings)
    return "\n".join([_line(headings), "|---" * len(headings) + "|", *map(_line, rows)])


def _line(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def new_figure(width: float, height: float, title: str | None = None) -> Any:
    """Returns an empty matplotlib figure. Width and height are in inches."""
    figure = extra("matplotlib.figure", TRAIN).Figure(figsize=(width, height), layout="constrained")
    if title is not None:
        figure.suptitle(title)
    return figure


def style(n: int) -> dict[str, Any]:
    """Returns colour and marker of series n."""
    return {"color": COLORS[n % len(COLORS)], "marker": MARKERS[n % len(MARKERS)]}


def finish(axes: Any, legend: bool = True, **labels: Any) -> None:
    """Gives axes their labels (as `axes.set`), a light grid and, if series have names, a legend."""
    axes.set(**labels)
    axes.grid(alpha=0.3)
    if legend and axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small")


def save(figure: Any, path: str | Path) -> None:
    """Writes a figure to a PNG file, whole or not at all."""
    with staged_file(path, ".png") as staged:
        figure.savefig(staged, dpi=120)
