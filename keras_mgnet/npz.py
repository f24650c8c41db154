"""Reads .npz files from others: no pickled objects, and no small file that fills the memory."""

from collections.abc import Container
from pathlib import Path

import numpy as np

from keras_mgnet.errors import MissingDataError

MAX_EXPANSION, ALWAYS_ALLOWED = 100, 2**20  # unpacked bytes: per packed byte (arrays hardly compress), and in any case


def read_npz(path: str | Path, names: Container[str] | None = None) -> dict[str, np.ndarray]:
    """Returns the arrays of an .npz file, or only those in `names`.

    Raises:
        ValueError: before any array is read, if an array unpacks to more than 1 MiB plus a hundred times its packed bytes.
        Exception: for damaged files, of many kinds: OSError, BadZipFile, EOFError, zlib.error, MemoryError, ...

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as out:
        ...     np.savez(f"{out}/a.npz", x=np.arange(3), y=np.ones(2))
        ...     read_npz(f"{out}/a.npz", ["x"])
        {'x': array([0, 1, 2])}
    """
    with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        for member in archive.zip.infolist():
            if member.file_size > MAX_EXPANSION * member.compress_size + ALWAYS_ALLOWED:
                raise ValueError(
                    f"'{member.filename}' unpacks from {member.compress_size} bytes to {member.file_size}; "
                    "write it with np.savez, which does not compress"
                )
        return {name: archive[name] for name in archive.files if names is None or name in names}


def read_arrays(file: Path, names: Container[str]) -> dict[str, np.ndarray]:
    """Returns the arrays in `names` of a user's .npz file.

    Raises:
        MissingDataError: if there is no such file.
        ValueError: if the file is damaged or has pickled objects.
    """
    if not file.exists():
        raise MissingDataError(f"no such file: '{file}'")
    try:
        return read_npz(file, names)
    except Exception as error:  # damaged files raise OSError, BadZipFile, zlib.error, EOFError, TypeError, ...
        raise ValueError(f"expected an .npz file without pickled objects. Received: {file} ({error})") from error
