"""Reads JSON files that others may have written or damaged. The whole content is checked against a type that the caller gives."""

from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from keras_mgnet.errors import printable

SHOWN = 200  # characters of the place and the reason in an error
# Decorates a TypedDict whose files may have further keys, such as keys that later versions add.
open_ended = with_config(ConfigDict(extra="allow"))


def read_json(path: str | Path, kind: Any, expected: str) -> Any:
    """Returns the content of a JSON file.

    Args:
        path: the file.
        kind: the type of its content, as in `parse_json`.
        expected: what the file should be and what to do if it is not, for the error.

    Raises:
        ValueError: as `parse_json` does, with the name of the file.
        OSError: if the file cannot be read.
    """
    try:
        return parse_json(Path(path).read_bytes(), kind)
    except ValueError as error:
        raise ValueError(f"expected {expected}. Received: '{path}' ({error})") from error


def parse_json(content: bytes | str, kind: Any) -> Any:
    """Returns the content of a JSON text.

    Args:
        content: the text.
        kind: the type of its content, such as a TypedDict or a dataclass. Nothing is converted: "3" is no integer.

    Raises:
        ValueError: if the text is not JSON, or the content is not of this type. The message names the first place that is wrong.

    Example:
        >>> parse_json('{"step": "7"}', dict[str, int])
        Traceback (most recent call last):
            ...
        ValueError: step: Input should be a valid integer
    """
    try:
        return _adapter(kind).validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        reason = ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
        raise ValueError(printable(reason)[:SHOWN]) from error


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
