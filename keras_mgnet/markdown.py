"""Tables in files that people read."""

from collections.abc import Iterable


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
