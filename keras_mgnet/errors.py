"""Errors that suggest the nearest valid choice, or name a missing file."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

SHOWN, NEAREST = 20, 5  # at most SHOWN choices are listed in full; of more, NEAREST are listed


def unknown(kind: str, name: object, choices: Iterable[str]) -> ValueError:
    """Returns the error for a name outside `choices`. The message suggests the nearest match and lists at most 20 choices.

    Example:
        >>> print(unknown("smoother", "chebychev", ["damped", "chebyshev"]))
        unknown smoother 'chebychev'; did you mean 'chebyshev'? Expected one of: damped, chebyshev. Received: 'chebychev'
    """
    choices = list(choices)
    by_key = {choice.lower(): choice for choice in choices}
    nearest = [by_key[key] for key in get_close_matches(str(name).lower(), by_key, n=NEAREST, cutoff=0.4)]
    hint = f"; did you mean '{nearest[0]}'?" if nearest else "."
    expected = "one of"
    if len(choices) > SHOWN:
        choices, expected = nearest or choices[:NEAREST], f"one of {len(choices)} names, such as"
    return ValueError(f"unknown {kind} '{name}'{hint} Expected {expected}: {', '.join(choices)}. Received: {name!r}")


def check_known(kind: str, name: object, choices: Collection[str]) -> None:
    """Raises the error of `unknown` if a name is not one of `choices`."""
    if not is_known(name, choices):
        raise unknown(kind, name, choices)


def is_known(name: object, choices: Collection[Any]) -> bool:
    """Returns whether a name is one of `choices`. The name may have any type, even one that cannot be hashed or compared."""
    try:
        return name in choices
    except (TypeError, ValueError):
        return False


def required(model: object, expected: str, parts: Any) -> Any:
    """Returns `parts` of a model unchanged. If there are none, raises a ValueError that says what was expected."""
    if not parts:
        raise ValueError(f"expected {expected}. Received: {type(model).__name__}")
    return parts


def one_line(error: BaseException) -> str:
    """Returns the type of an error and the first line of its message.

    Example:
        >>> one_line(KeyError("A"))
        "KeyError: 'A'"
    """
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])


def printable(text: str) -> str:
    """Returns a text with its control characters replaced by spaces.

    A text from a server or a file may contain control characters, and a terminal would execute them.

    Example:
        >>> printable("a\\x1b[2Jb")
        'a [2Jb'
    """
    return "".join(c if c.isprintable() else " " for c in text)


class MissingDataError(ValueError):
    """Raised if a data set is not on this machine."""


def existing_file(path: str | Path) -> Path:
    """Returns the path of a file. Raises ValueError if there is no such file.

    Example:
        >>> existing_file("no.weights.h5")
        Traceback (most recent call last):
            ...
        ValueError: expected an existing file. Received: 'no.weights.h5'
    """
    if not (path := Path(path)).is_file():
        raise ValueError(f"expected an existing file. Received: '{path}'")
    return path
