"""Writes files and folders whole or not at all."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

STAGED = ".staged-"  # prefix of temporary folders
NEW = ".new"  # an empty file that shows the mode of new files
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
ROOM = 2**20  # bytes; with less a disk counts as full
FULL = tuple(map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)))


@contextmanager
def workspace(parent: str | Path) -> Iterator[Path]:
    """Yields a temporary hidden folder inside `parent`. Files in it can be moved into `parent` by a rename (see `publish`).

    Missing parents are created. The temporary folder is removed at the end. After an error the created parents are removed too.
    The first call for a parent also removes what killed processes left there.

    Raises:
        OSError: before the body runs, if nothing can be written in `parent`; in the body, if the disk is full.

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
            _clear_once(parent.resolve())
            folder, lock = _locked_folder(parent)
        except OSError as error:
            raise OSError(f"expected a folder that can be written. Received: '{parent}' ({error.strerror})") from error
        try:
            with room_on_disk(parent):
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)
    except BaseException:
        with suppress(OSError):  # others may have written there in the meantime
            for created in missing:
                created.rmdir()
        raise


@contextmanager
def room_on_disk(folder: Path) -> Iterator[None]:
    """Turns any error whose message says that the disk is full into an OSError that names the folder."""
    try:
        yield
    except Exception as error:
        cause = next((text for text in FULL if text in str(error)), None)
        if cause is None:
            raise
        raise OSError(f"expected room on the disk of '{folder}'. Received: {cause}") from error


def check_room(folder: Path) -> None:
    """Raises OSError if the disk of a folder is full. A process on a full disk may be unable to log why it fails."""
    with workspace(folder) as staged:
        (staged / "room").write_bytes(bytes(ROOM))


@contextmanager
def without_brackets(folder: Path) -> Iterator[Path]:
    """Yields `folder`, or a link to it if its path has brackets, because TensorFlow takes brackets for a pattern."""
    if not {"[", "]"} & {*str(folder)}:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="keras_mgnet-") as place:
        link = Path(place) / "link"
        link.symlink_to(folder.absolute(), target_is_directory=True)
        yield link


@contextmanager
def staged_file(path: str | Path, suffix: str = "") -> Iterator[Path]:
    """Yields a temporary path with the name of `path`. If the body ends without an error, the file written there replaces `path`.

    Raises:
        ValueError: before the body runs, if `path` is a folder or does not end in `suffix`.
        OSError: before the body runs, if nothing can be written in the folder of `path`.

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

    A file replaces an existing file. For a folder, raises OSError if `target` exists and is not empty. Files get the mode that
    the umask sets for new files, because some libraries write files that only the owner can read.
    """
    new = staged.parent / NEW
    new.touch()
    mode = new.stat().st_mode & 0o777
    for entry in (staged, *staged.rglob("*")):
        if entry.is_file():
            entry.chmod(mode)
        _flush(entry)
    staged.replace(target)
    _flush(target.parent)
    return target


def expanded(path: str | Path) -> Path:
    """Returns a path with the home directory in place of ~. Raises ValueError for an unknown user.

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
    """Removes the temporary folders in `parent` that killed processes left behind. Living processes lock their folders."""
    for folder in parent.glob(f"{STAGED}*"):
        with suppress(OSError), _opened(folder, FOLDER) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)


_clear_once = cache(clear_staged)  # a folder may have many files


def _locked_folder(parent: Path) -> tuple[Path, int]:
    """Makes a temporary folder, locks it and returns both. If another process removes the folder before, makes a new one."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=STAGED, dir=parent))
        with suppress(FileNotFoundError):
            lock = os.open(folder, FOLDER)
            with suppress(OSError):  # no locks on this file system: then nothing is cleared on it either
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


def read_lines(file: Path) -> list[str]:
    """Returns the lines of a text file in UTF-8, with or without a byte-order mark.

    Raises:
        ValueError: if the text has another encoding. The message names the line.
    """
    content = file.read_bytes()
    try:
        return content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = 1 + content[: error.start].count(b"\n")
        received = f"{content.splitlines()[line - 1]!r} in line {line} of '{file}'"
        raise ValueError(f"expected text in UTF-8. Received: {received}") from error


def write_json(path: str | Path, content: Any) -> None:
    """Writes a JSON file whole or not at all."""
    with staged_file(path) as staged:
        staged.write_text(json.dumps(content, indent=2) + "\n")


def file_digest(file: Path) -> dict[str, Any]:
    """Returns {"bytes", "sha256"} of a file."""
    with file.open("rb") as stream:
        return {"bytes": file.stat().st_size, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}


def _flush(path: Path) -> None:
    with _opened(path) as descriptor:
        os.fsync(descriptor)


@contextmanager
def _opened(path: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    descriptor = os.open(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
