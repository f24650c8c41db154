"""What a served model answers with, and how good an answer is: classes of images, or images without noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_mgnet.metrics import mean_psnr
from keras_mgnet.models.frame import Frame
from keras_mgnet.models.image_frame import ImageFrame

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Answer:
    """What the networks of one frame answer with."""

    name: str  # of what a network returns, which is compared with Keras
    value: str  # one number of it, in words
    read: str  # the output that most clients read
    outputs: dict[str, str]  # {name: shape, type and meaning} of all outputs
    compute: Callable[[tf.Tensor], dict[str, tf.Tensor]]  # the outputs by name, of what a network returns
    images: str  # what it takes where nothing is normalised inside
    # Of what a network returns, what two answers are to have in common; `same` says what that is.
    decided: Callable[[np.ndarray], np.ndarray]
    same: str
    unseen: tuple[int, ...]  # the axes over which a mean is what no client sees
    # By precision, the root mean square error that is allowed, over the root mean square, both less that mean.
    noise: dict[str, float]
    # How good it is, as `Report` calls it; `label` and `text` show it, and `scale` times a drop is in `unit`.
    measure: str
    label: str
    text: str
    scale: float
    unit: str
    quality: Callable[[np.ndarray, np.ndarray], float]  # the measure, of what a network returns and of what is right

    def centred(self, values: np.ndarray) -> np.ndarray:
        """Returns what a network returns less what no client sees."""
        return values - values.mean(self.unseen, keepdims=True)


def _scores(logits: tf.Tensor) -> dict[str, tf.Tensor]:
    import tensorflow as tf

    return {"logits": logits, "probabilities": tf.nn.softmax(logits), "classes": tf.argmax(logits, axis=-1)}


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
    images="grey values, 0..255 and what the noise makes of them",
    decided=np.rint,
    same="same grey value",
    unseen=(1, 2, 3),
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
    """Returns what a model of this package answers with.

    Example:
        >>> from keras_mgnet import MgNet, ReactionDiffusion
        >>> answer_of(MgNet((1,), 4)).name, answer_of(ReactionDiffusion(1)).name
        ('logits', 'denoised')
    """
    return ANSWERS[type(model).frame]
