"""Prints messages, tables and progress to a terminal or a pipe. A pipe gets plain text without progress bars."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.table import Table

from keras_mgnet.errors import printable

MARKS = {None: "", True: "✓", False: "✗"}
PIPE_WIDTH = 160  # columns of a report

Item = TypeVar("Item")


class SafeConsole(Console):
    """A console that shows control characters as spaces, because a terminal would obey them, for example in a class name."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Yields what is written. The console's own control sequences stay."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else "\n".join(map(printable, text.split("\n"))), style, control)


def stdout(width: int | None = None) -> Console:
    """Returns the console for results. The default width is that of the terminal."""
    return SafeConsole(width=width)


def stderr() -> Console:
    """Returns the console for messages and progress."""
    return SafeConsole(stderr=True)


def progress_bar(console: Console, *columns: ProgressColumn, transient: bool = False) -> Progress:
    """Returns a progress bar, to be used as a context. The bar is visible in a terminal or a notebook only.

    Args:
        console: where the bar is shown. Lines printed to the same console appear above the bar.
        columns: columns between the count and the remaining time.
        transient: whether the bar disappears at the end.
    """
    count = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    hidden = not (console.is_terminal or console.is_jupyter)
    return Progress(*count, *columns, TimeRemainingColumn(), console=console, transient=transient, disable=hidden)


def track(
    items: Iterable[Item], description: str, console: Console | None = None, total: int | None = None
) -> Iterator[Item]:
    """Yields items and shows a progress bar, which disappears at the end.

    Args:
        items: the items to yield.
        description: text in front of the bar.
        console: where the bar is shown; None for standard error.
        total: number of items, if `items` has no length.
    """
    with progress_bar(console or stderr(), transient=True) as bar:
        yield from bar.track(items, total, description=description)


def table(
    headings: Iterable[str],
    rows: Iterable[Sequence[object]],
    *,
    left: Collection[str] = (),
    title: str | None = None,
    caption: str | None = None,
) -> Table:
    """Returns a table. The first column and the columns named in `left` are aligned left, all others right.

    A heading longer than every cell of its column is broken into lines at its spaces. Cells are never broken.

    Example:
        >>> [column.header for column in table(["name", "largest error"], [["mgnet", "0.1"]]).columns]
        ['name', 'largest\\nerror']
    """
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    made = Table(title=title, caption=caption, title_justify="left", caption_justify="left", box=SIMPLE_HEAD)
    made.pad_edge, made.collapse_padding = False, True
    for place, heading in enumerate(headings):
        narrower = all(len(row[place]) < len(heading) for row in cells)
        made.add_column(
            escape(heading.replace(" ", "\n") if narrower else heading),
            justify="right" if place and heading not in left else "left",
            no_wrap=True,
        )
    for row in cells:
        made.add_row(*map(escape, row))
    return made


def checklist(rows: Iterable[tuple[str, bool, str, str]]) -> Table:
    """Returns a table from rows of (section, available, name, detail). A section is named in its first row only."""
    made, shown = Table.grid(padding=(0, 2)), ""
    for section, available, name, detail in rows:
        color = "green" if available else "yellow"
        title = "" if section == shown else f"[bold]{escape(section)}[/]"
        made.add_row(title, f"[{color}]{MARKS[available]}[/]", escape(name), escape(detail))
        shown = section
    return made


def show(printed: Table) -> None:
    """Prints a table at full width, even if the terminal is narrower."""
    console = stdout()
    unlimited = console.options.update(max_width=10_000)
    stdout(console.measure(printed, options=unlimited).maximum).print(printed)


def print_markdown(text: str) -> None:
    """Prints a report without its pictures, as wide as the terminal, or 160 columns wide in a pipe."""
    from rich.markdown import Markdown  # slow to load, and few commands need it

    console = stdout(None if stdout().is_terminal else PIPE_WIDTH)
    console.print(Markdown(re.sub(r"!\[.*\)\n", "", text)))


def print_json(content: Any) -> None:
    """Prints one JSON document. Paths become strings."""
    print(json.dumps(content, default=str))


def say(text: str, error: bool = False) -> None:
    """Prints a text to standard output or standard error; no line is wrapped."""
    (stderr() if error else stdout()).out(text, highlight=False)


def print_error(line: str) -> None:
    """Prints "error: " and a line of text to standard error."""
    stderr().print(f"[bold red]error:[/] {escape(line)}", highlight=False, soft_wrap=True)
