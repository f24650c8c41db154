"""Images that stay encoded. Each is decoded when a batch needs it, so that a set may be larger than the memory."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any, ClassVar, Self

import numpy as np

from keras_mgnet import crops
from keras_mgnet.errors import printable
from keras_mgnet.extras import TRAIN, extra
from keras_mgnet.images import decode, shape
from keras_mgnet.training.data.encoded import Rasters, Source

ARRAYS_MAY_FILL = 0.2  # share of the free memory: while images are read, there are several copies of them
KEYS = 2**64  # numpy's keys of random numbers are not negative: seeds are taken modulo this number


@dataclass(frozen=True, eq=False)
class Pictures:
    """Encoded images in place of an array (N, H, W, C) uint8. An index decodes images, as it takes them from an array.

    Raises:
        ValueError: by an index, if an image cannot be read or has another size.
    """

    source: Source
    places: np.ndarray  # (N,) of the images in `source`
    size: tuple[int, int]  # (H, W)
    channels: int  # C, 1 or 3
    fit: str  # how an image gets `size`: it has it ("exact"), is resized to it ("square"), or see `crops.centre`
    on_corrupt: str  # "skip" or "error", see `read`
    failures: list[ValueError] = field(default_factory=list)  # the errors of `read`

    dtype: ClassVar[np.dtype] = np.dtype(np.uint8)
    ndim: ClassVar[int] = 4

    @classmethod
    def of(cls, source: Source, image_size: int | None, on_corrupt: str, cropped: Sequence[int] = ()) -> Self:
        """Returns all images of a source. They are in colour if one of them is, and have the size of the first, or `image_size`.

        See `dataset.load` for the other arguments.
        """
        size, channels = None, 1
        for found in _shapes(source, on_corrupt):
            size, channels = size or found[:2], max(channels, found[2])
            if channels == 3:
                break
        if size is None:
            such = f", such as '{source[0]}'" if len(source) else ""
            raise ValueError(f"expected readable images. Received: none in {len(source)}{such}")
        fit = "exact"
        if image_size is not None:
            size, fit = (image_size, image_size), "centre" if channels in cropped else "square"
        return cls(source, np.arange(len(source)), size, channels, fit, on_corrupt)

    @classmethod
    def of_array(cls, pixels: np.ndarray) -> Self:
        """Returns the images of an array (N, H, W, C) uint8, for `read` to crop them."""
        return cls(Rasters(pixels), np.arange(len(pixels)), pixels.shape[1:3], pixels.shape[3], "exact", "error")

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, C)."""
        return (len(self), *self.size, self.channels)

    @property
    def nbytes(self) -> int:
        """Bytes of the decoded images."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, key: Any) -> np.ndarray:
        places = np.arange(len(self))[key]
        decoded = _pool().map(lambda place: self._checked(place, self._decoded(place)), np.atleast_1d(places))
        return np.stack(list(decoded)) if np.ndim(places) else next(decoded)

    def part(self, places: np.ndarray) -> Self:
        """Returns some of the images, still encoded."""
        return replace(self, places=self.places[places])

    def read(
        self,
        places: np.ndarray,
        crop: Callable[..., crops.Box] | None = None,
        key: Sequence[int] = (),
        fill: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Decodes the images of a batch.

        Warns of each image that cannot be read, and leaves it out. With on_corrupt="error" the first such image raises
        ValueError.

        Args:
            places: (B,) indices of the images.
            crop: a random crop of `keras_mgnet.crops`; None for what an index returns.
            key: integers that decide the random numbers of the crops, together with the index of an image.
            fill: whether the image before takes the place of one that is left out. A batch without any image raises ValueError.

        Returns:
            The images (n, H, W, C), and where in `places` each of them is, (n,).
        """
        found = list(_pool().map(partial(self._tried, crop, key), places))
        kept = np.array([place for place, picture in enumerate(found) if picture is not None], np.int32)
        if fill and len(kept) < len(found):
            if not len(kept):
                self.failures.append(
                    ValueError(f"expected a readable image among {len(found)} of a batch. Received: none")
                )
                raise self.failures[-1]
            kept = kept[np.maximum(np.searchsorted(kept, np.arange(len(found)), "right") - 1, 0)]
        return np.stack([found[place] for place in kept]) if len(kept) else np.zeros(
            (0, *self.shape[1:]), np.uint8
        ), kept

    def fingerprint(self) -> np.ndarray:
        """Returns what tells the images from others, as bytes: names and sizes of files, and not their contents."""
        return np.frombuffer(self.source.fingerprint(self.places), np.uint8)

    def _decoded(self, place: int, crop: Callable[..., crops.Box] | None = None, key: Sequence[int] = ()) -> np.ndarray:
        height, width = self.size
        if crop:
            crop = partial(crop, size=(width, height), rng=np.random.default_rng([*key, place]))
        elif self.fit == "centre":
            crop = partial(crops.centre, size=(width, height))
        size = (width, height) if crop or self.fit != "exact" else None
        return decode(self.source[self.places[place]], size, self.channels, crop)

    def _tried(self, crop: Callable[..., crops.Box] | None, key: Sequence[int], place: int) -> np.ndarray | None:
        try:
            pixels = self._decoded(place, crop, key)
        except ValueError as error:
            if self.on_corrupt == "error":
                self.failures.append(error)
                raise
            warnings.warn(printable(f"skipped an unreadable image: {error}"), stacklevel=2)
            return None
        return self._checked(place, pixels)

    def _checked(self, place: int, pixels: np.ndarray) -> np.ndarray:
        if pixels.shape[:2] != self.size:
            first, other = (self.source[self.places[number]] for number in (0, place))
            sizes = f"'{first}' {self.size} and '{other}' {pixels.shape[:2]}"
            advice = "--image-size N resizes them to NxN"
            self.failures.append(ValueError(f"expected images of one size; {advice}. Received: {sizes}"))
            raise self.failures[-1]
        return pixels


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
    """Returns whether arrays of so many bytes fill at most a fifth of the free memory."""
    return nbytes <= ARRAYS_MAY_FILL * extra("psutil", TRAIN).virtual_memory().available


def _shapes(source: Source, on_corrupt: str) -> Iterator[tuple[int, int, int]]:
    for place in range(len(source)):
        try:
            yield shape(source[place])
        except ValueError:
            if on_corrupt == "error":
                raise


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decode")
