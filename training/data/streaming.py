"""Images that stay encoded in their files. Each is decoded when a batch needs it, so that a set may be larger than the memory."""

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from keras_mgnet.errors import printable
from keras_mgnet.extras import TRAIN, extra
from keras_mgnet.images import decode

ARRAYS_MAY_FILL = 0.5  # share of the free memory


@dataclass(frozen=True, eq=False)
class Pictures:
    """Image files in place of an array (N, H, W, C) uint8. An index decodes images, as it takes them from an array.

    Raises:
        ValueError: by an index, if an image cannot be read or has another size.
    """

    files: Sequence[Path]  # N files
    size: tuple[int, int]  # (H, W)
    channels: int  # C, 1 or 3
    resized: bool  # whether each image is resized to `size`; if not, it must have this size
    on_corrupt: str  # "skip" or "error", see `read`
    failures: list[ValueError] = field(default_factory=list)  # the errors of `read`

    dtype: ClassVar[np.dtype] = np.dtype(np.uint8)
    ndim: ClassVar[int] = 4

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, C)."""
        return (len(self.files), *self.size, self.channels)

    @property
    def nbytes(self) -> int:
        """Bytes of the decoded images."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, key: Any) -> np.ndarray:
        places = np.arange(len(self))[key]
        if np.ndim(places) == 0:
            return self._decoded(places)
        return np.stack(list(_pool().map(self._decoded, places)))

    def part(self, places: np.ndarray) -> Self:
        """Returns some of the images, still encoded."""
        return replace(self, files=[self.files[place] for place in places])

    def read(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Decodes the images of a batch.

        Returns the images (n, H, W, C) that can be read, and for each place whether its image is among them, (N,) bool. Warns of
        each image that is skipped. With on_corrupt="error" the first such image raises ValueError.
        """
        found = list(_pool().map(self._tried, places))
        kept = np.array([picture is not None for picture in found])
        pictures = [picture for picture in found if picture is not None]
        return np.stack(pictures) if pictures else np.zeros((0, *self.shape[1:]), np.uint8), kept

    def fingerprint(self) -> np.ndarray:
        """Returns the names and sizes of all files, as bytes. Files with the same fingerprint are taken to be the same."""
        root = os.path.commonpath(self.files)
        told = (f"{os.path.relpath(file, root)} {file.stat().st_size}\n" for file in self.files)
        return np.frombuffer("".join(told).encode(errors="surrogateescape"), np.uint8)

    def _decoded(self, place: int) -> np.ndarray:
        height, width = self.size
        pixels = decode(self.files[place], (width, height) if self.resized else None, self.channels)
        if pixels.shape[:2] != self.size:
            sizes = f"{self.size} and '{self.files[place]}' {pixels.shape[:2]}"
            raise ValueError(f"expected images of one size; --image-size N resizes them to NxN. Received: {sizes}")
        return pixels

    def _tried(self, place: int) -> np.ndarray | None:
        try:
            return self._decoded(place)
        except ValueError as error:
            if self.on_corrupt == "error":
                self.failures.append(error)
                raise
            warnings.warn(printable(f"skipped an unreadable image: {error}"), stacklevel=2)
            return None


def part_of(images: np.ndarray | Pictures, places: np.ndarray) -> np.ndarray | Pictures:
    """Returns some of the images. Encoded images stay encoded."""
    return images.part(places) if isinstance(images, Pictures) else images[places]


@contextmanager
def named_failures(parts: Sequence[np.ndarray | Pictures]) -> Iterator[None]:
    """Raises the error of an image that ended the body. The error that a backend makes of it does not name the image well."""
    try:
        yield
    except Exception as error:
        for part in parts:
            if isinstance(part, Pictures) and part.failures:
                raise part.failures[0] from error
        raise


def fits_in_memory(nbytes: int) -> bool:
    """Returns whether arrays of so many bytes fill at most half of the free memory."""
    return nbytes <= ARRAYS_MAY_FILL * extra("psutil", TRAIN).virtual_memory().available


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decode")
