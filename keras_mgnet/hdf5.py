"""Checks that a weights file holds only plain arrays. Other features of HDF5 can reach other files or exhaust memory."""

from pathlib import Path
from typing import IO

import h5py


def plain_arrays(file: str | Path | IO[bytes]) -> list[tuple[str, tuple[int, ...]]]:
    """Returns (name, shape) of every array in a weights file, without reading the arrays.

    Raises:
        ValueError: if the file has soft or external links, or an array that is not numeric or not stored as a single uncompressed
            block in this file.
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

    def foreign(name: str, link: h5py.HardLink | h5py.SoftLink | h5py.ExternalLink) -> str | None:
        return None if isinstance(link, h5py.HardLink) else f"the {type(link).__name__} '{name}'"

    def flaw(name: str, entry: h5py.HLObject) -> str | None:
        if not isinstance(entry, h5py.Dataset):
            return None
        arrays.append((name, entry.shape))
        return (found := _flaw(entry)) and f"'{name}', {found}"

    with h5py.File(file) as opened:  # a visit ends at the first value returned
        if received := opened.visititems_links(foreign) or opened.visititems(flaw):
            raise ValueError(f"expected a weights file of plain arrays. Received: {received}")
    return arrays


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
