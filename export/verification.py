"""Compares an exported file with its Keras model. The file runs in TensorFlow, LiteRT or ONNX Runtime.

An artifact is a SavedModel version folder, a .tflite file or an .onnx file.
"""

import math
import statistics
import timeit
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_mgnet import compat
from keras_mgnet.export.answers import CLASSES, Answer
from keras_mgnet.export.comparison import compare, precision_of
from keras_mgnet.export.runtimes import Runner, artifact_format, open_artifact
from keras_mgnet.export.servable import Normalization, Servable

WARM_UP, CALLS = 3, 15


@dataclass(frozen=True)
class Report:
    """The measurements of an artifact.

    Attributes:
        format: "savedmodel", "tflite" or "onnx". A report of `export_formats` has the key of `FORMATS`, such as "tflite_int8".
        path: the file or version folder.
        size_bytes: size of the file, or of all files in the folder.
        size_ratio: size_bytes divided by four times the number of parameters, frozen ones included. A shared kernel counts once.
        precision: the lowest precision of weights in the file, "float32", "float16" or "int8".
        max_difference: largest absolute difference between the artifact and the float32 Keras model, of a logit or a pixel.
        batch_difference: largest absolute difference of a logit or a pixel when the same image is in a batch of 1, 2 or 7
            images, or in a batch of up to 64.
        agreement: fraction of samples with the same class as in Keras, or of pixels with the same grey value.
        latency_ms: median time of a call with one image, after warm-up calls.
        samples: number of images compared.
        answer: description of the outputs, for classifiers or for denoisers.
        accuracy, keras_accuracy: accuracy of the artifact and of the float32 Keras model; None without labels.
        psnr, keras_psnr: for denoisers, mean PSNR in dB of the artifact and of the float32 Keras model; None without clean
            images.
        l2, keras_l2: for networks of functions, mean relative L2 error of the artifact and of the float32 Keras model; None
            without the true functions.
    """

    format: str
    path: Path
    size_bytes: int
    size_ratio: float
    precision: str
    max_difference: float
    batch_difference: float
    agreement: float
    latency_ms: float
    samples: int
    answer: Answer = CLASSES
    accuracy: float | None = None
    keras_accuracy: float | None = None
    psnr: float | None = None
    keras_psnr: float | None = None
    l2: float | None = None
    keras_l2: float | None = None

    @property
    def quality(self) -> tuple[float | None, float | None]:
        """The measure of quality (accuracy, PSNR or relative L2 error) of the artifact and of Keras. Both None without labels."""
        return getattr(self, self.answer.measure), getattr(self, f"keras_{self.answer.measure}")

    @property
    def drop(self) -> float | None:
        """The measure of Keras minus that of the artifact: negative for a relative L2 error that grows. None without labels."""
        own, of_keras = self.quality
        return None if own is None else of_keras - own

    def numbers(self) -> dict[str, Any]:
        """Returns a dictionary of `drop` and of all attributes except `answer`."""
        names = [field.name for field in fields(self) if field.name != "answer"]
        return {name: getattr(self, name) for name in (*names, "drop")}


def verify(
    model: keras.Model,
    path: str | Path,
    samples: np.ndarray,
    *,
    normalization: Normalization | None = None,
    labels: np.ndarray | None = None,
    tolerance: float | None = None,
    answers: str | None = None,
) -> Report:
    """Compares an exported file with its Keras model, in batches of 1, 2, 7 and up to 64. Raises ValueError if they differ.

    The limits depend on the precision of the weights in the file:

    - float32: The largest difference of a logit from Keras, and between batch sizes, is at most 1e-4 * scale. Here scale is
      max(1, largest absolute value of a logit of Keras).
    - int8 and float16, classifiers: The mean over the classes of an image is subtracted from the logits and from their errors.
      Then the root mean square (RMS) of the errors is divided by the RMS of the logits. The limit of this quotient is 0.5 for
      int8 and 0.03 for float16.
    - int8 and float16, denoisers: The same quotient for pixels, with the mean over the pixels of an image. The limit is 0.1 for
      int8 and 0.01 for float16.
    - int8 and float16, networks from functions to functions: The same quotient for values, and no mean is subtracted. The limit
      is 0.2 for int8 and 0.01 for float16.

    With int8 and float16, the largest difference between batch sizes, divided by scale, has the same limit as the quotient.
    A file with random outputs fails. One sample is enough, and the model may be untrained. With labels, the report also contains
    the accuracy or PSNR.

    Args:
        model: the Keras model.
        path: a SavedModel version folder, a .tflite file or an .onnx file.
        samples: images (N, H, W, C), in the form that the file takes.
        normalization: the argument `normalization` of the export.
        labels: the classes (N,), for answers="sigmoid" 0 or 1 for each label (N, labels), for denoisers the clean images
            (N, H, W, C), for networks of functions the true functions (N, H, W, c).
        tolerance: largest absolute difference of a logit or a pixel; None for the limits above.
        answers: the argument `answers` of the export.

    Raises:
        ValueError: if a difference is larger than its limit, the classes or probabilities of the file do not follow from its
            logits, `path` is not an artifact, or the labels do not fit the samples.

    Example:
        >>> import tempfile
        >>> from keras_mgnet import MgNet, export
        >>> model = MgNet((1,), 4, input_shape=(8, 8, 1))
        >>> with tempfile.TemporaryDirectory() as out:
        ...     report = verify(model, export.onnx(model, f"{out}/model.onnx"), np.ones((2, 8, 8, 1)))
        >>> report.format, report.precision, report.agreement, report.samples
        ('onnx', 'float32', 1.0, 2)
    """
    path = Path(path)
    servable = Servable(model, normalization, answers)
    samples = servable.images(samples)
    labels = None if labels is None else _check_labels(labels, servable, samples.shape)
    compared = compare(servable, path, samples, tolerance)
    size = sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())
    answer, qualities = servable.answer, {}
    if labels is not None:
        values = {answer.measure: compared.received, f"keras_{answer.measure}": compared.expected}
        qualities = {name: answer.quality(value, labels) for name, value in values.items()}
    return Report(
        format=artifact_format(path),
        path=path,
        size_bytes=size,
        size_ratio=size / (4 * _count_parameters(model)),
        precision=precision_of(path),
        max_difference=compared.max_difference,
        batch_difference=compared.batch_difference,
        agreement=compared.agreement,
        latency_ms=_latency_ms(open_artifact(path), samples[:1]),
        samples=len(samples),
        answer=answer,
        **qualities,
    )


def _check_labels(labels: np.ndarray, servable: Servable, shape: tuple[int, ...]) -> np.ndarray:
    labels = np.asarray(labels)
    expected, is_so = servable.answer.truth(labels, shape, servable.classes)
    if not is_so:
        raise ValueError(f"expected {expected} as labels. Received: {labels.dtype} {labels.shape}")
    return labels


def _count_parameters(model: keras.Model) -> int:
    variables = {id(v): v for layer in compat.flatten_layers(model) for v in compat.parameters(layer)}
    return sum(math.prod(variable.shape) for variable in variables.values())


def _latency_ms(run: Runner, image: np.ndarray) -> float:
    seconds = timeit.repeat(lambda: run(image), number=1, repeat=WARM_UP + CALLS)
    return 1000 * statistics.median(seconds[WARM_UP:])
