"""Checks that a weights file holds only plain arrays. Other features of HDF5 can reach other files or exhaust memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import h5py

MOST_DEPTH, MOST_ENTRIES = 64, 100_000  # of a file: groups inside each other, and groups and arrays in all


def plain_arrays(file: str | Path | IO[bytes]) -> list[tuple[str, tuple[int, ...]]]:
    """Returns (name, shape) of every array in a weights file, without reading the arrays.

    Raises:
        ValueError: if the file has soft or external links, or an array that is not numeric or not stored as a single uncompressed
            block in this file. Also if there are more than `MOST_ENTRIES` groups and arrays, or more than `MOST_DEPTH` groups
            inside each other.
        OSError: if the file is not an HDF5 file.

    Example:
        >>> import io
        >>> stream = io.BytesIO()
        >>> with h5py.File(stream, "w") as file:
        ...     file["stolen"] = h5py.SoftLink("/elsewhere")
        >>> plain_arrays(stream)
        Traceback (most recent call last):
            ...
        ValueError: expected a weights file of plain arrays. Received: the SoftLink 'stolen'
    """
    arrays = []
    with h5py.File(file) as opened:
        for name, entry in entries(opened):
            if isinstance(entry, (h5py.SoftLink, h5py.ExternalLink)):
                raise _refused(f"the {type(entry).__name__} '{name}'")
            if isinstance(entry, h5py.Dataset):
                if found := _flaw(entry):
                    raise _refused(f"'{name}', {found}")
                arrays.append((name, entry.shape))
    return arrays


def entries(file: h5py.File) -> Iterator[tuple[str, Any]]:
    """Yields (name, entry) of every group and array, and of every soft or external link. These links are not followed.

    Raises ValueError if there are more entries than `MOST_ENTRIES`, or more than `MOST_DEPTH` groups inside each other.
    """
    waiting, count = [("", file)], 0
    while waiting:
        path, group = waiting.pop()
        for name in group:
            link = group.get(name, getlink=True)
            entry = group[name] if isinstance(link, h5py.HardLink) else link
            if (count := count + 1) > MOST_ENTRIES:
                raise _refused(f"more than {MOST_ENTRIES:,} groups and arrays")
            if path.count("/") == MOST_DEPTH:
                raise _refused(f"more than {MOST_DEPTH} groups inside each other")
            if isinstance(entry, h5py.Group):
                waiting.append((f"{path}{name}/", entry))
            yield f"{path}{name}", entry


def _refused(received: str) -> ValueError:
    return ValueError(f"expected a weights file of plain arrays. Received: {received}")


def _flaw(array: h5py.Dataset) -> str | None:
    if array.external:
        return "an array in another file"
    if array.is_virtual:
        return "a virtual array"
    if array.shape is None or array.dtype.hasobject:
        return f"of the type {array.dtype}"
    if array.chunks is not None or array.id.get_storage_size() != array.nbytes:
        return f"{array.nbytes} bytes in memory from {array.id.get_storage_size()} in the file"
    return None
