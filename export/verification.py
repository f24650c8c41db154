"""Whether an artifact computes what Keras computes, measured through the runtime that will serve it."""

import statistics
import timeit
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_mgnet.description import count_params
from keras_mgnet.export.answers import CLASSES, Answer
from keras_mgnet.export.runtimes import Runner, artifact_format, open_artifact, tflite_dtypes
from keras_mgnet.export.servable import Normalization, Servable
from keras_mgnet.extras import EXPORT, extra

TOLERANCE = 1e-4  # of a float32 artifact: the largest difference of a logit, in units of max(1, largest logit)
BATCHES = (1, 2, 7)
BATCH_SIZE = 64
WARM_UP, CALLS = 3, 15


@dataclass(frozen=True)
class Report:
    """What was measured of an artifact.

    Attributes:
        format: "savedmodel", "tflite" or "onnx"; of `export_formats` the key of `FORMATS`.
        path: of the file or version folder.
        size_bytes: of the file, or of all files in the folder.
        size_ratio: size_bytes over four times the trainable parameters, every shared tensor counted once.
        precision: of the narrowest weights in the file: "float32", "float16" or "int8".
        max_difference: largest absolute difference of a logit, or a pixel, from the float32 Keras model.
        batch_difference: largest absolute difference of a logit, or a pixel, of one image in batches of 1, 2, 7 and all.
        agreement: fraction of samples that get Keras' class, or of pixels that get Keras' grey value.
        latency_ms: median of single calls with one image, after warm-up.
        samples: number of images compared.
        answer: what the model answers with.
        accuracy, keras_accuracy: fraction of samples that get their label, also by the float32 Keras model; None without labels.
        psnr, keras_psnr: of a network from images to images, mean over the samples in dB; None without images that are right.
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

    @property
    def quality(self) -> tuple[float | None, float | None]:
        """Accuracy or PSNR, and that of Keras."""
        return getattr(self, self.answer.measure), getattr(self, f"keras_{self.answer.measure}")

    @property
    def drop(self) -> float | None:
        """Accuracy or PSNR of Keras less that of the artifact; None without labels."""
        own, of_keras = self.quality
        return None if own is None else of_keras - own

    def numbers(self) -> dict[str, Any]:
        """Returns all of the above by name but `answer`."""
        names = [field.name for field in fields(self) if field.name != "answer"]
        return {name: getattr(self, name) for name in (*names, "drop")}


@dataclass(frozen=True, eq=False)
class Comparison:
    """What Keras and an artifact answer, logits (N, classes) or images, and the largest difference between batches."""

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
        """Fraction of samples with the same class, of pixels with the same grey value."""
        return float(np.mean(self.answer.decided(self.expected) == self.answer.decided(self.received)))

    @property
    def scale(self) -> float:
        """max(1, largest logit or pixel)."""
        return max(1.0, float(np.abs(self.expected).max()))

    @property
    def noise(self) -> float:
        """Root mean square error over the values' own, both less the mean over the classes, which no class sees, or over the
        pixels of an image."""
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
) -> Report:
    """Compares an artifact with the Keras model it came from, in its own runtime and in batches of 1, 2, 7 and all samples.

    Args:
        model: the model.
        path: of a SavedModel version folder, a .tflite or a .onnx file.
        samples: images (N, H, W, C) as the artifact takes them.
        normalization: what the artifact was exported with.
        labels: class of each sample (N,), or each without noise (N, H, W, C), for the accuracies or PSNR.
        tolerance: largest absolute difference of a logit or pixel. None: for float32 artifacts 1e-4 times max(1, largest
            logit), also between batches; for quantised ones a root mean square error of at most half of the logits' spread
            around their mean over the classes (0.03 where weights are float16): it asks for no trained model and for no more
            than one image, and lets no noise through. Of images it is a tenth (0.01) of the spread around their mean grey
            value. What it costs in accuracy or PSNR is reported.

    Raises:
        ValueError: where the logits are further from Keras', `path` is no artifact, or labels do not fit.

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
    servable = Servable(model, normalization)
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
        size_ratio=size / (4 * count_params(model)),
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
    """Runs an artifact and Keras on samples; raises ValueError where they are too far from each other, see `verify`."""
    outputs_of, answer = open_artifact(path), servable.answer

    def run(batch):
        return outputs_of(batch)[answer.name]

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
    return compared


def _judge(compared: Comparison, precision: str, tolerance: float | None) -> tuple[float, float, str]:
    """Returns (what was measured, its limit, its unit)."""
    if tolerance is None and precision in compared.answer.noise:
        noise = np.max([compared.noise, compared.batch_difference / compared.scale])
        return float(noise), compared.answer.noise[precision], " of their spread"
    worst = float(np.max([compared.max_difference, compared.batch_difference]))
    return worst, TOLERANCE * compared.scale if tolerance is None else tolerance, " in every batch"


def _in_batches(run: Callable[[np.ndarray], np.ndarray], samples: np.ndarray) -> np.ndarray:
    return np.concatenate([run(samples[start : start + BATCH_SIZE]) for start in range(0, len(samples), BATCH_SIZE)])


def _batch_difference(run: Callable[[np.ndarray], np.ndarray], samples: np.ndarray, received: np.ndarray) -> float:
    """Returns the largest difference of a logit or pixel between what is received at once and in batches of other sizes."""
    batches = [np.arange(size) % len(samples) for size in BATCHES]
    return float(np.max([np.abs(run(samples[batch]) - received[batch]).max() for batch in batches]))


def _check_labels(labels: np.ndarray, servable: Servable, shape: tuple[int, ...]) -> np.ndarray:
    labels, samples, classes = np.asarray(labels), shape[0], servable.classes
    if not classes:
        if labels.shape != shape or not np.isfinite(labels).all():
            raise ValueError(f"expected images {shape} of finite numbers as labels. Received: {labels.shape}")
    elif labels.shape != (samples,) or labels.dtype.kind not in "iu" or not np.isin(labels, range(classes)).all():
        received = f"{labels.dtype} {labels.shape}"
        raise ValueError(f"expected {samples} whole numbers in 0..{classes - 1} as labels. Received: {received}")
    return labels


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
    """Turns off TensorFloat-32, in which GPUs round the factors of convolutions to 10 bits."""
    import tensorflow as tf

    was_on = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(was_on)
