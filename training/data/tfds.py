"""Reads data sets that TensorFlow Datasets (TFDS) has prepared."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated

import numpy as np
from pydantic import StringConstraints
from typing_extensions import TypedDict

from keras_mgnet.errors import MissingDataError, one_line, unknown
from keras_mgnet.extras import TFDS, extra
from keras_mgnet.files import expanded, without_brackets
from keras_mgnet.schema import open_ended, read_json
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


def read_tfds(name: str, forms: Sequence[str]) -> tuple[list[tuple[np.ndarray, np.ndarray]], list[str]]:
    """Reads a data set that TFDS has prepared.

    Returns (splits, class names). A split is (images, labels int32 (N,)). The splits are train and test, then validation if
    there is one. Without test, validation takes its place. Raises ValueError if the name is unknown, or the data are missing,
    damaged or not images with classes. The error about an unknown name also lists `forms`, other names of data sets.
    """
    data_dir = os.environ.get("TFDS_DATA_DIR")
    if not data_dir:
        return _read(name, forms, None)
    with without_brackets(expanded(data_dir)) as folder:
        return _read(name, forms, folder)


def _read(
    name: str, forms: Sequence[str], data_dir: Path | None
) -> tuple[list[tuple[np.ndarray, np.ndarray]], list[str]]:
    tfds = _tfds()
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
    if None in features["image"].shape:
        advice = "export them to one folder per class and use folder:DIR with --image-size"
        raise ValueError(f"expected images of one size; {advice}. Received: {name} {features['image'].shape}")
    if not builder.is_prepared():
        advice = f"prepare it with `tfds build {name}`, or set TFDS_DATA_DIR to the folder that has it"
        raise MissingDataError(f"expected {name} prepared for TFDS; {advice}. Received: no data in {builder.data_path}")
    splits = builder.info.splits
    names = ["train", *(part for part in ("test", "validation") if part in splits)]
    if "train" not in splits or len(names) == 1:
        raise ValueError(f"expected splits train, and test or validation, in {name}. Received: {sorted(splits)}")
    try:
        parts = tfds.as_numpy(builder.as_dataset(split=names, batch_size=-1))
    except Exception as error:  # of TFDS and TensorFlow, for missing, truncated and changed records
        reason = re.sub(r"\{\{.*?\}\} ?", "", one_line(error))
        raise ValueError(
            f"expected {name} as TFDS prepares it; {REPREPARE}. Received: '{builder.data_path}' ({reason})"
        ) from error
    return [(part["image"], part["label"].astype(np.int32)) for part in parts], features["label"].names


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
