"""Tables and reports on standard output."""

import re
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Table


def console() -> Console:
    """Returns standard output as wide as the terminal, or 160 columns wide in a file."""
    return Console(width=None if Console().is_terminal else 160)


def number_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    caption: str | None = None,
    title: str | None = None,
    words: Sequence[str] = (),
) -> Table:
    """Returns a table whose columns are aligned to the right, but for the first and those whose headings are in `words`."""
    table = Table(title=title, caption=caption)
    for place, heading in enumerate(headings):
        is_text = place == 0 or heading in words
        table.add_column(heading, justify="left" if is_text else "right", no_wrap=place == 0)
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def print_markdown(text: str) -> None:
    """Shows a report without its pictures."""
    console().print(Markdown(re.sub(r"!\[.*\)\n", "", text)))
