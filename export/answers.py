"""Describes the outputs of exported networks: classes, labels, numbers, images or functions, and their quality."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_mgnet.metrics import mean_psnr
from keras_mgnet.models.function_frame import FunctionFrame
from keras_mgnet.models.image_frame import ImageFrame
from keras_mgnet.models.meaning import NONE, SIGMOID, SOFTMAX, meaning
from keras_mgnet.models.network import Network
from keras_mgnet.relative_errors import mean_relative_l2

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Answer:
    """Describes the outputs of all networks of one kind."""

    name: str  # name of the network's output, which is compared with Keras
    value: str  # what one number of this output is, in words
    read: str  # the served output that most clients read
    outputs: dict[str, str]  # {name: shape, type and meaning} of all served outputs
    compute: Callable[[tf.Tensor], dict[str, tf.Tensor]]  # from the network's output to the served outputs by name
    images: str  # in words, the images that the exported file takes if it does not normalise them
    # Maps the network's output to the classes, labels or grey values that are the same or not. `same` is the heading.
    decided: Callable[[np.ndarray], np.ndarray]
    same: str
    unseen: tuple[int, ...]  # axes of the mean that is subtracted before `noise` is measured; () for none
    # Maps all outputs of a file to the largest difference of an output from its value computed from the other outputs.
    contradiction: Callable[[dict[str, np.ndarray]], float]
    # {precision: largest root mean square (RMS) of the error / RMS of Keras' output}, both minus their means over `unseen`.
    noise: dict[str, float]
    # The measure of quality: attribute of `Report`, label and format in tables. `scale` times a drop has the unit `unit`.
    measure: str
    label: str
    text: str
    scale: float
    unit: str
    quality: Callable[[np.ndarray, np.ndarray], float]  # computes the measure from the network's output and the truth
    # Maps the truth, the shape of the images and the number of outputs to (the truth that is expected, whether it is so).
    truth: Callable[[np.ndarray, tuple[int, ...], int], tuple[str, bool]]

    def centred(self, values: np.ndarray) -> np.ndarray:
        """Subtracts the mean over the axes `unseen` from the network's output."""
        return values - values.mean(self.unseen, keepdims=True) if self.unseen else values


def _of_classes(logits: tf.Tensor) -> dict[str, tf.Tensor]:
    import tensorflow as tf

    return {"logits": logits, "probabilities": tf.nn.softmax(logits), "classes": tf.argmax(logits, axis=-1)}


def _of_labels(logits: tf.Tensor) -> dict[str, tf.Tensor]:
    import tensorflow as tf

    return {"logits": logits, "probabilities": tf.sigmoid(logits), "labels": tf.cast(logits > 0, tf.int64)}


def _contradiction_of_labels(outputs: dict[str, np.ndarray]) -> float:
    """Returns the largest error of a probability, sigmoid(logits), or 1 if a label is not whether its logit is positive."""
    error = np.abs(outputs["probabilities"] - (1 + np.tanh(outputs["logits"] / 2)) / 2).max()
    return float(error) if np.array_equal(outputs["labels"], outputs["logits"] > 0) else 1.0


def _contradiction_of_classes(outputs: dict[str, np.ndarray]) -> float:
    """Returns the largest error of a probability, softmax(logits), or 1 if a class is not the index of the largest logit."""
    powers = np.exp(outputs["logits"] - outputs["logits"].max(-1, keepdims=True))
    error = np.abs(outputs["probabilities"] - powers / powers.sum(-1, keepdims=True)).max()
    return float(error) if np.array_equal(outputs["classes"], outputs["logits"].argmax(-1)) else 1.0


def _true_classes(labels: np.ndarray, shape: tuple[int, ...], outputs: int) -> tuple[str, bool]:
    is_so = labels.shape == shape[:1] and labels.dtype.kind in "iu" and bool(np.isin(labels, range(outputs)).all())
    return f"{shape[0]} whole numbers in 0..{outputs - 1}", is_so


def _true_labels(labels: np.ndarray, shape: tuple[int, ...], outputs: int) -> tuple[str, bool]:
    is_so = labels.shape == (shape[0], outputs) and bool(np.isin(labels, (0, 1)).all())
    return f"0 or 1 in an array {(shape[0], outputs)}", is_so


def _true_images(images: np.ndarray, shape: tuple[int, ...], outputs: int) -> tuple[str, bool]:
    return f"images {shape} of finite numbers", images.shape == shape and bool(np.isfinite(images).all())


