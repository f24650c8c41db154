"""Batches on the fly: bytes in memory, shuffled, augmented and normalised a batch at a time, reproducibly."""

import importlib
from collections.abc import Iterable
from types import ModuleType

import keras

from keras_mgnet.errors import check_known
from keras_mgnet.recipes import AUGMENTATIONS
from keras_mgnet.training.data.batch import BatchForm
from keras_mgnet.training.data.dataset import Split
from keras_mgnet.training.data.plan import Plan

BACKENDS = {"tensorflow": "on_host", "jax": "on_device"}  # Keras' backend -> the module that makes its batches


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """Returns the number of batches of one epoch, a last partial one included.

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
) -> Iterable:
    """Returns the batches of epochs first_epoch .. first_epoch + epochs - 1, one epoch after the other.

    Order and views of an epoch are a pure function of (seed, epoch), whatever the batch size, and what RandAugment and
    CutMix draw of (seed, epoch, step): a run that starts at step 7 of epoch 3 sees bit for bit what a run from the
    beginning sees there. The backends draw differently.

    Args:
        split: images and labels.
        batch_size: images a batch; the last batch of an epoch holds what is left.
        mean: of each channel, on the scale where 255 is 1.
        std: of each channel, on the same scale.
        seed: of the whole run.
        augment: a key of `AUGMENTATIONS`; the frame is raw zeros, put on before the normalisation as in torchvision.
        classes: length of one-hot labels, which smoothing and CutMix need; None for integer labels.
        label_smoothing: share of a label that is spread evenly over all classes.
        first_epoch: number of the first epoch.
        first_step: batches of the first epoch that are left out.
        epochs: how many, the first one included.

    Returns:
        What `fit` takes: a tf.data.Dataset on TensorFlow, a keras.utils.PyDataset on JAX, of (images (B, H, W, C)
        float32, labels (B,) int32 or (B, classes) float32).

    Raises:
        ValueError: on an unknown augmentation, an empty batch, a first step that an epoch does not have, or labels that
            are to be smoothed or mixed without the number of classes.

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
    return _backend().train_batches(split, form, plan)


def test_batches(
    split: Split, batch_size: int, *, mean: tuple[float, ...], std: tuple[float, ...], classes: int | None = None
) -> Iterable:
    """Returns the whole split in its own order, as batches of (images (B, H, W, C) float32, labels), see `train_batches`.

    Example:
        >>> from keras_mgnet.training.data.dataset import load
        >>> digits = load("digits")
        >>> len(test_batches(digits.test, 128, mean=digits.mean, std=digits.std))
        3
    """
    steps_per_epoch(split, batch_size)
    return _backend().test_batches(split, BatchForm(tuple(mean), tuple(std), classes=classes), batch_size)


def backend_name() -> str:
    """Returns Keras' backend; raises ValueError where it is none of `BACKENDS`."""
    name = keras.backend.backend()
    if name not in BACKENDS:
        raise ValueError(f"expected the backend {' or '.join(BACKENDS)} for training. Received: KERAS_BACKEND={name}")
    return name


def _backend() -> ModuleType:
    return importlib.import_module(
        f"keras_mgnet.training.data.{BACKENDS[backend_name()]}"
    )  # the other may not be installed
