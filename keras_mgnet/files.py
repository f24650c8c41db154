"""Writes files and folders whole or not at all."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

STAGED = ".staged-"  # prefix of temporary folders


@contextmanager
def workspace(parent: str | Path) -> Iterator[Path]:
    """Yields a temporary hidden folder inside `parent`, so on the same disk as what is to be published there.

    Missing parents are created. The temporary folder is removed at the end. After an error the created parents are removed too.

    Raises:
        OSError: if nothing can be written in `parent`, before the body runs.

    Example:
        >>> with tempfile.TemporaryDirectory() as out, workspace(out) as folder:
        ...     (folder / "draft").write_text("whole")
        ...     publish(folder / "draft", Path(out) / "final").read_text()
        5
        'whole'
    """
    parent = Path(parent)
    missing = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    try:
        try:
            parent.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=STAGED, dir=parent))
        except OSError as error:
            raise OSError(f"expected a folder that can be written. Received: '{parent}' ({error.strerror})") from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # another process may have cleared it
    except BaseException:
        with suppress(OSError):  # others may have written there in the meantime
            for created in missing:
                created.rmdir()
        raise


@contextmanager
def staged_file(path: str | Path, suffix: str = "") -> Iterator[Path]:
    """Yields a temporary path with the name of `path`. When the body ends without an error, its file replaces `path`.

    Raises:
        ValueError: if `path` is a folder or does not end in `suffix`, before the body runs.
        OSError: if its folder cannot be written.

    Example:
        >>> with tempfile.TemporaryDirectory() as out:
        ...     with staged_file(f"{out}/a.txt", ".txt") as staged:
        ...         staged.write_text("whole")
        ...     Path(out, "a.txt").read_text()
        5
        'whole'
    """
    path = Path(path)
    if path.is_dir() or path.suffix != (suffix or path.suffix):
        raise ValueError(f"expected the path of a {suffix} file. Received: '{path}'")
    with workspace(path.parent) as folder:
        yield folder / path.name
        publish(folder / path.name, path)


def publish(staged: Path, target: Path) -> Path:
    """Flushes a staged file or folder to the disk, renames it to `target`, and returns `target`.

    A file replaces an existing one. A folder raises OSError if `target` exists and is not empty.
    """
    for entry in staged.rglob("*"):
        _flush(entry)
    _flush(staged)
    staged.replace(target)
    _flush(target.parent)
    return target


def expanded(path: str | Path) -> Path:
    """Returns a path with the home directory in place of ~. Raises ValueError for a user that there is not.

    Example:
        >>> expanded("~nobody-of-this-name/data")
        Traceback (most recent call last):
            ...
        ValueError: expected the home directory of a user of this machine. Received: '~nobody-of-this-name/data'
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"expected the home directory of a user of this machine. Received: '{path}'") from error


def clear_staged(parent: Path) -> None:
    """Removes the temporary folders in `parent` that killed processes left behind."""
    for folder in parent.glob(f"{STAGED}*"):
        shutil.rmtree(folder)


def write_json(path: str | Path, content: Any) -> None:
    """Writes a JSON file whole or not at all."""
    with staged_file(path) as staged:
        staged.write_text(json.dumps(content, indent=2) + "\n")


def file_digest(file: Path) -> dict[str, Any]:
    """Returns {"bytes", "sha256"} of a file."""
    with file.open("rb") as stream:
        return {"bytes": file.stat().st_size, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
