"""Errors that name the nearest valid choice."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches


def unknown(kind: str, name: object, choices: Iterable[str]) -> ValueError:
    """Returns the error for a name outside `choices`, with the nearest match where there is one.

    Example:
        >>> print(unknown("smoother", "chebychev", ["damped", "chebyshev"]))
        unknown smoother 'chebychev'; did you mean 'chebyshev'? Expected one of: damped, chebyshev. Received: 'chebychev'
    """
    choices = list(choices)
    nearest = get_close_matches(str(name), choices, n=1, cutoff=0.4)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else "."
    shown = ", ".join(choices[:20]) + (", ..." if len(choices) > 20 else "")
    return ValueError(f"unknown {kind} '{name}'{hint} Expected one of: {shown}. Received: {name!r}")


def check_known(kind: str, name: object, choices: Collection[str]) -> None:
    """Raises the error of `unknown` unless a name is one of `choices`."""
    if name not in choices:
        raise unknown(kind, name, choices)


def one_line(error: BaseException) -> str:
    """Returns the kind of an error and the first line of what it says.

    Example:
        >>> one_line(KeyError("A"))
        "KeyError: 'A'"
    """
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])
