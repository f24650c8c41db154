"""Makes batches on the fly and reproducibly: shuffles, augments and normalises images that are bytes in memory, or encoded."""

import importlib
from collections.abc import Iterable
from dataclasses import replace
from types import ModuleType

import keras
import numpy as np

from keras_mgnet.augmentations import AUGMENTATIONS
from keras_mgnet.errors import check_known
from keras_mgnet.training.data.batch import BatchForm
from keras_mgnet.training.data.dataset import Split
from keras_mgnet.training.data.plan import WHOLE, Plan, Share
from keras_mgnet.training.data.streaming import Pictures

BACKENDS = {"tensorflow": "on_host", "jax": "on_device"}  # Keras' backend -> the module that makes its batches


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """Returns the number of batches per epoch. A last partial batch counts.

    Example:
        >>> from keras_mgnet.training.data.dataset import load
        >>> steps_per_epoch(load("digits").train, 128)
        12
    """
    return Plan(0, len(split.labels), batch_size, 0, 0, 1).steps


def train_batches(
    split: Split,
    batch_size: int,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    seed: int,
    augment: str = "none",
    classes: int | None = None,
    label_smoothing: float = 0.0,
    first_epoch: int = 0,
    first_step: int = 0,
    epochs: int,
    share: Share = WHOLE,
) -> Iterable:
    """Returns the training batches of the epochs first_epoch to first_epoch + epochs - 1, one epoch after the other.

    The order of the images, their crops and their flips depend only on (seed, epoch), not on the batch size. Crops of another
    scale depend only on the seed, the epoch and the index of the image. The random numbers of RandAugment and CutMix depend only
    on (seed, epoch, step). A run that starts at step 7 of epoch 3 therefore gets, bit for
    bit, the batches that a run from the beginning gets there. TensorFlow and JAX draw different random numbers.

    Args:
        split: images and labels.
        batch_size: images per batch. The last batch of an epoch holds the rest.
        mean: per channel, for pixels scaled to [0, 1].
        std: per channel, on the same scale.
        seed: seed of the run.
        augment: a key of `AUGMENTATIONS`. Images are padded with zeros before they are normalised, as in torchvision.
        classes: length of one-hot labels, needed for smoothing and CutMix; None for integer labels.
        label_smoothing: share of each label that is spread evenly over all classes.
        first_epoch: number of the first epoch.
        first_step: number of batches to skip in the first epoch.
        epochs: number of epochs, the first one included.
        share: the part of each batch to return. Only its images are read, unless the augmentation mixes those of a whole batch.

    Returns:
        Batches for `fit`: a tf.data.Dataset on TensorFlow, a keras.utils.PyDataset on JAX, of (images (B, H, W, C)
        float32, labels (B,) int32 or (B, classes) float32). On TensorFlow a share of several workers has a third part, the number
        of images in the batch of all workers.

    Raises:
        ValueError: if the augmentation is unknown, the batch size is below 1, an epoch has no step `first_step`, or `classes` is
            None with label smoothing or CutMix.

    Example:
        >>> from keras_mgnet.training.data.dataset import load
        >>> digits = load("digits")
        >>> batches = train_batches(digits.train, 128, mean=digits.mean, std=digits.std, seed=0, epochs=2)
        >>> len(batches)
        24
    """
    check_known("augmentation", augment, AUGMENTATIONS)
    plan = Plan(seed, len(split.labels), batch_size, first_epoch, first_step, epochs)
    form = BatchForm(tuple(mean), tuple(std), AUGMENTATIONS[augment], classes, label_smoothing)
    if form.augmentation.crop and isinstance(split.images, np.ndarray):
        split = replace(split, images=Pictures.of_array(split.images))
    return _backend().train_batches(split, form, plan, share)


def test_batches(
    split: Split,
    batch_size: int,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    classes: int | None = None,
    share: Share = WHOLE,
) -> Iterable:
    """Returns the batches of a whole split, in the order of its images. The type and `share` are those of `train_batches`.

    Example:
        >>> from keras_mgnet.training.data.dataset import load
        >>> digits = load("digits")
        >>> len(test_batches(digits.test, 128, mean=digits.mean, std=digits.std))
        3
    """
    steps_per_epoch(split, batch_size)
    return _backend().test_batches(split, BatchForm(tuple(mean), tuple(std), classes=classes), batch_size, share)


def backend_name() -> str:
    """Returns the name of Keras' backend. Raises ValueError if it is not in `BACKENDS`."""
    name = keras.backend.backend()
    if name not in BACKENDS:
        raise ValueError(f"expected the backend {' or '.join(BACKENDS)} for training. Received: KERAS_BACKEND={name}")
    return name


def _backend() -> ModuleType:
    return importlib.import_module(
        f"keras_mgnet.training.data.{BACKENDS[backend_name()]}"
    )  # the other backend may not be installed
