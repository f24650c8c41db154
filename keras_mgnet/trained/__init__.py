"""Trained networks that come with the package. Each folder is a run directory with weights in half precision.

run.json             the record of the run; its field `trained` has the figures of the weights in the folder
weights.safetensors  all variables of the model, in the order of `model.weights`
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from keras_mgnet.errors import check_known
from keras_mgnet.extras import TRAIN, extra

FOLDER = Path(__file__).parent
RECORD, WEIGHTS = "run.json", "weights.safetensors"


def trained_names() -> list[str]:
    """Returns the names of the trained networks, sorted."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{WEIGHTS}"))


def trained_folder(name: str) -> Path:
    """Returns the folder of a trained network. Raises ValueError for an unknown name, and suggests the nearest."""
    check_known("trained network", name, trained_names())
    return FOLDER / name


def trained_record(name: str) -> dict[str, Any]:
    """Returns the content of run.json of a trained network."""
    return json.loads((trained_folder(name) / RECORD).read_text())


def trained_on(model: str, dataset: str) -> str | None:
    """Returns the trained network that is a published network, as it is, on a data set; None if there is none."""
    for name in trained_names():
        config = trained_record(name)["config"]
        if (config["model"], config["dataset"], config["set"]) == (model, dataset, {}):
            return name
    return None


def write_weights(file: Path, names: list[str], weights: list[np.ndarray]) -> dict[str, Any]:
    """Writes variables in half precision, and returns the size and SHA-256 of the file.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as out:
        ...     written = write_weights(Path(out, WEIGHTS), ["w"], [np.ones(3, "float32")])
        ...     read_weights(Path(out, WEIGHTS), written["sha256"])
        [array([1., 1., 1.], dtype=float32)]
    """
    from keras_mgnet.files import file_digest, staged_file

    arrays = {
        f"{i:04d} {name}": value.astype("float16") for i, (name, value) in enumerate(zip(names, weights, strict=True))
    }
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("expected weights of at most 65504, which half precision can hold. Received: larger ones")
    with staged_file(file, ".safetensors") as staged:
        extra("safetensors.numpy", TRAIN).save_file(arrays, staged)
    return file_digest(file)


def read_weights(file: Path, sha256: str) -> list[np.ndarray]:
    """Returns the variables of a file of `write_weights`, in float32. Raises ValueError if the file has another SHA-256."""
    if sha256 != hashlib.sha256(file.read_bytes()).hexdigest():
        raise ValueError(
            f"expected the file with the SHA-256 of its run.json; install the package again. Received: '{file}'"
        )
    arrays = extra("safetensors.numpy", TRAIN).load_file(file)
    return [arrays[key].astype("float32") for key in sorted(arrays)]
