"""Command-line options from data: the fields of a configuration, KEY=VALUE pairs, several words after one; and --json."""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand

JsonOption = Annotated[bool, typer.Option("--json", help="print JSON instead of a table, and nothing else")]
PYTHON_CONSTANTS = {"None": "null", "True": "true", "False": "false"}
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="argument of the model; repeatable")
]


def print_json(content: Any) -> None:
    """Writes one JSON document to standard output; paths are text in it."""
    typer.echo(json.dumps(content, default=str))


def from_fields(config: type, positional: str, panels: Mapping[str, Sequence[str]] = {}) -> Callable:
    """Decorates a command that takes one configuration: its fields become the options, `positional` the argument.

    Each field has its help in `metadata`; a field of type dict takes KEY=VALUE pairs. `panels` groups fields in the help,
    after those that are in none.
    """
    hints, panel_of = get_type_hints(config), {name: panel for panel, names in panels.items() for name in names}

    def decorate(command: Callable) -> Callable:
        def run(**values):
            pairs = {name: parse_pairs(values[name]) for name, hint in hints.items() if get_origin(hint) is dict}
            return command(config(**values | pairs))

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__signature__ = inspect.Signature(
            [
                _parameter(field, hints[field.name], field.name == positional, panel_of.get(field.name))
                for field in fields(config)
            ]
        )
        return run

    return decorate


def _parameter(field, hint: Any, positional: bool, panel: str | None) -> inspect.Parameter:
    default, option = field.default, typer.Option(help=field.metadata["help"], rich_help_panel=panel)
    if get_origin(hint) is dict:
        hint = list[str] | None
        option = typer.Option(f"--{field.name}", metavar="KEY=VALUE", help=field.metadata["help"])
    elif Literal in map(get_origin, (hint, *get_args(hint))):
        hint = str | None  # a wrong word is left to the configuration, whose error names the nearest
    if positional:
        default, option = inspect.Parameter.empty, typer.Argument(help=field.metadata["help"])
    return inspect.Parameter(
        field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[hint, option]
    )


def parse_pairs(pairs: list[str] | None) -> dict[str, Any]:
    """Returns {"nu": [2, 2], "smoother": "damped"} for ["nu=[2,2]", "smoother=damped"]: JSON where it is JSON, else text.

    Example:
        >>> parse_pairs(["nu=2,2", "share_B=false"])
        {'nu': [2, 2], 'share_B': False}
    """
    values = {}
    for pair in pairs or []:
        key, separator, text = pair.partition("=")
        if not (key and separator):
            raise ValueError(f"expected KEY=VALUE, such as channels=16. Received: {pair!r}")
        values[key] = _parse(text)
    return values


def _parse(text: str) -> Any:
    text = PYTHON_CONSTANTS.get(text, text)
    for candidate in (text, f"[{text}]" if "," in text else text):
        try:
            return json.loads(candidate)
        except ValueError:
            continue
    return text


class SeveralWords(TyperCommand):
    """A command whose repeatable options also take several words at once: `--format a b` is `--format a --format b`."""

    def parse_args(self, ctx, args):
        repeatable = {
            name for parameter in self.params if getattr(parameter, "multiple", False) for name in parameter.opts
        }
        expanded, current = [], None
        for word in args:
            if word.startswith("-"):
                current = word if word in repeatable else None
                expanded.append(word)
            elif current and expanded[-1] != current:
                expanded += [current, word]
            else:
                expanded.append(word)
        return super().parse_args(ctx, expanded)
