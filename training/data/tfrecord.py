"""Reads images with labels from files of TFRecords: the features image/encoded and image/class/label of each example."""

from pathlib import Path

import numpy as np

from keras_mgnet.errors import MissingDataError
from keras_mgnet.training.data.encoded import Examples
from keras_mgnet.training.data.records import read_index

IMAGE, LABEL, TEXT = "image/encoded", "image/class/label", "image/class/text"
PARTS = ("train", "test", "val", "dev")  # words in the names of the files of a part; the last two are for validation


def read_tfrecords(place: Path, on_corrupt: str) -> Examples:
    """Finds the images in the files of a folder, or in those that match a pattern such as DIR/*-of-*.

    The names of files contain the word train, test, or val or dev for validation images. Without test images, the validation
    images take their place. If no name has such a word, or only train, a part of the images is held out.

    Classes have the order of their labels, which need not begin at 0. Their names are the feature image/class/text of their first
    images, or else the labels.

    Raises ValueError if there are no such files. See `records.read_index` for damaged files.
    """
    found = place.iterdir() if place.is_dir() else Path(place.anchor).glob(str(place.relative_to(place.anchor)))
    paths = sorted(path for path in found if path.is_file() and not path.name.startswith("."))
    if not paths:
        raise MissingDataError(f"no files of TFRecords: '{place}'")
    found = read_index(paths, IMAGE, LABEL, on_corrupt, TEXT)
    labels, places = np.unique(found.labels, return_inverse=True)
    if not len(labels):
        raise ValueError(f"expected TFRecords with {IMAGE} and {LABEL}. Received: none in '{place}'")
    names = [found.texts.get(label, str(label)) for label in labels.tolist()]
    names = names if len(set(names)) == len(names) else list(map(str, labels))
    return Examples(found.images, places.astype(np.int32), _parts(paths)[found.images.file], names)


def _parts(paths: list[Path]) -> np.ndarray:
    """Returns the part of each file: 0 for training, 1 for test, 2 for validation."""
    words = [next((word for word in PARTS if word in path.name.lower()), "") for path in paths]
    if "train" not in words or {*words} == {"train"}:
        if odd := {*words} - {"", "train"}:
            raise ValueError(f"expected files of training images next to those of {odd}. Received: '{paths[0]}', ...")
        return np.zeros(len(paths), int)
    if "" in words:
        raise ValueError(f"expected the name of a part in '{paths[words.index('')]}'. Received: none of {PARTS}")
    number = {"train": 0, "test": 1} if "test" in words else {"train": 0, "val": 1, "dev": 1}
    return np.array([number.get(word, 2) for word in words])
