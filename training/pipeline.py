"""Batches on the fly: uint8 in memory, shuffled, augmented and normalised a batch at a time, reproducibly."""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from keras_mgnet import preprocessing
from keras_mgnet.errors import unknown
from keras_mgnet.training.data import Split


@dataclass(frozen=True)
class Augmentation:
    """A random crop of the image in a frame of raw zeros, perhaps mirrored.

    Attributes:
        pad: width of the frame in pixels.
        flip: whether half of the images are mirrored left to right.

    Example:
        >>> Augmentation(pad=4, flip=True).views
        162
    """

    pad: int
    flip: bool

    @property
    def views(self) -> int:
        """Number of equally likely views of one image."""
        return (2 * self.pad + 1) ** 2 * (1 + self.flip)


AUGMENTATIONS = {"none": Augmentation(0, False), "shift": Augmentation(2, False), "crop_flip": Augmentation(4, True)}


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """Returns the number of batches of one epoch, a last partial one included.

    Example:
        >>> from keras_mgnet.training.data import load
        >>> steps_per_epoch(load("digits").train, 128)
        12
    """
    if batch_size < 1:
        raise ValueError(f"expected batch_size >= 1. Received: {batch_size}")
    return -(-len(split.labels) // batch_size)


def normalize(images: tf.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> tf.Tensor:
    """Returns uint8 images normalised (see `keras_mgnet.preprocessing`), as float32.

    Example:
        >>> float(normalize([[[[255]]]], mean=(0.5,), std=(0.25,))[0, 0, 0, 0])
        2.0
    """
    images = tf.cast(images, tf.float32)
    # Spread over the whole image first: TensorFlow's kernels are four times slower with a last axis of 3 to broadcast.
    mean, std = (tf.broadcast_to(tf.constant(v, tf.float32), tf.shape(images)[1:]) for v in (mean, std))
    return preprocessing.normalize(images, mean, std)


def augmented(images: tf.Tensor, view: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    """Returns one view of each image.

    Args:
        images: (B, H, W, C), of any type.
        view: (B,) integers below `augmentation.views`: (row offset, column offset, mirrored) as digits of one number.
        augmentation: width of the frame, and whether views are mirrored.

    Example:
        >>> augmented([[[[1], [2]]]], [1], Augmentation(pad=0, flip=True))[0, 0, :, 0].numpy().tolist()
        [2, 1]
    """
    images, view = tf.convert_to_tensor(images), tf.cast(view, tf.int32)
    height, width = images.shape[1:3]
    pad, mirrored = augmentation.pad, 1 + augmentation.flip
    offset, mirror = view // mirrored, view % mirrored
    top, left = offset // (2 * pad + 1), offset % (2 * pad + 1)
    rows = top[:, None] + tf.range(height)
    columns = left[:, None] + tf.where(mirror[:, None] > 0, tf.range(width)[::-1], tf.range(width))
    framed = tf.pad(images, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
    return tf.gather(tf.gather(framed, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)


def train_batches(
    split: Split,
    batch_size: int,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    seed: int,
    augment: str = "none",
    first_epoch: int = 0,
    epochs: int,
) -> tf.data.Dataset:
    """Returns the batches of epochs first_epoch .. first_epoch + epochs - 1, one epoch after the other.

    Order and views of an epoch are a pure function of (seed, epoch), whatever the batch size: a run that starts at
    epoch 3 sees bit for bit what a run from epoch 0 sees there.

    Args:
        split: images and labels.
        batch_size: images a batch; the last batch of an epoch holds what is left.
        mean: of each channel, on the scale where 255 is 1.
        std: of each channel, on the same scale.
        seed: of the whole run.
        augment: a key of `AUGMENTATIONS`; the frame is raw zeros, put on before the normalisation as in torchvision.
        first_epoch: number of the first epoch.
        epochs: how many.

    Returns:
        A data set of (images (B, H, W, C) float32, labels (B,) int32).

    Raises:
        ValueError: on an unknown augmentation or an empty batch.

    Example:
        >>> from keras_mgnet.training.data import load
        >>> digits = load("digits")
        >>> batches = train_batches(digits.train, 128, mean=digits.mean, std=digits.std, seed=0, epochs=2)
        >>> len(batches)
        24
    """
    if augment not in AUGMENTATIONS:
        raise unknown("augmentation", augment, AUGMENTATIONS)
    augmentation, count, steps = AUGMENTATIONS[augment], len(split.labels), steps_per_epoch(split, batch_size)
    images, labels = _on_host(split)

    def places(epoch: tf.Tensor) -> tf.data.Dataset:
        order_key, view_key = tf.unstack(tf.random.split(tf.stack([tf.constant(seed, tf.int64), epoch])))
        order = tf.random.experimental.stateless_shuffle(tf.range(count), order_key)
        view = tf.random.stateless_uniform([count], view_key, 0, augmentation.views, tf.int32)
        batch = tf.data.Dataset.range(0, count, batch_size)
        return batch.map(lambda start: (order[start : start + batch_size], view[start : start + batch_size]))

    def batch(place: tf.Tensor, view: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        chosen = augmented(tf.gather(images, place), view, augmentation)
        return normalize(chosen, mean, std), tf.gather(labels, place)

    all_places = tf.data.Dataset.range(first_epoch, first_epoch + epochs).flat_map(places)
    return _batches(all_places.apply(tf.data.experimental.assert_cardinality(steps * epochs)), batch)


def test_batches(split: Split, batch_size: int, *, mean: tuple[float, ...], std: tuple[float, ...]) -> tf.data.Dataset:
    """Returns the whole split in its own order, as batches of (images (B, H, W, C) float32, labels (B,) int32).

    Example:
        >>> from keras_mgnet.training.data import load
        >>> digits = load("digits")
        >>> len(test_batches(digits.test, 128, mean=digits.mean, std=digits.std))
        3
    """
    images, labels = _on_host(split)

    def batch(start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return normalize(images[start : start + batch_size], mean, std), labels[start : start + batch_size]

    return _batches(tf.data.Dataset.range(0, len(split.labels), batch_size), batch)


def _on_host(split: Split) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.device("CPU"):  # tf.data runs there; on a GPU every batch would first have to come back
        return tf.constant(split.images), tf.constant(split.labels)


def _batches(places: tf.data.Dataset, batch: Callable[..., tuple[tf.Tensor, tf.Tensor]]) -> tf.data.Dataset:
    return places.map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)
