"""`doctor`: shows what works on this machine and what is missing."""

from dataclasses import asdict

import typer
from rich.markup import escape
from rich.table import Table

from keras_mgnet.cli.console import show
from keras_mgnet.cli.examination import Section, can_train, examine
from keras_mgnet.cli.options import JsonOption, print_json


def doctor_command(json_: JsonOption = False) -> None:
    """Show versions, devices, strategies, data sets and extras, and how to get those that are missing.

    Also trains a small network for one step. The exit code is 0 if that succeeds, else 1.

    Example:
        keras-mgnet doctor --json
    """
    found = examine()
    if json_:
        print_json({title: {name: asdict(finding) for name, finding in part.items()} for title, part in found.items()})
    else:
        show(_table(found))
    if not can_train(found):
        raise typer.Exit(1)


def _table(found: dict[str, Section]) -> Table:
    table = Table.grid(padding=(0, 2))
    for title, section in found.items():
        for place, (name, finding) in enumerate(section.items()):
            mark = "[green]✓[/]" if finding.available else "[yellow]✗[/]"
            table.add_row("" if place else f"[bold]{title}[/]", mark, escape(name), escape(finding.detail))
    return table
