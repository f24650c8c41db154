"""The command line `keras-mgnet`: one file a group of commands, each a thin layer over the package."""

import sys

import typer
from rich.console import Console
from rich.markup import escape

from keras_mgnet.cli import demo, export, models, reproduce, runs, tune

app = typer.Typer(
    help="Convolutional networks as numerical methods: MgNet and the ResNet family.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for group in (models, runs, tune, reproduce, export, demo):
    group.register(app)


def main() -> None:
    """Runs the command line; what the user can mend becomes one line on standard error and exit code 2."""
    try:
        app()
    except (ValueError, OSError, ImportError) as error:
        Console(stderr=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)
