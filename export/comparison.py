"""The outputs of an exported file beside those of Keras, and how far they may differ."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from keras_mgnet.export.answers import CLASSES, Answer
from keras_mgnet.export.runtimes import artifact_format, open_artifact, tflite_dtypes
from keras_mgnet.export.servable import Servable
from keras_mgnet.extras import EXPORT, extra

TOLERANCE = 1e-4  # float32 files: largest difference of a logit, divided by max(1, largest absolute value of a logit)
CONTRADICTION = 0.02  # largest difference of a probability from the softmax of the logits; eight bits round this much
BATCHES = (1, 2, 7)
BATCH_SIZE = 64


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
    measured, limit, what = _judge(compared, precision_of(path), tolerance)
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


def precision_of(path: Path) -> str:
    """Returns the narrowest type that an artifact stores: "int8", "float16" or "float32"."""
    stored = {name.removeprefix("u") for name in STORED_TYPES[artifact_format(path)](path)}  # int8 and uint8 alike
    return next((name for name in ("int8", "float16") if name in stored), "float32")


def _onnx_dtypes(path: Path) -> set[str]:
    onnx = extra("onnx", EXPORT)
    return {onnx.TensorProto.DataType.Name(array.data_type).lower() for array in onnx.load(str(path)).graph.initializer}


STORED_TYPES = {"savedmodel": lambda path: {"float32"}, "tflite": tflite_dtypes, "onnx": _onnx_dtypes}


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
