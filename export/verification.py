"""Compares an exported file with its Keras model. The file runs in TensorFlow, LiteRT or ONNX Runtime.

An artifact is a SavedModel version folder, a .tflite file or an .onnx file.
"""

import math
import statistics
import timeit
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_mgnet import compat
from keras_mgnet.export.answers import CLASSES, Answer
from keras_mgnet.export.runtimes import Runner, artifact_format, open_artifact, tflite_dtypes
from keras_mgnet.export.servable import Normalization, Servable
from keras_mgnet.extras import EXPORT, extra

TOLERANCE = 1e-4  # float32 files: largest difference of a logit, divided by max(1, largest absolute value of a logit)
CONTRADICTION = 0.02  # largest difference of a probability from the softmax of the logits; eight bits round this much
BATCHES = (1, 2, 7)
BATCH_SIZE = 64
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


@dataclass(frozen=True, eq=False)
class Comparison:
    """The outputs of Keras and of an artifact on the same images.

    Attributes:
        expected, received: the output of Keras and of the artifact: logits (N, classes) or images (N, H, W, C).
        batch_difference: as in `Report`.
        answer: description of the outputs.
    """

    expected: np.ndarray
    received: np.ndarray
    batch_difference: float
    answer: Answer = CLASSES

    @property
    def max_difference(self) -> float:
        """Largest absolute difference of a logit or a pixel."""
        return float(np.abs(self.expected - self.received).max())

    @property
    def agreement(self) -> float:
        """Fraction of samples with the same class, or of pixels with the same grey value."""
        return float(np.mean(self.answer.decided(self.expected) == self.answer.decided(self.received)))

    @property
    def scale(self) -> float:
        """max(1, largest absolute value of a logit or a pixel of Keras)."""
        return max(1.0, float(np.abs(self.expected).max()))

    @property
    def noise(self) -> float:
        """RMS(error - mean of the error) / RMS(expected - mean of expected), where RMS is the root mean square over all samples.

        Each image has its own means. For logits they are over the classes, because adding a constant to all logits does not
        change the probabilities. For denoised images they are over the pixels.
        """
        expected, error = map(self.answer.centred, (self.expected, self.received - self.expected))
        return float(np.linalg.norm(error) / max(np.linalg.norm(expected), np.finfo(np.float32).tiny))


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
        precision=_precision(path),
        max_difference=compared.max_difference,
        batch_difference=compared.batch_difference,
        agreement=compared.agreement,
        latency_ms=_latency_ms(open_artifact(path), samples[:1]),
        samples=len(samples),
        answer=answer,
        **qualities,
    )


def compare(servable: Servable, path: Path, samples: np.ndarray, tolerance: float | None = None) -> Comparison:
    """Runs an artifact and Keras on samples. Raises ValueError if their outputs differ by more than the limit, see `verify`."""
    outputs_of, answer = open_artifact(path), servable.answer

    def run(batch):
        return outputs_of(batch)[answer.name]

    received = outputs_of(samples[:1]).keys()
    if not answer.outputs.keys() <= received:
        raise ValueError(
            f"expected '{path.name}' to return {', '.join(answer.outputs)}. Received: {', '.join(received)}"
        )

    with _full_float32():
        expected = _in_batches(lambda batch: keras.ops.convert_to_numpy(servable(batch)), samples)
        received = _in_batches(run, samples)
        if received.shape != expected.shape:
            wanted = f"{answer.name} {expected.shape}"
            raise ValueError(f"expected '{path.name}' to give {wanted}. Received: {received.shape}")
        compared = Comparison(expected, received, _batch_difference(run, samples, received), answer)
    measured, limit, what = _judge(compared, _precision(path), tolerance)
    if not measured <= limit:  # so that NaN fails too
        raise ValueError(
            f"expected '{path.name}' to give Keras' {answer.name} within {limit:.3g}{what}. Received: {measured:.3g}"
        )
    if (contradiction := answer.contradiction(outputs_of(samples[:BATCH_SIZE]))) > CONTRADICTION:
        raise ValueError(
            f"expected the outputs {', '.join(answer.outputs)} of '{path.name}' to agree. "
            f"Received: a difference of {contradiction:.3g}"
        )
    return compared


def _judge(compared: Comparison, precision: str, tolerance: float | None) -> tuple[float, float, str]:
    """Returns (measured value, limit of this value, text after the limit in the error)."""
    if tolerance is None and precision in compared.answer.noise:
        noise = np.max([compared.noise, compared.batch_difference / compared.scale])
        return float(noise), compared.answer.noise[precision], " of their spread"
    worst = float(np.max([compared.max_difference, compared.batch_difference]))
    return worst, TOLERANCE * compared.scale if tolerance is None else tolerance, " in every batch"


def _in_batches(run: Callable[[np.ndarray], np.ndarray], samples: np.ndarray) -> np.ndarray:
    return np.concatenate([run(samples[start : start + BATCH_SIZE]) for start in range(0, len(samples), BATCH_SIZE)])


def _batch_difference(run: Callable[[np.ndarray], np.ndarray], samples: np.ndarray, received: np.ndarray) -> float:
    """Returns the largest difference of a logit or pixel between `received` (batches of up to 64) and batches of 1, 2 and 7."""
    batches = [np.arange(size) % len(samples) for size in BATCHES]
    return float(np.max([np.abs(run(samples[batch]) - received[batch]).max() for batch in batches]))


def _check_labels(labels: np.ndarray, servable: Servable, shape: tuple[int, ...]) -> np.ndarray:
    labels = np.asarray(labels)
    expected, is_so = servable.answer.truth(labels, shape, servable.classes)
    if not is_so:
        raise ValueError(f"expected {expected} as labels. Received: {labels.dtype} {labels.shape}")
    return labels


def _count_parameters(model: keras.Model) -> int:
    variables = {id(v): v for layer in compat.flatten_layers(model) for v in compat.parameters(layer)}
    return sum(math.prod(variable.shape) for variable in variables.values())


def _precision(path: Path) -> str:
    stored = {name.removeprefix("u") for name in STORED_TYPES[artifact_format(path)](path)}  # int8 and uint8 alike
    return next((name for name in ("int8", "float16") if name in stored), "float32")


def _onnx_dtypes(path: Path) -> set[str]:
    onnx = extra("onnx", EXPORT)
    return {onnx.TensorProto.DataType.Name(array.data_type).lower() for array in onnx.load(str(path)).graph.initializer}


STORED_TYPES = {"savedmodel": lambda path: {"float32"}, "tflite": tflite_dtypes, "onnx": _onnx_dtypes}


def _latency_ms(run: Runner, image: np.ndarray) -> float:
    seconds = timeit.repeat(lambda: run(image), number=1, repeat=WARM_UP + CALLS)
    return 1000 * statistics.median(seconds[WARM_UP:])


@contextmanager
def _full_float32() -> Iterator[None]:
    """Turns off TensorFloat-32 inside a `with` block. TensorFloat-32 rounds the factors of convolutions to 10 bits on GPUs."""
    import tensorflow as tf

    was_on = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(was_on)
