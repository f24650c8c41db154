"""Reads files of TFRecords without TensorFlow: where each image lies, and its label.

A record is length (8 bytes), checksum of the length (4), data, checksum of the data (4). The data are a tf.train.Example, a
message of Protocol Buffers. The index is made anew for each run: it takes a small part of an epoch, and no old one can be wrong.
"""

import mmap
import warnings
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_mgnet.errors import printable
from keras_mgnet.training.data.encoded import names_and_sizes

HEADER, CHECKSUM = 12, 4  # bytes in front of the data, and after them
POLYNOMIAL, MASK = 0x82F63B78, 0xA282EAD8  # of CRC-32C, and of TFRecord's change of it
LENGTH_DELIMITED, SIZES = 2, {1: 8, 5: 4}  # wire types of Protocol Buffers, and the bytes of those of fixed size
Buffer = mmap.mmap | bytes
Span = tuple[int, int]  # first byte, and the byte after the last


@dataclass(frozen=True)
class Records:
    """Images inside of larger files."""

    paths: Sequence[Path]
    file: np.ndarray  # (N,) place in `paths`
    start: np.ndarray  # (N,) first byte
    length: np.ndarray  # (N,) bytes

    def __len__(self) -> int:
        return len(self.file)

    def __getitem__(self, place: int) -> "Record":
        return Record(self.paths[self.file[place]], int(self.start[place]), int(self.length[place]))

    def fingerprint(self, places: np.ndarray) -> bytes:
        """Returns names and sizes of the files, and where in them the images lie."""
        where = (values[places].tobytes() for values in (self.file, self.start, self.length))
        return names_and_sizes(self.paths) + b"".join(where)


class Record(NamedTuple):
    """An image inside of a larger file."""

    path: Path
    start: int
    length: int

    def read_bytes(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.start)
            return file.read(self.length)

    def __str__(self) -> str:
        return f"{self.path}, byte {self.start}"


class Index(NamedTuple):
    """The images of some files of TFRecords."""

    images: Records
    labels: np.ndarray  # (N,) int64
    texts: dict[int, str]  # label -> its text, as far as records have texts


def read_index(paths: Sequence[Path], image: str, label: str, on_corrupt: str, text: str | None = None) -> Index:
    """Finds the images in files of TFRecords.

    A damaged record is skipped with a warning, or raises ValueError if `on_corrupt` is "error". Where a length is damaged, this
    is so for the rest of its file. The checksums of the lengths are compared, not those of the data.

    Args:
        paths: the files.
        image, label, text: names of the features.
        on_corrupt: "skip" or "error".
    """
    found, texts = array("q"), {}
    for number, path in enumerate(paths):
        for spans, content in _examples(path, on_corrupt, (image, label)):
            start, stop = spans[image]
            found.extend((number, start, stop - start, integer(content, spans[label])))
            if text in spans and found[-1] not in texts:
                texts[found[-1]] = content[slice(*spans[text])].decode(errors="replace")
    file, starts, lengths, labels = np.array(found, np.int64).reshape(-1, 4).T.copy()
    return Index(Records(paths, file, starts, lengths), labels, texts)


def _examples(path: Path, on_corrupt: str, needed: Sequence[str]) -> Iterator[tuple[dict[str, Span], Buffer]]:
    """Yields, for each example of a file, the first value of each of its features, and the content of the file."""

    def damaged(place: int, reason: object, lost: str) -> None:
        message = f"expected a TFRecord with {' and '.join(needed)}. Received: '{path}', byte {place} ({reason})"
        if on_corrupt == "error":
            raise ValueError(message)
        warnings.warn(printable(f"skipped {lost}: {message}"), stacklevel=2)

    with path.open("rb") as file:
        size = file.seek(0, 2)
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
    place = 0
    while place < size:
        try:
            stop = place + HEADER + _length(content, place, size)
        except ValueError as error:
            damaged(place, error, "the rest of a file")
            return
        try:
            spans = features(content, (place + HEADER, stop))
            integer(content, spans[needed[1]]), spans[needed[0]]
        except (ValueError, KeyError, IndexError) as error:
            damaged(place, repr(error), "a record")
        else:
            yield spans, content
        place = stop + CHECKSUM


def _length(content: Buffer, place: int, size: int) -> int:
    header = content[place : place + HEADER]
    length = int.from_bytes(header[:8], "little")
    if masked_crc(header[:8]) != int.from_bytes(header[8:], "little"):
        raise ValueError("the checksum of its length differs")
    if place + HEADER + length + CHECKSUM > size:
        raise ValueError("the file ends inside of it")
    return length


def masked_crc(content: bytes) -> int:
    """Returns the checksum of a TFRecord.

    Example:
        >>> hex(masked_crc(b"123456789"))
        '0xc78ab0e5'
    """
    crc = 2**32 - 1
    for byte in content:
        crc = _table()[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 2**32 - 1
    return (crc >> 15 | crc << 17 & 2**32 - 1) + MASK & 2**32 - 1


@cache
def _table() -> list[int]:
    table = list(range(256))
    for _ in range(8):
        table = [value >> 1 ^ (POLYNOMIAL if value & 1 else 0) for value in table]
    return table


def features(content: Buffer, example: Span) -> dict[str, Span]:
    """Returns the first value of each feature of a tf.train.Example: {name: its bytes, or its varint}."""
    found = {}
    for _, *entries in _fields(content, example):
        for _, *entry in _fields(content, entries):
            parts = {number: span for number, *span in _fields(content, entry)}
            name = content[slice(*parts[1])].decode()
            for _, *values in _fields(content, parts[2]):
                for _, *span in _fields(content, values):
                    found.setdefault(name, span)
    return found


def integer(content: Buffer, span: Span) -> int:
    """Returns the integer that a span of `features` encodes."""
    value, _ = _varint(content, span[0])
    return value - (value >> 63 << 64)


def _fields(content: Buffer, message: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yields (number, first byte, byte after the last) of each field of a message."""
    place, end = message
    while place < end:
        key, place = _varint(content, place)
        kind = key & 7
        if kind == LENGTH_DELIMITED:
            length, place = _varint(content, place)
            stop = place + length
        else:
            stop = place + SIZES[kind] if kind else _varint(content, place)[1]
        if stop > end:
            raise ValueError("a field is longer than its message")
        yield key >> 3, place, stop
        place = stop


def _varint(content: Buffer, place: int) -> tuple[int, int]:
    """Returns an integer and the place after it."""
    value = shift = 0
    while shift < 64:
        byte = content[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
    raise ValueError("a number has too many bytes")
