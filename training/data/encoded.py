"""Encoded images, each read when it is asked for: files of their own, records in larger files, or arrays in memory."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from keras_mgnet.images import Encoded


class Source(Protocol):
    """A sequence of encoded images."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int) -> Encoded: ...

    def fingerprint(self, places: np.ndarray) -> bytes:
        """Returns what tells the images at these places from others, such as names and sizes of files."""


class Examples(NamedTuple):
    """The encoded images of a data set."""

    images: Source  # N
    labels: np.ndarray  # (N,) int32
    parts: (
        np.ndarray
    )  # (N,) 0 for training images, 1 for test images, 2 for validation images, -1 for those without a label
    class_names: list[str]


@dataclass(frozen=True)
class Files:
    """Images in files of their own."""

    paths: Sequence[Path]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> Path:
        return self.paths[place]

    def fingerprint(self, places: np.ndarray) -> bytes:
        """Returns names and sizes of the files."""
        return names_and_sizes([self.paths[place] for place in places])


@dataclass(frozen=True)
class Rasters:
    """Images of an array."""

    pixels: np.ndarray  # (N, H, W, C) uint8

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, place: int) -> "Raster":
        return Raster(self.pixels[place])

    def fingerprint(self, places: np.ndarray) -> bytes:
        """Returns the images."""
        return self.pixels[places].tobytes()


class Raster(NamedTuple):
    """One image of an array, which is encoded without loss as a PPM or PGM file."""

    pixels: np.ndarray  # (H, W, C)

    def read_bytes(self) -> bytes:
        height, width, channels = self.pixels.shape
        return b"P%d %d %d 255\n" % (5 if channels == 1 else 6, width, height) + self.pixels.tobytes()


def names_and_sizes(paths: Sequence[Path]) -> bytes:
    """Returns the names of files, relative to their common folder, and their sizes."""
    root = os.path.commonpath(paths)
    told = (f"{os.path.relpath(path, root)} {path.stat().st_size}\n" for path in paths)
    return "".join(told).encode(errors="surrogateescape")
