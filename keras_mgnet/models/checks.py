"""Checks of constructor arguments, before anything is built."""

import math
from numbers import Integral, Real
from typing import Any


def is_integer(value: Any) -> bool:
    """Returns whether a value is an integer of at most 32 bits. A bool does not count as an integer."""
    return isinstance(value, Integral) and not isinstance(value, bool) and -(2**31) <= int(value) < 2**31


def is_real(value: Any) -> bool:
    """Returns whether a value is a finite number that a float can hold. A bool does not count as a number."""
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def positive_integer(argument: str, value: Any) -> int:
    """Returns the value of an argument if it is an integer >= 1. Raises ValueError for any other value.

    Example:
        >>> positive_integer("growth", 0)
        Traceback (most recent call last):
            ...
        ValueError: expected growth to be an integer >= 1. Received: growth=0
    """
    if not (is_integer(value) and value >= 1):
        raise ValueError(f"expected {argument} to be an integer >= 1. Received: {argument}={value!r}")
    return int(value)


def positive_integers(argument: str, value: Any, length: int | None = None) -> tuple[int, ...]:
    """Returns the value of an argument as a tuple of integers >= 1. Raises ValueError for any other value.

    With `length`, the tuple must have this length. A single integer is then repeated `length` times.

    Example:
        >>> positive_integers("channels", 8, 3)
        (8, 8, 8)
    """
    if not length and is_integer(value) and value >= 1:
        raise ValueError(
            f"expected {argument}=({value},), or {argument}=[{value}] on the command line. Received: {argument}={value}"
        )
    values = (value,) * length if length and is_integer(value) else value
    if not isinstance(values, (tuple, list)) or not values or not all(is_integer(v) and v >= 1 for v in values):
        kind = "an integer or a sequence of integers" if length else "a non-empty sequence of integers"
        raise ValueError(f"expected {argument} to be {kind} >= 1. Received: {argument}={value!r}")
    if length and len(values) != length:
        raise ValueError(f"expected {argument} to have {length} entries, one per level. Received: {argument}={value!r}")
    return tuple(int(v) for v in values)


def within(argument: str, value: Any, low: float, high: float) -> float:
    """Returns the value of an argument if it is a finite number from `low` to `high`. Raises ValueError for any other value.

    Example:
        >>> within("survival", 0.5, 0, 1)
        0.5
    """
    if not (is_real(value) and low <= float(value) <= high):
        raise ValueError(f"expected {argument} between {low} and {high}. Received: {argument}={value!r}")
    return float(value)


def even_integers(argument: str, value: Any, length: int) -> tuple[int, ...]:
    """Returns the value of an argument as a tuple of `length` even integers >= 2. A single integer is repeated `length` times.

    Example:
        >>> even_integers("channels", (4, 3), 2)
        Traceback (most recent call last):
            ...
        ValueError: expected channels to be even. Received: channels=(4, 3)
    """
    values = positive_integers(argument, value, length)
    if any(v % 2 for v in values):
        raise ValueError(f"expected {argument} to be even. Received: {argument}={value!r}")
    return values
