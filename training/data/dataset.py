"""Loads data sets as uint8: digits, an .npz file, a folder, TFRecords, or a data set of TensorFlow Datasets (TFDS)."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_mgnet.errors import check_known
from keras_mgnet.files import expanded
from keras_mgnet.images import is_scale
from keras_mgnet.models.datasets import of_tfds
from keras_mgnet.training.data.arrays import draw, means_of_squares, read_digits, read_npz_set
from keras_mgnet.training.data.encoded import Examples
from keras_mgnet.training.data.folder import read_folder
from keras_mgnet.training.data.statistics import channel_statistics
from keras_mgnet.training.data.streaming import Pictures, fits_in_memory, part_of
from keras_mgnet.training.data.tfds import read_tfds
from keras_mgnet.training.data.tfrecord import read_tfrecords

FORMS = ("digits", "npz:FILE", "folder:DIR", "tfrecord:FILES", "denoise:DIR", "pde:PROBLEM")
DENOISING = "denoise"  # clean images without classes
PDE = "pde"  # pairs of functions
ON_CORRUPT = ("skip", "error")
STREAM = ("auto", "on", "off")
ARRAYS = ("digits", "npz")
HELD_OUT = 0.2
MEASURED = 2000  # images that give mean and deviation of a set that is not in memory
COMPARED, CALIBRATING = 2000, 256  # largest numbers of images for the comparison of an export, and for its calibration


@dataclass(frozen=True, eq=False)
class Split:
    """Images and their labels. A wrong type or shape raises ValueError.

    Example:
        >>> Split(np.zeros((2, 8, 8, 1), np.uint8), np.array([0, 1], np.int32)).images.shape
        (2, 8, 8, 1)
    """

    images: np.ndarray | Pictures  # (N, H, W, C) uint8, N >= 1, C = 1 or 3
    labels: np.ndarray  # (N,) int32

    def __post_init__(self):
        x, y = self.images, self.labels
        if x.dtype != np.uint8 or x.ndim != 4 or x.shape[-1] not in (1, 3) or not len(x):
            raise ValueError(f"expected at least one image, as uint8 (N, H, W, 1 or 3). Received: {x.dtype} {x.shape}")
        if y.dtype != np.int32 or y.shape != x.shape[:1]:
            raise ValueError(f"expected one int32 label per image, shape ({len(x)},). Received: {y.dtype} {y.shape}")


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set for classification. Raises ValueError if its parts do not fit together.

    Example:
        >>> data = load("digits")
        >>> data.classes, data.input_shape
        (10, (8, 8, 1))
    """

    name: str  # the argument of `load`
    train: Split
    test: Split  # images of the same shape as in `train`
    class_names: tuple[str, ...]
    mean: tuple[float, ...]  # per channel, for pixels scaled to [0, 1]
    std: tuple[float, ...]  # per channel, for pixels scaled to [0, 1], positive
    validation: Split | None = None  # images that choose the best epoch; without them, the test images do

    def __post_init__(self):
        for part, split in self.splits.items():
            shape, labels = split.images.shape[1:], split.labels
            if shape != self.input_shape:
                shapes = f"{self.input_shape} and {shape}"
                raise ValueError(f"expected train and {part} images of one shape. Received: {shapes}")
            if labels.min() < 0 or labels.max() >= self.classes:
                span = f"{labels.min()}..{labels.max()}"
                raise ValueError(f"expected {part} labels in 0..{self.classes - 1}. Received: {span}")
        channels = self.input_shape[-1]
        if not len(self.mean) == len(self.std) == channels or not is_scale(self.mean, self.std):
            expected = f"{channels} means and as many positive deviations, one per channel"
            raise ValueError(f"expected {expected}. Received: mean={self.mean}, std={self.std}")

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every image."""
        return self.train.images.shape[1:]

    @property
    def splits(self) -> dict[str, Split]:
        """The parts of the data set by name: train, test, and validation if there are such images."""
        parts = {"train": self.train, "test": self.test, "validation": self.validation}
        return {part: split for part, split in parts.items() if split}

    @property
    def counts(self) -> tuple[int, ...]:
        """Numbers of training and test images, and of validation images if there are any."""
        return tuple(len(split.labels) for split in self.splits.values())

    @property
    def judge(self) -> str:
        """The images that choose the best epoch: "validation" or "test"."""
        return "validation" if self.validation else "test"

    @property
    def arrays(self) -> list[np.ndarray]:
        """What tells the data set from others: images and labels, or in place of encoded images the names and sizes of files."""
        parts = [(split.images, split.labels) for split in self.splits.values()]
        return [
            array
            for images, labels in parts
            for array in (images.fingerprint() if isinstance(images, Pictures) else images, labels)
        ]

    @property
    def is_streamed(self) -> bool:
        """Whether images are decoded when they are needed."""
        return isinstance(self.train.images, Pictures)

    def hold_out(self, share: float) -> "Dataset":
        """Returns the data set with validation images: a share of the training images of each class, the same on every call.

        Example:
            >>> load("digits").hold_out(0.1).counts
            (1293, 360, 144)
        """
        if self.validation:
            expected = f"no share for validation, since {self.name} has validation images of its own"
            raise ValueError(f"expected {expected}. Received: validation={share:g}")
        train, validation = _hold_out(self.train.images, self.train.labels, share)
        return replace(self, train=train, validation=validation)

    def reduced(self, side: int) -> "Dataset":
        """Returns the data set with images of `side` pixels a side, means over squares of pixels. Mean and deviation stay.

        Example:
            >>> load("digits").reduced(4).input_shape
            (4, 4, 1)
        """
        height, width, _ = self.input_shape
        if height != width or height % side:
            received = f"image_size={side} for images of {height}x{width} pixels"
            raise ValueError(f"expected square images, and an image_size that divides their size. Received: {received}")
        parts = {
            part: replace(split, images=means_of_squares(split.images, side)) for part, split in self.splits.items()
        }
        return replace(self, **parts)

    def export_images(self, compared: int = COMPARED, calibrating: int = CALIBRATING) -> dict[str, np.ndarray]:
        """Returns arguments for `export_model`: test images and labels for the comparison, training images for calibration."""
        test, train = draw(len(self.test.labels), compared), draw(len(self.train.labels), calibrating)
        samples, labels = self.test.images[test], self.test.labels[test]
        return {"samples": samples, "labels": labels, "calibration": self.train.images[train]}

    @property
    def model_arguments(self) -> dict[str, Any]:
        """The arguments `input_shape` and `classes` of a network for these data."""
        return {"input_shape": self.input_shape, "classes": self.classes}


def load(
    name: str,
    *,
    image_size: int | None = None,
    on_corrupt: str = "skip",
    stream: str = "auto",
    cropped: Sequence[int] = (),
) -> Dataset:
    """Loads a data set as uint8, into memory or as files that are decoded when they are needed. Nothing is downloaded.

    Args:
        name: one of five forms.

            - `digits` loads the 8x8 digits of scikit-learn.
            - `npz:FILE` loads the arrays x_train, y_train, x_test and y_test. The file may also contain class_names, and mean and
              std per channel for pixels scaled to [0, 1].
            - `folder:DIR` loads the images DIR/train/<class>/* and DIR/test/<class>/*. If DIR also has val/<class>/*, these
              are the validation images. If the class folders are directly in DIR, as DIR/<class>/*, a fifth of the images
              become the test images.
            - `tfrecord:DIR` or `tfrecord:PATTERN` loads the images and labels in files of TFRecords, see `tfrecord`.
            - A TFDS name such as `cifar10` loads a data set that TFDS has prepared on this machine. The data are in the folder
              named by the environment variable TFDS_DATA_DIR, or in the default folder of TFDS. The split test has the
              test images, and validation the validation images. Without test, validation has the test images.
        image_size: the side in pixels of the square to which every image is resized. For `digits` and `npz:FILE` it must divide
            the side of the images. Their pixels become means over squares of pixels.
        on_corrupt: "skip" to skip an unreadable image or record with a warning, or "error" to raise an error.
        stream: except for `digits` and `npz:FILE`, "on" to decode images when they are needed, "off" to decode all of them now,
            or "auto" for "on" if the decoded images would fill more than a fifth of the memory.
        cropped: numbers of channels. With `image_size`, grey images (1) or colour images (3) named here are not resized to the
            square, but cropped at their centre (`crops.centre`). They stay encoded, for `train_batches` to crop them at random.

    Raises:
        ValueError: if the name is unknown, the data set has no classes, or the arrays do not fit together.
        MissingDataError: a ValueError, if the file or folder does not exist, or TFDS has not prepared the data set.

    Example:
        >>> load("digits").train.images.shape
        (1437, 8, 8, 1)
    """
    check_known("on_corrupt", on_corrupt, ON_CORRUPT)
    check_known("stream", stream, STREAM)
    if is_denoising(name) or form_of(name) == PDE:
        raise ValueError(f"expected a data set with classes. Received: {name!r}")
    form, _, place = name.partition(":")
    if image_size is not None and image_size < 1:
        raise ValueError(f"expected a positive image_size. Received: {image_size}")
    if name == "digits" or (form == "npz" and place):
        data = _digits() if name == "digits" else _npz(name, expanded(place))
        return data.reduced(image_size) if image_size else data
    if form == "folder" and place:
        found = read_folder(expanded(place))
    elif form == "tfrecord" and place:
        found = read_tfrecords(expanded(place), on_corrupt)
    else:
        found = read_tfds(name, FORMS, on_corrupt, encoded=image_size is not None or stream == "on")
    if isinstance(found, Examples):
        pictures = Pictures.of(found.images, image_size, on_corrupt, cropped)
        return _dataset(name, _splits(found, pictures, stream), found.class_names)
    parts, class_names = found
    return _dataset(name, [Split(*part) for part in parts], class_names)


def is_denoising(name: str) -> bool:
    """Returns whether a name has the form `denoise:DIR`. `keras_mgnet.training.data.denoise` loads such a data set.

    Example:
        >>> is_denoising("denoise:images"), is_denoising("cifar10:3.0.2")
        (True, False)
    """
    return form_of(name) == DENOISING


def form_of(name: str) -> str:
    """Returns the part of a name in front of the colon, such as "npz"; the whole name if it has none."""
    return name.partition(":")[0]


def _dataset(name: str, splits: Sequence[Split], class_names: Iterable[str]) -> Dataset:
    train, test, *validation = splits
    known = of_tfds(name)
    mean, std = (known.mean, known.std) if known and known.mean else _statistics(train.images)
    return Dataset(name, train, test, tuple(class_names), mean, std, *validation)


def _statistics(images: np.ndarray | Pictures) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns `channel_statistics` of all images, or of some images of a set that is not in memory."""
    return channel_statistics(images[draw(len(images), MEASURED)] if isinstance(images, Pictures) else images)


def _hold_out(images: np.ndarray | Pictures, labels: np.ndarray, share: float = HELD_OUT) -> list[Split]:
    from sklearn.model_selection import train_test_split

    if (rarest := np.unique(labels, return_counts=True)[1].min()) * share < 1:
        expected = f"{math.ceil(1 / share)} or more images per class, to hold out {share:.0%}"
        raise ValueError(f"expected {expected}. Received: {rarest} in one class")
    parts = train_test_split(np.arange(len(labels)), test_size=share, stratify=labels, random_state=0)
    return [Split(part_of(images, part), labels[part].astype(np.int32)) for part in parts]


def _digits() -> Dataset:
    (images, labels), class_names = read_digits()
    return _dataset("digits", _hold_out(images, labels), class_names)


def _npz(name: str, file: Path) -> Dataset:
    parts, class_names, constants = read_npz_set(file)
    return replace(_dataset(name, [Split(*part) for part in parts], class_names), **constants)


def _splits(found: Examples, pictures: Pictures, stream: str) -> list[Split]:
    """Returns training, test and perhaps validation images, decoded if they shall be in memory."""
    known = np.flatnonzero(found.parts >= 0)
    images, labels, parts = pictures.part(known), found.labels[known], found.parts[known]
    if pictures.fit == "centre" and stream == "off":
        raise ValueError("expected stream on or auto for images that are cropped at random. Received: stream='off'")
    if pictures.fit != "centre" and (stream == "off" or (stream == "auto" and fits_in_memory(pictures.nbytes))):
        images, kept = images.read(np.arange(len(labels)))
        labels, parts = labels[kept], parts[kept]
    if lost := {*zip(found.parts[known], found.labels[known], strict=True)} - {*zip(parts, labels, strict=True)}:
        received = found.class_names[min(lost)[1]]
        raise ValueError(f"expected readable images of every class. Received: none of {received}")
    if not parts.any():
        return _hold_out(images, labels)
    places = (np.flatnonzero(parts == part) for part in np.unique(parts))
    return [Split(part_of(images, part), labels[part]) for part in places]
