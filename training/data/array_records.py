"""Reads images from files of ArrayRecords, in which TFDS can prepare a set. A record is a tf.train.Example."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_mgnet.errors import printable
from keras_mgnet.extras import TFDS, extra
from keras_mgnet.training.data.encoded import names_and_sizes
from keras_mgnet.training.data.records import features, integer


@dataclass(frozen=True)
class ArrayRecords:
    """Images in files of ArrayRecords. Their places count all records of the files in sequence."""

    paths: Sequence[Path]
    reader: Any  # an ArrayRecordDataSource
    image: str  # name of the feature

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, place: int) -> "ArrayRecord":
        return ArrayRecord(self, place)

    def fingerprint(self, places: np.ndarray) -> bytes:
        """Returns names and sizes of the files, and the places."""
        return names_and_sizes(self.paths) + places.tobytes()


class ArrayRecord(NamedTuple):
    """An image in a file of ArrayRecords."""

    source: ArrayRecords
    place: int

    def read_bytes(self) -> bytes:
        content = self.source.reader[self.place]
        return content[slice(*features(content, (0, len(content)))[self.source.image])]

    def __str__(self) -> str:
        return f"{self.source.paths[0]}, ..., record {self.place}"


def read_array_records(
    paths: Sequence[Path], image: str, label: str, on_corrupt: str
) -> tuple[ArrayRecords, np.ndarray]:
    """Reads all records once. Returns their images, and their labels (N,) int64.

    A damaged record has the label -1 and raises a warning, or ValueError if `on_corrupt` is "error".
    """
    module = extra("array_record.python.array_record_data_source", TFDS)
    source = ArrayRecords(paths, module.ArrayRecordDataSource(list(map(str, paths))), image)
    labels = np.full(len(source), -1)
    for place in range(len(source)):
        try:
            content = source.reader[place]
            found = features(content, (0, len(content)))
            _, labels[place] = found[image], integer(content, found[label])
        except Exception as error:  # of the reader, or of a message that is none
            message = f"expected an example with {image} and {label}. Received: '{source[place]}' ({error!r})"
            if on_corrupt == "error":
                raise ValueError(message) from error
            warnings.warn(printable(f"skipped a record: {message}"), stacklevel=2)
    return source, labels
