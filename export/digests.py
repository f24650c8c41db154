"""Checks the files of an export against the digests in its model card. Needs neither a runtime nor Keras."""

import json
from pathlib import Path
from typing import Any

from keras_mgnet.files import file_digest

CARD = "card.json"


def check_card(path: str | Path) -> dict[str, Any]:
    """Reads a card.json, checks the size and digest of every listed file, and returns the content of card.json.

    Anyone who can change a file can also change the card next to it. To know where files come from, keep the digest of the
    card elsewhere.

    Raises:
        ValueError: if the path is not a card, or a listed file is missing, has changed, or is outside the card's folder.

    Example:
        >>> check_card("nowhere/card.json")
        Traceback (most recent call last):
            ...
        ValueError: no such file: nowhere/card.json
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no such file: {path}")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        files = [(name, digest) for artifact in card["artifacts"] for name, digest in artifact["files"].items()]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"expected a card.json of an export. Received: '{path}' ({error})") from error
    for name, digest in files:
        file = path.parent / name
        if not file.resolve().is_relative_to(path.parent.resolve()) or not file.is_file():
            raise ValueError(f"expected the file '{name}' next to '{path}'. Received: none")
        if file_digest(file) != digest:
            raise ValueError(f"expected '{file}' to be the file that was exported. Received: {file_digest(file)}")
    return card
