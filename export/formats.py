"""The export formats as data, and the export to several of them at once."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_mgnet.errors import check_known
from keras_mgnet.export.servable import Normalization, Servable
from keras_mgnet.export.to_onnx import onnx
from keras_mgnet.export.to_savedmodel import savedmodel
from keras_mgnet.export.to_tflite import tflite
from keras_mgnet.export.verification import Report, verify


@dataclass(frozen=True)
class Format:
    """One export format."""

    export: Callable[..., Path]  # the exporter
    target: str  # what it writes in the output folder; "{name}" stands for the name of the export
    summary: str  # what it is for, in a few words
    options: dict[str, Any] = field(default_factory=dict)  # of the exporter; with any, it takes `calibration` too


FORMATS = {
    "savedmodel": Format(savedmodel, "{name}", "TensorFlow Serving, one folder per version"),
    "tflite": Format(tflite, "{name}.tflite", "LiteRT on phones and small boards, one file"),
    "tflite_float16": Format(tflite, "{name}.float16.tflite", "TFLite in half the bytes", {"quantize": "float16"}),
    "tflite_dynamic": Format(tflite, "{name}.dynamic.tflite", "a quarter, weights in int8", {"quantize": "dynamic"}),
    "tflite_int8": Format(tflite, "{name}.int8.tflite", "a quarter, for integer hardware", {"quantize": "int8"}),
    "onnx": Format(onnx, "{name}.onnx", "ONNX Runtime and browsers, one file"),
    "onnx_dynamic": Format(onnx, "{name}.dynamic.onnx", "a quarter, weights in int8", {"quantize": "dynamic"}),
    "onnx_int8": Format(onnx, "{name}.int8.onnx", "a quarter, products in int8", {"quantize": "int8"}),
}
FLOAT32 = ("savedmodel", "tflite", "onnx")  # exported by default


def check_formats(formats: Iterable[str]) -> list[str]:
    """Returns formats as a list. Raises ValueError if one is not a key of `FORMATS`."""
    formats = list(formats)
    for name in formats:
        check_known("export format", name, FORMATS)
    return formats


def export_formats(
    model: keras.Model,
    out_dir: str | Path,
    formats: Iterable[str],
    *,
    name: str | None = None,
    class_names: Sequence[str] | None = None,
    normalization: Normalization | None = None,
    samples: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    calibration: np.ndarray | None = None,
) -> list[Report]:
    """Writes a model in several formats and returns a report on each written file.

    Args:
        model: a network of this package with its classifier, a denoiser, or any functional Keras model with one image as input
            and one output (N, classes), logits or a softmax.
        out_dir: the output folder, for the files that `FORMATS` names: <name>/<version>/, <name>.onnx, ...
        formats: keys of `FORMATS`.
        name: name of the files and of the served model; by default that of the model.
        class_names, normalization, samples: as in `savedmodel`.
        labels: the class of each sample, or each sample without noise, for the accuracy or PSNR in the reports.
        calibration: as in `tflite`, for formats with activations in int8; best taken from the training set.

    Raises:
        ValueError: before anything is written, if a format is unknown or the name cannot be part of a URL. The exporters
            raise their own errors; files already written stay.

    Example:
        >>> import tempfile
        >>> from keras_mgnet import MgNet
        >>> with tempfile.TemporaryDirectory() as out:
        ...     reports = export_formats(MgNet((1,), 4, input_shape=(8, 8, 1)), out, ["tflite", "tflite_float16"])
        >>> [report.path.name for report in reports]
        ['mgnet.tflite', 'mgnet.float16.tflite']
    """
    formats, name = check_formats(formats), name or model.name
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(f"expected name to be of letters, digits, '_', '-' and '.'. Received: name={name!r}")
    compared = Servable(model, normalization).images(samples)
    common = {"class_names": class_names, "normalization": normalization, "samples": samples}
    reports = []
    for format in formats:
        row = FORMATS[format]
        options = row.options and {"calibration": calibration, **row.options}
        path = row.export(model, Path(out_dir) / row.target.format(name=name), **common, **options)
        report = verify(model, path, compared, normalization=normalization, labels=labels)
        reports.append(replace(report, format=format))
    return reports
