"""Tables and reports for the terminal and for pipes, whole in both."""

import re
from collections.abc import Collection, Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Table

from keras_mgnet.errors import printable


def table(
    headings: Iterable[str],
    rows: Iterable[Sequence[str]],
    *,
    left: Collection[str] = (),
    title: str | None = None,
    caption: str | None = None,
) -> Table:
    """Returns a table whose first column, and those named in `left`, are text; the others are numbers.

    A heading that is wider than its column breaks at its spaces; a cell never does.

    Example:
        >>> [column.header for column in table(["name", "largest error"], [["mgnet", "0.1"]]).columns]
        ['name', 'largest\\nerror']
    """
    rows = [[printable(str(cell)) for cell in row] for row in rows]
    made = Table(title=title, caption=caption, title_justify="left", caption_justify="left", box=SIMPLE_HEAD)
    made.pad_edge, made.collapse_padding = False, True
    for place, heading in enumerate(headings):
        narrower = all(len(row[place]) < len(heading) for row in rows)
        made.add_column(
            escape(heading.replace(" ", "\n") if narrower else heading),
            justify="right" if place and heading not in left else "left",
            no_wrap=True,
        )
    for row in rows:
        made.add_row(*map(escape, row))
    return made


def show(printed: Table) -> None:
    """Prints a table as wide as it is, whatever the width of the terminal."""
    console = Console()
    unlimited = console.options.update(max_width=10_000)
    Console(width=console.measure(printed, options=unlimited).maximum).print(printed)


def print_markdown(text: str) -> None:
    """Shows a report without its pictures, as wide as the terminal, or 160 columns wide in a pipe."""
    console = Console(width=None if Console().is_terminal else 160)
    console.print(Markdown(re.sub(r"!\[.*\)\n", "", text)))
