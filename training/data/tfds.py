"""Reads data sets that TensorFlow Datasets (TFDS) has prepared: whole into memory, or where each encoded image lies."""

import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import numpy as np
from pydantic import StringConstraints
from typing_extensions import TypedDict

from keras_mgnet.errors import MissingDataError, one_line, unknown
from keras_mgnet.extras import TFDS, extra
from keras_mgnet.files import expanded, without_brackets
from keras_mgnet.schema import open_ended, read_json
from keras_mgnet.training.data.array_records import read_array_records
from keras_mgnet.training.data.arrays import Part
from keras_mgnet.training.data.encoded import Examples
from keras_mgnet.training.data.records import read_index
from keras_mgnet.training.data.streaming import fits_in_memory
from keras_mgnet.version import installed

REPREPARE = "delete its folder and prepare it again with `tfds build`"


@open_ended
class SplitInfo(TypedDict):
    """One split in a dataset_info.json of TFDS."""

    name: str
    shardLengths: list[Annotated[str, StringConstraints(pattern=r"^\d+$")]]


@open_ended
class Info(TypedDict):
    """The content of a dataset_info.json of TFDS, as far as it is needed here."""

    name: str
    version: str
    splits: list[SplitInfo]


def read_tfds(
    name: str, forms: Sequence[str], on_corrupt: str, encoded: bool
) -> tuple[list[Part], list[str]] | Examples:
    """Reads a data set that TFDS has prepared.

    The splits are train and test, then validation if there is one. If test is missing or has no labels, validation takes its
    place.

    Args:
        name: of the data set.
        forms: other names of data sets, for the error about an unknown name.
        on_corrupt: see `records.read_index`.
        encoded: whether images of one size stay encoded. Images of several sizes, or more than fit in memory, always do.

    Returns:
        (splits, class names), where a split is (images, labels int32 (N,)), or encoded images.

    Raises:
        ValueError: if the name is unknown, or the data are missing, damaged or not images with classes.
    """
    data_dir = os.environ.get("TFDS_DATA_DIR")
    if not data_dir:
        return _read(name, forms, None, on_corrupt, encoded)
    with without_brackets(expanded(data_dir)) as folder:
        return _read(name, forms, folder, on_corrupt, encoded)


def _read(
    name: str, forms: Sequence[str], data_dir: Path | None, on_corrupt: str, encoded: bool
) -> tuple[list[Part], list[str]] | Examples:
    tfds = _tfds()
    builder = _prepared(tfds, name, forms, data_dir)
    splits, features = builder.info.splits, builder.info.features
    names = ["train", *(part for part in ("test", "validation") if part in splits)]
    if "train" not in splits or len(names) == 1:
        raise ValueError(f"expected splits train, and test or validation, in {name}. Received: {sorted(splits)}")
    shape, count = features["image"].shape, sum(splits[part].num_examples for part in names)
    if encoded or None in shape or not fits_in_memory(count * math.prod(shape)):
        return _encoded(builder, names, on_corrupt)
    with _named_damage(builder):
        parts = tfds.as_numpy(builder.as_dataset(split=names, batch_size=-1))
    return [(part["image"], part["label"].astype(np.int32)) for part in parts], features["label"].names


def _prepared(tfds: ModuleType, name: str, forms: Sequence[str], data_dir: Path | None) -> Any:
    """Returns the builder of a set of images with classes that is prepared."""
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except Exception as error:  # what is unknown or damaged ends in several errors of TFDS and protobuf
        _check_infos(data_dir or expanded(tfds.core.constants.DATA_DIR), name)
        choices = [*forms, *tfds.list_builders(with_community_datasets=False)]
        raise MissingDataError(str(unknown("dataset", name, choices))) from error
    features = dict(builder.info.features.items())
    if not isinstance(features.get("label"), tfds.features.ClassLabel) or "image" not in features:
        raise ValueError(
            f"expected a TFDS data set with features image and label (a class). Received: {sorted(features)}"
        )
    if not builder.is_prepared():
        advice = f"prepare it with `tfds build {name}`, or set TFDS_DATA_DIR to the folder that has it"
        raise MissingDataError(f"expected {name} prepared for TFDS; {advice}. Received: no data in {builder.data_path}")
    return builder


def _encoded(builder: Any, names: list[str], on_corrupt: str) -> Examples:
    splits = [builder.info.splits[name] for name in names]
    files = [(part, Path(path).resolve()) for part, split in enumerate(splits) for path in split.filepaths]
    of_file, paths = zip(*files, strict=True)
    features = {"image": "image", "label": "label", "on_corrupt": on_corrupt}
    form = builder.info.file_format.value
    if form not in ("tfrecord", "array_record"):
        advice = "prepare it with `tfds build --file_format=tfrecord`"
        raise ValueError(f"expected {builder.name} as TFRecords or ArrayRecords; {advice}. Received: {form}")
    with _named_damage(builder):
        if form == "tfrecord":
            images, labels, _ = read_index(paths, **features)
            parts = np.array(of_file)[images.file]
        else:
            images, labels = read_array_records(paths, **features)
            parts = np.repeat(range(len(splits)), [split.num_examples for split in splits])
    parts = np.where(labels >= 0, parts, -1)  # those of ImageNet's test images are not known
    return Examples(images, labels.astype(np.int32), parts, builder.info.features["label"].names)


@contextmanager
def _named_damage(builder: Any) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # of TFDS and TensorFlow, for missing, truncated and changed records
        reason = re.sub(r"\{\{.*?\}\} ?", "", one_line(error))
        raise ValueError(
            f"expected {builder.name} as TFDS prepares it; {REPREPARE}. Received: '{builder.data_path}' ({reason})"
        ) from error


def _tfds() -> ModuleType:
    tfds = extra("tensorflow_datasets", TFDS)
    if not hasattr(tfds, "builder"):  # it prints an error of its own import, and goes on
        fits = "for protobuf 5 install it with `pip install 'tensorflow-metadata<1.18'`"
        found = installed(("tensorflow-metadata", "protobuf"))
        raise ImportError(f"expected a tensorflow-metadata that fits protobuf; {fits}. Received: {found}")
    return tfds


def _check_infos(root: Path, name: str) -> None:
    """Raises ValueError if a dataset_info.json of the set is damaged."""
    (base,) = re.match(r"(\w*)", name).groups()
    for file in (root / base).rglob("dataset_info.json") if base else ():
        read_json(file, Info, f"the dataset_info.json of a set that TFDS has prepared; {REPREPARE}")
