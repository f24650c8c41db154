"""Checks the files of an export against the digests in its model card. Needs neither a runtime nor Keras."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import NonNegativeInt, StringConstraints
from typing_extensions import TypedDict

from keras_mgnet.files import file_digest
from keras_mgnet.schema import open_ended, read_json

CARD = "card.json"
FileName = Annotated[str, StringConstraints(pattern=r"^[^\x00]+$")]


@open_ended
class Digest(TypedDict):
    """Length and SHA-256 of a file."""

    bytes: NonNegativeInt
    sha256: str


@open_ended
class Artifact(TypedDict):
    """An exported file, or the files of a SavedModel."""

    path: str
    format: str
    files: dict[FileName, Digest]
    load: str


@open_ended
class Card(TypedDict):
    """The content of card.json, which `card.write_card` writes."""

    model: dict[str, Any]
    input: dict[str, Any]
    outputs: dict[str, str]
    classes: list[str] | None
    training: dict[str, Any] | None
    artifacts: list[Artifact]
    versions: dict[str, str | None]


def check_card(path: str | Path) -> Card:
    """Reads a card.json, checks the size and digest of every listed file, and returns the content of card.json.

    Anyone who can change a file can also change the card next to it. To detect this, keep a digest of the card elsewhere.

    Raises:
        ValueError: if the path is not a card.json, or a listed file is missing, has changed, or is outside the card's folder.

    Example:
        >>> check_card("nowhere/card.json")
        Traceback (most recent call last):
            ...
        ValueError: no such file: nowhere/card.json
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no such file: {path}")
    card = read_json(path, Card, "a card.json of an export; export the model anew")
    files = [(name, digest) for artifact in card["artifacts"] for name, digest in artifact["files"].items()]
    for name, digest in files:
        file = path.parent / name
        if not file.resolve().is_relative_to(path.parent.resolve()) or not file.is_file():
            raise ValueError(f"expected the file '{name}' next to '{path}'. Received: none")
        if file_digest(file) != digest:
            raise ValueError(f"expected '{file}' to be the file that was exported. Received: {file_digest(file)}")
    return card
