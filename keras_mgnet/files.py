"""Files and folders that are written whole or not at all."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; what is written there, file or folder, is synced and takes its place at the end.

    On an error nothing is left behind and `path` is as it was. A folder never replaces what is there; a file does.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with written_whole(Path(folder) / "a.txt") as staged:
        ...         _ = staged.write_text("whole")
        ...     print(*os.listdir(folder))
        a.txt
    """
    path = Path(path)
    staging = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    staged = staging / path.name  # keeps the suffix, which writers read the format from
    try:
        yield staged
        _sync(staged)
        staged.rename(path)
        _sync_entry(path.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def check_writable(folder: str | Path) -> Path:
    """Creates a folder with its parents and returns it; raises ValueError where nothing can be written there."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"expected a folder that can be written. Received: '{folder}' ({error.strerror})") from error
    return folder


def write_json(path: str | Path, content: Any) -> None:
    """Writes a JSON file whole."""
    with written_whole(path) as staged:
        staged.write_text(json.dumps(content, indent=2) + "\n")


def _sync(path: Path) -> None:
    for entry in [path, *path.rglob("*")] if path.is_dir() else [path]:
        _sync_entry(entry)


def _sync_entry(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
