"""The table of export formats, and the export to several formats at once."""

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
    target: str  # file or folder that the exporter writes; "{name}" stands for the name of the export
    summary: str  # use of the format, in a few words
    options: dict[str, Any] = field(default_factory=dict)  # arguments of the exporter; if any, `calibration` too


FORMATS = {
    "savedmodel": Format(savedmodel, "{name}", "TensorFlow Serving, one folder per version"),
    "tflite": Format(tflite, "{name}.tflite", "LiteRT on phones and small boards, one file"),
    "tflite_float16": Format(tflite, "{name}.float16.tflite", "float16 weights, half size", {"quantize": "float16"}),
    "tflite_dynamic": Format(tflite, "{name}.dynamic.tflite", "int8 weights, quarter size", {"quantize": "dynamic"}),
    "tflite_int8": Format(tflite, "{name}.int8.tflite", "all in int8, for integer hardware", {"quantize": "int8"}),
    "onnx": Format(onnx, "{name}.onnx", "ONNX Runtime and browsers, one file"),
    "onnx_dynamic": Format(onnx, "{name}.dynamic.onnx", "8-bit weights, quarter size", {"quantize": "dynamic"}),
    "onnx_int8": Format(onnx, "{name}.int8.onnx", "8-bit weights and activations", {"quantize": "int8"}),
}
FLOAT32 = ("savedmodel", "tflite", "onnx")  # exported by default


def check_formats(formats: Iterable[str]) -> list[str]:
    """Returns the formats as a list. Raises ValueError if a format is not a key of `FORMATS`."""
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
    answers: str | None = None,
) -> list[Report]:
    """Writes a model in several formats and returns one report per format.

    Args:
        model: a network of this package with its classifier, a denoiser, or any functional Keras model with one image as input
            and one output (N, classes).
        out_dir: the output folder, for the files that `FORMATS` names: <name>/<version>/, <name>.onnx, ...
        formats: keys of `FORMATS`.
        name: name of the files and of the served model; by default the name of `model`.
        class_names, normalization, samples: as in `savedmodel`.
        labels: the class of each sample, or for denoisers the clean images. With labels, the reports contain the accuracy or
            PSNR.
        calibration: as in `tflite`, for formats with int8 activations. Training images are best.
        answers: the meaning of the output (N, classes). By default the last activation decides, then loss and metrics.

            - "softmax": logits of exclusive classes. The file returns logits, probabilities and the likeliest class.
            - "sigmoid": logits of independent labels. The file returns logits, probabilities and 0 or 1 for each label.
            - "none": other numbers. The file returns them as `outputs`.

    Raises:
        ValueError: if a format is unknown, the name cannot be part of a URL, or the meaning of the output cannot be known; raised
            before anything is written. The errors of `savedmodel`, `tflite` and `onnx` are raised too. Files that are already
            written stay.

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
    compared = Servable(model, normalization, answers).images(samples)
    common = {"class_names": class_names, "normalization": normalization, "samples": samples, "answers": answers}
    reports = []
    for format in formats:
        row = FORMATS[format]
        options = row.options and {"calibration": calibration, **row.options}
        path = row.export(model, Path(out_dir) / row.target.format(name=name), **common, **options)
        report = verify(model, path, compared, normalization=normalization, labels=labels, answers=answers)
        reports.append(replace(report, format=format))
    return reports
