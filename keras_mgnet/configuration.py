"""Typed configurations: dataclasses whose annotations say which values a field takes, checked by pydantic."""

import re
from collections.abc import Mapping
from dataclasses import field
from functools import cache
from typing import Annotated, Any, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from keras_mgnet.errors import unknown

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
RELATIONS = {"greater_than": ">", "greater_than_equal": ">=", "less_than": "<", "less_than_equal": "<="}


def option(default: Any, help: str) -> Any:
    """Returns a dataclass field with a help text for the command line."""
    return field(default=default, metadata={"help": help})


def check(config: Any) -> None:
    """Raises ValueError for the first field of a dataclass whose value does not fit its annotation.

    Values are not converted. "3" is not an integer, and True is not a number. An integer in a float field stays an integer.

    Example:
        >>> from dataclasses import make_dataclass
        >>> Run = make_dataclass("Run", [("epochs", Count)])
        >>> check(Run(epochs=0))
        Traceback (most recent call last):
            ...
        ValueError: expected epochs >= 1. Received: epochs=0
    """
    for name, adapter in _adapters(config.__class__).items():
        value = getattr(config, name)
        try:
            adapter.validate_python(value)
        except ValidationError as error:
            raise _refused(name, value, error.errors()[0]) from None


@cache
def _adapters(config: type) -> dict[str, TypeAdapter[Any]]:
    exact = ConfigDict(strict=True, allow_inf_nan=False)
    return {name: TypeAdapter(hint, config=exact) for name, hint in get_type_hints(config, include_extras=True).items()}


def _refused(name: str, value: Any, error: Mapping[str, Any]) -> ValueError:
    if error["type"] == "literal_error":
        return unknown(name, value, re.findall("'(.+?)'", error["ctx"]["expected"]))
    if error["type"] in RELATIONS:
        (bound,) = error["ctx"].values()
        expected = f"{name} {RELATIONS[error['type']]} {bound:g}"
    else:
        _, _, rule = error["msg"].partition(" should ")  # "Input should be a valid integer"
        expected = f"{name} to {rule}"
    return ValueError(f"expected {expected}. Received: {name}={value!r}")
