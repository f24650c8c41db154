"""Command-line options: shared options, options from a configuration class, KEY=VALUE pairs, options with several words."""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand

PAIR = "KEY=VALUE"
PYTHON_CONSTANTS = {"None": "null", "True": "true", "False": "false"}


def parse_pairs(pairs: list[str] | None) -> dict[str, Any]:
    """Returns a dictionary for KEY=VALUE pairs. Values are parsed as JSON, or stay text. A list needs no brackets.

    Example:
        >>> parse_pairs(["nu=2,2", "share_B=false", "smoother=damped"])
        {'nu': [2, 2], 'share_B': False, 'smoother': 'damped'}
    """
    values = {}
    for pair in pairs or []:
        key, separator, text = pair.partition("=")
        if not (key and separator):
            raise ValueError(f"expected {PAIR}, such as channels=16. Received: {pair!r}")
        values[key] = _parse(text)
    return values


def _parse(text: str) -> Any:
    text = PYTHON_CONSTANTS.get(text, text)
    for candidate in (text, f"[{text.rstrip(',')}]" if "," in text else text):
        try:
            return json.loads(candidate)
        except ValueError:
            continue
    return text


RunArgument = Annotated[Path, typer.Argument(help="a run directory")]
CheckpointOption = Annotated[
    str,
    typer.Option(
        help="last: the model after the last epoch; best: after the epoch with the best accuracy (denoisers: PSNR) on the "
        "validation images, or on the test images if the run has no validation images"
    ),
]
DatasetOption = Annotated[
    str | None, typer.Option(help="data set to use instead of the run's, in one of the forms that `train` takes")
]
JsonOption = Annotated[bool, typer.Option("--json", help="print only JSON, no table")]
SetOption = Annotated[list[str] | None, typer.Option(metavar=PAIR, help="argument of the model; repeatable")]


def from_fields(
    config: type, positional: str, panels: Mapping[str, Sequence[str]] = {}, make: Callable | None = None
) -> Callable:
    """Decorates a command that takes one configuration. The fields become options; the field `positional` becomes an argument.

    The help of a field is in its `metadata`. A field of type dict takes KEY=VALUE pairs. `panels` maps headings of the help to
    fields; the help shows fields without a panel first. `make` makes a configuration of the values; by default `config` does.
    """
    hints, panel_of = get_type_hints(config), {name: panel for panel, names in panels.items() for name in names}

    def parameter(field) -> inspect.Parameter:
        hint, about = hints[field.name], {"help": field.metadata["help"], "rich_help_panel": panel_of.get(field.name)}
        word = field.name.replace("_", "-")
        names = f"--{word}/--no-{word}" if hint is bool else f"--{word}"  # typer before 0.27 would lower their letters
        default, option = field.default, typer.Option(names, **about)
        if field.name == positional:
            default, option = inspect.Parameter.empty, typer.Argument(**about)
        if get_origin(hint) is dict:
            hint, option = list[str] | None, typer.Option(names, metavar=PAIR, **about)
        elif Literal in map(get_origin, (hint, *get_args(hint))):
            hint = str | None  # a wrong word is left to the configuration, whose error names the nearest
        return inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[hint, option]
        )

    def decorate(command: Callable) -> Callable:
        def run(**values):
            pairs = {name: parse_pairs(values[name]) for name, hint in hints.items() if get_origin(hint) is dict}
            return command((make or config)(**values | pairs))

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__signature__ = inspect.Signature(map(parameter, fields(config)))
        return run

    return decorate


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
