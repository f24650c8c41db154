"""The command line `keras-mgnet`. Each file defines a group of commands, which call functions of the package."""

import ast
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from keras_mgnet.cli.options import SeveralWords
from keras_mgnet.console import print_error, say
from keras_mgnet.errors import printable
from keras_mgnet.version import __version__

GROUPS = {  # file -> its commands, in the order of the help
    "models": ("list", "describe"),
    "runs": ("train", "evaluate", "compare"),
    "predict": ("predict",),
    "tune": ("tune",),
    "reproduce": ("reproduce",),
    "export": ("export",),
    "analyze": ("analyze",),
    "explore": ("explore",),
    "solve": ("solve",),
    "generate": ("generate",),
    "serve": ("serve",),
    "bench": ("bench",),
    "demo": ("demo",),
    "doctor": ("doctor",),
}
SEVERAL_WORDS = ("reproduce", "export", "analyze", "bench")  # here an option takes all words up to the next option
PROGRAM = "keras-mgnet"
COMPLETION = "_KERAS_MGNET_COMPLETE"  # set by a shell that asks for completions
DEBUG, VERSION = "--debug", "--version"
MENDABLE = (ValueError, OSError, ImportError)


def command_line(arguments: Sequence[str]) -> typer.Typer:
    """Returns the command line. Imports only the file of the command in `arguments`.

    Without a known command nothing is imported: every command then has its name and its help, but no options.

    Example:
        >>> [group.name for group in command_line(["describe", "resnet18"]).registered_commands]
        ['list', 'describe']
    """
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(_options)
    group = next((group for group, commands in GROUPS.items() if asked(arguments) in commands), None)
    if group is None:
        for name, about in _summaries():
            app.command(name, help=about)(lambda: None)
        return app
    module = import_module(f"keras_mgnet.cli.{group}")
    for name in GROUPS[group]:
        kind = SeveralWords if name in SEVERAL_WORDS else None
        app.command(name, cls=kind)(getattr(module, f"{name}_command"))
    return app


def asked(arguments: Sequence[str]) -> str | None:
    """Returns the command in the arguments, or None.

    Example:
        >>> asked(["--debug", "train", "mnist"])
        'train'
    """
    word = next((word for word in arguments if not word.startswith("-")), None)
    return word if any(word in commands for commands in GROUPS.values()) else None


def _summaries() -> Iterator[tuple[str, str]]:
    """Yields the name of each command and the first line of its docstring, read from its file without importing it."""
    for group, commands in GROUPS.items():
        source = ast.parse(Path(__file__).with_name(f"{group}.py").read_text())
        texts = {node.name: ast.get_docstring(node) for node in source.body if isinstance(node, ast.FunctionDef)}
        for name in commands:
            yield name, texts[f"{name}_command"].partition("\n")[0]


def main() -> None:
    """Runs the command line. Prints an error as one line on standard error, or with its traceback if --debug is given.

    The exit code is 2 for an error that the user can fix, 1 for any other error, and 128 + N if signal N ended the command.
    """
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    words = sys.argv[1:]
    try:
        arguments = [word for word in words if word != DEBUG] or ["--help"]
        run = command_line(_line_to_complete() or arguments)
        code = run(arguments, prog_name=PROGRAM, standalone_mode=False)
    except Exception as error:
        if DEBUG in words:
            raise
        line, code = _described(error)
        print_error(line)
    sys.exit(code or 0)


def _described(error: Exception) -> tuple[str, int]:
    """Returns the text of an error in one line, and the exit code."""
    if hasattr(error, "format_message"):  # typer's error for wrong arguments
        path = error.ctx.command_path if error.ctx else PROGRAM
        text, code = f"{error.format_message()} (see `{path} --help`)", 2
    elif isinstance(error, MENDABLE):
        text, code = str(error), 2
    else:
        text, code = f"{type(error).__name__}: {error}; {DEBUG} shows where", 1
    return printable(" ".join(text.splitlines())), code


def _line_to_complete() -> list[str]:
    """Returns the words after the program's name on the line that the shell asks to complete."""
    return (os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")).split()[1:]


def _show_version(asked: bool) -> None:
    if asked:
        say(f"{PROGRAM} {__version__}")
        raise typer.Exit


def _options(
    debug: Annotated[bool, typer.Option(DEBUG, help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option(VERSION, callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Convolutional networks as numerical methods: MgNet and the ResNet family."""
