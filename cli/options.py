"""Command-line options from data: the fields of a configuration, KEY=VALUE pairs, several words after one; and --json."""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Annotated, Any, get_origin

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

    Each field carries its help in `metadata`; a field of type dict takes KEY=VALUE pairs. `panels` groups fields in the help,
    after those that are in none.
    """
    panel_of = {name: panel for panel, names in panels.items() for name in names}

    def decorate(command: Callable) -> Callable:
        def run(**values):
            for field in fields(config):
                if _is_pairs(field):
                    values[field.name] = parse_pairs(values[field.name])
            return command(config(**values))

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__signature__ = inspect.Signature(
            [_parameter(field, field.name == positional, panel_of.get(field.name)) for field in fields(config)]
        )
        return run

    return decorate


def _parameter(field, positional: bool, panel: str | None) -> inspect.Parameter:
    default = None if field.default is MISSING else field.default
    help = field.metadata["help"]
    if positional:
        annotation, default = Annotated[field.type, typer.Argument(help=help)], inspect.Parameter.empty
    elif _is_pairs(field):
        annotation = Annotated[list[str] | None, typer.Option(f"--{field.name}", metavar="KEY=VALUE", help=help)]
    else:
        annotation = Annotated[field.type, typer.Option(help=help, rich_help_panel=panel)]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _is_pairs(field) -> bool:
    return get_origin(field.type) is dict


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