CLASSES = Answer(
    name="logits",
    value="a logit",
    read="classes",
    outputs={
        "logits": "(N, classes), float32",
        "probabilities": "(N, classes), float32, the softmax of the logits",
        "classes": "(N,), int64, the index of the largest logit",
    },
    compute=_of_classes,
    images="as the network takes them",
    decided=lambda logits: logits.argmax(-1),
    same="same class",
    unseen=(-1,),
    contradiction=_contradiction_of_classes,
    noise={"float16": 0.03, "int8": 0.5},
    measure="accuracy",
    label="accuracy",
    text="{:.2%}",
    scale=100.0,
    unit="points",
    quality=lambda logits, labels: float(np.mean(logits.argmax(-1) == labels)),
    truth=_true_classes,
)
LABELS = replace(
    CLASSES,
    read="labels",
    outputs={
        "logits": "(N, labels), float32",
        "probabilities": "(N, labels), float32, the sigmoid of each logit",
        "labels": "(N, labels), int64, 1 if the probability is above 1/2, else 0",
    },
    compute=_of_labels,
    decided=lambda logits: logits > 0,
    same="same labels",
    unseen=(),
    contradiction=_contradiction_of_labels,
    quality=lambda logits, labels: float(np.mean((logits > 0) == labels)),
    truth=_true_labels,
)
NUMBERS = replace(  # without labels, so that `quality` is never computed
    LABELS,
    name="outputs",
    value="an output",
    read="outputs",
    outputs={"outputs": "(N, outputs), float32, as the network returns them"},
    compute=lambda outputs: {"outputs": outputs},
    decided=np.sign,
    same="same sign",
    contradiction=lambda outputs: 0.0,
    truth=lambda labels, shape, outputs: ("None", False),
)
IMAGES = Answer(
    name="denoised",
    value="a grey value",
    read="denoised",
    outputs={"denoised": "(N, H, W, 1), float32, the image without noise, neither clipped nor rounded"},
    compute=lambda image: {"denoised": image},
    images="grey values 0..255 plus noise",
    decided=np.rint,
    same="same grey value",
    unseen=(1, 2, 3),
    contradiction=lambda outputs: 0.0,
    noise={"float16": 0.01, "int8": 0.1},
    measure="psnr",
    label="PSNR",
    text="{:.2f} dB",
    scale=1.0,
    unit="dB",
    quality=lambda images, clean: mean_psnr(clean, images),
    truth=_true_images,
)
FUNCTIONS = replace(
    IMAGES,
    name="function",
    value="a value",
    read="function",
    outputs={"function": "(N, H, W, c), float32, the output function on the grid of the input"},
    compute=lambda function: {"function": function},
    images="the input function on its grid, in the units of the training data",
    decided=np.sign,
    same="same sign",
    unseen=(),
    noise={"float16": 0.01, "int8": 0.2},
    measure="l2",
    label="relative L2 error",
    text="{:.2%}",
    scale=100.0,
    unit="points",
    quality=lambda functions, truth: mean_relative_l2(truth, functions),
    truth=lambda truth, shape, outputs: (
        f"functions {(*shape[:3], 'c')} of finite numbers",
        truth.ndim == 4 and truth.shape[:3] == shape[:3] and bool(np.isfinite(truth).all()),
    ),
)
FRAMES = {ImageFrame: ("a denoiser", IMAGES), FunctionFrame: ("a network of functions", FUNCTIONS)}
ANSWERS = {SOFTMAX: CLASSES, SIGMOID: LABELS, NONE: NUMBERS}


def answer_of(model: keras.Model, activation: str | None = None, answers: str | None = None) -> Answer:
    """Returns the description of the outputs of a model.

    Args:
        model: the model.
        activation: name of its last activation; None for none.
        answers: "softmax", "sigmoid" or "none", see `export_formats`. If None, activation, loss and metrics decide.

    Raises:
        ValueError: if nothing says what the outputs mean, or `answers` is given for a network without classes.

    Example:
        >>> from keras_mgnet import MgNet, ReactionDiffusion
        >>> answer_of(MgNet((1,), 4)).read, answer_of(ReactionDiffusion(1)).read
        ('classes', 'denoised')
        >>> answer_of(MgNet((1,), 4), answers="sigmoid").read
        'labels'
    """
    kind, answer = FRAMES.get(model.frame, ("", None)) if isinstance(model, Network) else ("", None)
    if answer is None:
        return ANSWERS[meaning(model, activation, answers)]
    if answers is not None:
        raise ValueError(f"expected answers=None for {kind}. Received: answers={answers!r}")
    return answer
