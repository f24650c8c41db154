"""Whether an artifact computes what Keras computes, measured through the runtime that will serve it."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from keras_mgnet.export.runtimes import Runner, artifact_format, open_artifact, tflite_dtypes
from keras_mgnet.export.servable import Normalization, Servable

TOLERANCES = {"float32": 1e-3, "float16": 3e-2, "int8": 0.25}  # of max(1, largest logit), by the narrowest stored type
BATCH_SIZE = 64
WARM_UP, CALLS = 3, 15


@dataclass(frozen=True)
class Report:
    """What was measured of an artifact.

    Attributes:
        format: "savedmodel", "tflite" or "onnx".
        path: of the file or version folder.
        size_bytes: of the file, or of all files in the folder.
        max_difference: largest absolute difference of a logit from the float32 Keras model.
        agreement: fraction of samples that get the same class.
        latency_ms: median of single calls with one image, after warm-up.
        samples: number of images compared.
    """

    format: str
    path: Path
    size_bytes: int
    max_difference: float
    agreement: float
    latency_ms: float
    samples: int


def verify(
    model: keras.Model,
    path: str | Path,
    samples: np.ndarray,
    *,
    normalization: Normalization | None = None,
    tolerance: float | None = None,
) -> Report:
    """Compares an artifact with the Keras model it came from.

    Args:
        model: the model.
        path: of a SavedModel version folder, a .tflite or a .onnx file.
        samples: images (N, H, W, C) as the artifact takes them.
        normalization: what the artifact was exported with.
        tolerance: largest absolute difference of a logit; None for max(1, largest logit) times 1e-3, or times 0.03 and
            0.25 where weights are stored in float16 and int8.

    Raises:
        ValueError: where a logit differs by more than the tolerance, or `path` is no artifact.

    Example:
        >>> import tempfile
        >>> from keras_mgnet import MgNet, export
        >>> model = MgNet((1,), 4, input_shape=(8, 8, 1))
        >>> with tempfile.TemporaryDirectory() as out:
        ...     report = verify(model, export.onnx(model, f"{out}/model.onnx"), np.ones((2, 8, 8, 1)))
        >>> report.format, report.agreement, report.samples
        ('onnx', 1.0, 2)
    """
    path = Path(path)
    servable = Servable(model, normalization)
    samples = servable.images(samples)
    max_difference, agreement = compare(servable, path, samples, tolerance)
    files = [path] if path.is_file() else [entry for entry in path.rglob("*") if entry.is_file()]
    return Report(
        format=artifact_format(path),
        path=path,
        size_bytes=sum(file.stat().st_size for file in files),
        max_difference=max_difference,
        agreement=agreement,
        latency_ms=_latency_ms(open_artifact(path), samples[:1]),
        samples=len(samples),
    )


def compare(servable: Servable, path: Path, samples: np.ndarray, tolerance: float | None = None) -> tuple[float, float]:
    """Returns (largest difference of a logit, agreement of classes) on samples; raises where the first is too large."""
    run = open_artifact(path)
    batches = [samples[start : start + BATCH_SIZE] for start in range(0, len(samples), BATCH_SIZE)]
    with _full_float32():
        expected = np.concatenate([keras.ops.convert_to_numpy(servable(batch)) for batch in batches])
        received = np.concatenate([run(batch)["logits"] for batch in batches])
    difference = float(np.abs(expected - received).max())
    if tolerance is None:
        tolerance = TOLERANCES[_precision(path)] * max(1.0, float(np.abs(expected).max()))
    if not difference <= tolerance:  # so that NaN fails too
        raise ValueError(
            f"expected '{path.name}' to give Keras' logits within {tolerance:.3g}. Received: {difference:.3g}"
        )
    return difference, float(np.mean(expected.argmax(-1) == received.argmax(-1)))


def _precision(path: Path) -> str:
    dtypes = tflite_dtypes(path) if artifact_format(path) == "tflite" else ()
    return next((name for name in ("int8", "float16") if name in dtypes), "float32")


def _latency_ms(run: Runner, image: np.ndarray) -> float:
    seconds = []
    for _ in range(WARM_UP + CALLS):
        start = time.perf_counter()
        run(image)
        seconds.append(time.perf_counter() - start)
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
