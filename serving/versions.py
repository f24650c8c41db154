"""Which versions lie in a folder, and which of them to serve."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from keras_mgnet.serving.engine import ARTIFACTS

LABELS = "labels.json"

Fingerprint = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Candidate:
    """A folder that may hold a version: where it is, and the names, sizes and times of its files."""

    path: Path
    fingerprint: Fingerprint


def scan(base: Path) -> dict[int, Candidate]:
    """Returns what may be a version, by number: `base` itself as 1 where it is a file, else its folders named by numbers.

    Folders without an artifact, as an export leaves them before its last step, are not among them.

    Raises:
        OSError: where `base` cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as base:
        ...     for name in ("3", "4", "notes"):
        ...         Path(base, name).mkdir()
        ...     Path(base, "3", "model.onnx").touch()
        ...     list(scan(Path(base)))
        [3]
    """
    if base.is_file():
        return {1: Candidate(base, fingerprint(base))}
    folders = [entry for entry in sorted(base.iterdir()) if entry.name.isascii() and entry.name.isdecimal()]
    return {
        int(folder.name): Candidate(folder, fingerprint(folder))
        for folder in folders
        if any((folder / name).is_file() for name in ARTIFACTS)
    }


def fingerprint(path: Path) -> Fingerprint:
    """Returns (name, size, time of change) of a file or of all files of a folder; a file that vanishes is left out."""
    if path.is_file():
        return _entries(path.parent, [path.name])
    return _entries(path, [str(entry.relative_to(path)) for entry in path.rglob("*")])


def read_labels(base: Path) -> dict[str, int]:
    """Returns BASE/labels.json, label -> version; empty where there is none.

    Raises:
        ValueError: where it holds anything else.

    Example:
        >>> read_labels(Path("missing"))
        {}
    """
    path = base / LABELS
    if not path.is_file():
        return {}
    try:
        labels = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"expected JSON in '{path}'. Received: {error}") from error
    if not isinstance(labels, dict) or not all(type(number) is int for number in labels.values()):
        raise ValueError(f"expected label -> version in '{path}', such as {{\"stable\": 1}}. Received: {labels!r}")
    return labels


def wanted(numbers: Collection[int], latest: int, labels: Mapping[str, int]) -> set[int]:
    """Returns which of `numbers` to serve: the `latest` highest and those with a label.

    Example:
        >>> sorted(wanted([1, 2, 3, 4], 1, {"stable": 2, "gone": 9}))
        [2, 4]
    """
    return {*sorted(numbers)[-latest:], *(number for number in labels.values() if number in numbers)}


def _entries(folder: Path, names: list[str]) -> Fingerprint:
    entries = []
    for name in sorted(names):
        try:
            status = (folder / name).stat()
        except FileNotFoundError:
            continue
        entries.append((name, status.st_size, status.st_mtime_ns))
    return tuple(entries)
