"""Writes metadata into exported files, and reads metadata back without TensorFlow.

An ONNX file stores each entry as a JSON value in `metadata_props`. A TFLite file stores all entries as one JSON object in a
buffer named `keras_mgnet`. A SavedModel stores the same JSON object as a file in `assets.extra`, which loaders ignore.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired

import numpy as np
from typing_extensions import TypedDict

from keras_mgnet.export.runtimes import artifact_format, onnx_session, tflite_interpreter, undamaged
from keras_mgnet.extras import EXPORT, extra
from keras_mgnet.schema import open_ended, parse_json
from keras_mgnet.version import __version__

if TYPE_CHECKING:
    from keras_mgnet.export.servable import Servable

BUFFER = "keras_mgnet"
ASSET = f"assets.extra/{BUFFER}.json"


@open_ended
class Scale(TypedDict):
    """The normalisation (image - mean) / std of pixels scaled to [0, 1], with one number per channel."""

    mean: list[float]
    std: list[float]


@open_ended
class Metadata(TypedDict):
    """What `entries` returns and an artifact holds."""

    producer: str
    class_names: NotRequired[list[str]]
    applied_normalization: NotRequired[Scale]
    normalization: NotRequired[Scale]  # `applied_normalization` in earlier versions
    input_range: NotRequired[list[int]]


def entries(servable: Servable, class_names: Sequence[str] | None = None) -> dict[str, Any]:
    """Returns the metadata of a model, ready for JSON.

    - "producer": name and version of this package.
    - "class_names": a list of strings; only if `class_names` is given.
    - "applied_normalization": {"mean", "std"}, lists with one number per channel for pixels scaled to [0, 1]. The exported file
      normalises its images itself. Only with a normalisation.
    - "input_range": [0, 255]; only with a normalisation.
    """
    told: dict[str, Any] = {"producer": f"keras_mgnet {__version__}"}
    if class_names is not None:
        told["class_names"] = servable.check_names(class_names)
    if servable.normalization is not None:
        mean, std = (list(map(_shortest, part)) for part in servable.normalization)
        told |= {"applied_normalization": {"mean": mean, "std": std}, "input_range": [0, 255]}
    return told


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Reads the metadata of a SavedModel version folder, a .tflite or a .onnx file. `entries` lists the keys.

    Returns {} for a file that this package did not write.

    Raises:
        ValueError: if `path` is not such a folder or file, or is damaged.

    Example:
        >>> import tempfile
        >>> from keras_mgnet import MgNet, export
        >>> with tempfile.TemporaryDirectory() as out:
        ...     model = MgNet((1,), 4, input_shape=(8, 8, 1), classes=2)
        ...     path = export.onnx(model, f"{out}/model.onnx", class_names=["cat", "dog"])
        ...     read_metadata(path)["class_names"]
        ['cat', 'dog']
    """
    path = Path(path)
    read = READERS[artifact_format(path)]
    with undamaged(path):
        return read(path)


def write_onnx(proto, told: dict[str, Any]) -> None:
    """Stores the entries in an ONNX model. Removes all metadata that the model had."""
    proto.producer_name, proto.producer_version = "keras_mgnet", __version__
    extra("onnx", EXPORT).helper.set_model_props(proto, {name: json.dumps(value) for name, value in told.items()})


def write_tflite(model, told: dict[str, Any]) -> None:
    """Appends the entries to a TFLite model, an object of LiteRT's `ModelT`."""
    schema = extra("ai_edge_litert.schema_py_generated", EXPORT)
    entry, buffer = schema.MetadataT(), schema.BufferT()
    buffer.data = np.frombuffer(json.dumps(told).encode(), "uint8")
    entry.name, entry.buffer = BUFFER.encode(), len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]


def _shortest(number: np.float32) -> float:
    """Returns the float with the fewest digits that identify a float32: 0.4 instead of 0.4000000059604645."""
    return float(str(number))


def _read_savedmodel(path: Path) -> dict[str, Any]:
    file = path / ASSET
    return parse_json(file.read_bytes(), Metadata) if file.is_file() else {}


def _read_onnx(path: Path) -> dict[str, Any]:
    told = onnx_session(path).get_modelmeta().custom_metadata_map
    if "producer" not in told:
        return {}
    return parse_json("{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in told.items()) + "}", Metadata)


def _read_tflite(path: Path) -> dict[str, Any]:
    tflite_interpreter(path)  # checks the file, which the schema's classes do not
    schema = extra("ai_edge_litert.schema_py_generated", EXPORT)
    model = schema.Model.GetRootAs(path.read_bytes())
    for i in range(model.MetadataLength()):
        entry = model.Metadata(i)
        if entry.Name() == BUFFER.encode():
            return parse_json(model.Buffers(entry.Buffer()).DataAsNumpy().tobytes(), Metadata)
    return {}


READERS = {"savedmodel": _read_savedmodel, "onnx": _read_onnx, "tflite": _read_tflite}
