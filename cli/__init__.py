"""The command line `keras-mgnet`: one file a group of commands, each a thin layer over the package."""

import sys
from collections.abc import Sequence
from importlib import import_module

import typer
from rich.console import Console
from rich.markup import escape

GROUPS = {  # file -> its commands, in the order of the help
    "models": ("list", "describe"),
    "runs": ("train", "evaluate", "compare"),
    "predict": ("predict",),
    "tune": ("tune",),
    "reproduce": ("reproduce",),
    "export": ("export",),
    "analyze": ("analyze",),
    "solve": ("solve",),
    "serve": ("serve",),
    "bench": ("bench",),
    "demo": ("demo",),
}


def command_line(arguments: Sequence[str]) -> typer.Typer:
    """Returns the command line; it loads only the group of the command that `arguments` begin with, else all of them.

    Example:
        >>> [group.name for group in command_line(["describe", "resnet18"]).registered_commands]
        ['list', 'describe']
    """
    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    app.callback()(_help)
    asked = next((word for word in arguments if not word.startswith("-")), None)
    for group in [group for group, commands in GROUPS.items() if asked in commands] or GROUPS:
        import_module(f"keras_mgnet.cli.{group}").register(app)
    return app


def main() -> None:
    """Runs the command line; what the user can mend becomes one line on standard error and exit code 2."""
    try:
        command_line(sys.argv[1:])()
    except (ValueError, OSError, ImportError) as error:
        Console(stderr=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)


def _help() -> None:
    """Convolutional networks as numerical methods: MgNet and the ResNet family."""
