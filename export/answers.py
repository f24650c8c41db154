"""Describes the outputs of exported classifiers and denoisers, and how the quality of these outputs is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_mgnet.metrics import mean_psnr
from keras_mgnet.models.frame import Frame
from keras_mgnet.models.image_frame import ImageFrame
from keras_mgnet.models.network import Network

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Answer:
    """Describes the outputs of all classifiers, or of all denoisers."""

    name: str  # name of the network's output, which is compared with Keras
    value: str  # what one number of this output is, in words
    read: str  # the served output that most clients read
    outputs: dict[str, str]  # {name: shape, type and meaning} of all served outputs
    compute: Callable[[tf.Tensor], dict[str, tf.Tensor]]  # from the network's output to the served outputs by name
    images: str  # in words, the images that the exported file takes if it does not normalise them
    # Maps the network's output to classes or rounded grey values. Two outputs agree where these are equal.
    decided: Callable[[np.ndarray], np.ndarray]
    same: str  # heading of the fraction that agrees
    unseen: tuple[int, ...]  # axes of the mean that is subtracted before `noise` is measured
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

    def centred(self, values: np.ndarray) -> np.ndarray:
        """Subtracts the mean over the axes `unseen` from the network's output."""
        return values - values.mean(self.unseen, keepdims=True)


def _scores(logits: tf.Tensor) -> dict[str, tf.Tensor]:
    import tensorflow as tf

    return {"logits": logits, "probabilities": tf.nn.softmax(logits), "classes": tf.argmax(logits, axis=-1)}


def _contradiction(outputs: dict[str, np.ndarray]) -> float:
    """Returns the largest |probability - softmax(logits)|, or 1 if a class is not the index of the largest logit."""
    powers = np.exp(outputs["logits"] - outputs["logits"].max(-1, keepdims=True))
    error = np.abs(outputs["probabilities"] - powers / powers.sum(-1, keepdims=True)).max()
    return float(error) if np.array_equal(outputs["classes"], outputs["logits"].argmax(-1)) else 1.0


CLASSES = Answer(
    name="logits",
    value="a logit",
    read="classes",
    outputs={
        "logits": "(N, classes), float32",
        "probabilities": "(N, classes), float32, the softmax of the logits",
        "classes": "(N,), int64, the index of the largest logit",
    },
    compute=_scores,
    images="as the network takes them",
    decided=lambda logits: logits.argmax(-1),
    same="same class",
    unseen=(-1,),
    contradiction=_contradiction,
    noise={"float16": 0.03, "int8": 0.5},
    measure="accuracy",
    label="accuracy",
    text="{:.2%}",
    scale=100.0,
    unit="points",
    quality=lambda logits, labels: float(np.mean(logits.argmax(-1) == labels)),
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
)
ANSWERS = {Frame: CLASSES, ImageFrame: IMAGES}


def answer_of(model: keras.Model) -> Answer:
    """Returns the description of the outputs for a model. A model of another package counts as a classifier.

    Example:
        >>> from keras_mgnet import MgNet, ReactionDiffusion
        >>> answer_of(MgNet((1,), 4)).name, answer_of(ReactionDiffusion(1)).name
        ('logits', 'denoised')
    """
    return ANSWERS[model.frame] if isinstance(model, Network) else CLASSES
