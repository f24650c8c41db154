"""The export formats as data, and the export to several of them at once."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from keras_mgnet.errors import unknown
from keras_mgnet.export.servable import Normalization, Servable
from keras_mgnet.export.to_onnx import onnx
from keras_mgnet.export.to_savedmodel import savedmodel
from keras_mgnet.export.to_tflite import tflite
from keras_mgnet.export.verification import Report, verify


@dataclass(frozen=True)
class Format:
    """One export format.

    Attributes:
        export: its exporter.
        target: what it writes below the output folder; "{name}" stands for the model's name.
        summary: what it is for, in a few words.
        stores_class_names: whether the exporter takes `class_names`.
    """

    export: Callable[..., Path]
    target: str
    summary: str
    stores_class_names: bool


FORMATS = {
    "savedmodel": Format(savedmodel, "savedmodel", "TensorFlow Serving: a folder per version", True),
    "tflite": Format(tflite, "{name}.tflite", "LiteRT on phones and small boards: one file", False),
    "onnx": Format(onnx, "{name}.onnx", "ONNX Runtime: one file", True),
}


def check_formats(formats: Iterable[str]) -> list[str]:
    """Returns formats as a list; raises ValueError where one is no key of `FORMATS`."""
    formats = list(formats)
    for name in formats:
        if name not in FORMATS:
            raise unknown("export format", name, FORMATS)
    return formats


def export_formats(
    model: keras.Model,
    out_dir: str | Path,
    formats: Iterable[str],
    *,
    class_names: Sequence[str] | None = None,
    normalization: Normalization | None = None,
    samples: np.ndarray | None = None,
) -> list[Report]:
    """Writes a model in several formats and returns a report of each file as it lies there.

    Args:
        model: a model of this package with its classifier.
        out_dir: gets savedmodel/<version>/, <model name>.tflite and <model name>.onnx.
        formats: keys of `FORMATS`.
        class_names, normalization, samples: as in `savedmodel`.

    Raises:
        ValueError: for an unknown format, before anything is written; else as the exporters do, and what is already
            written stays.

    Example:
        >>> import tempfile
        >>> from keras_mgnet import MgNet
        >>> with tempfile.TemporaryDirectory() as out:
        ...     reports = export_formats(MgNet((1,), 4, input_shape=(8, 8, 1)), out, ["tflite", "onnx"])
        >>> [report.path.name for report in reports]
        ['mgnet.tflite', 'mgnet.onnx']
    """
    formats = check_formats(formats)
    samples = Servable(model, normalization).images(samples)
    common = {"normalization": normalization, "samples": samples}
    reports = []
    for row in map(FORMATS.get, formats):
        names = {"class_names": class_names} if row.stores_class_names else {}
        path = row.export(model, Path(out_dir) / row.target.format(name=model.name), **common, **names)
        reports.append(verify(model, path, samples, normalization=normalization))
    return reports
