"""Batches for the TensorFlow backend. tf.data prepares the batches on the host while the device computes."""

from collections.abc import Callable
from functools import lru_cache
from weakref import WeakKeyDictionary

import numpy as np
import tensorflow as tf

from keras_mgnet.training.data.batch import BatchForm
from keras_mgnet.training.data.dataset import Split
from keras_mgnet.training.data.plan import WHOLE, Plan, Share
from keras_mgnet.training.data.prefetch import PARALLEL, prefetched
from keras_mgnet.training.data.streaming import KEYS, Pictures
from keras_mgnet.training.data.views import alternated

_held = WeakKeyDictionary()  # split -> its tensors, kept while the split is alive


def train_batches(split: Split, form: BatchForm, plan: Plan, share: Share) -> tf.data.Dataset:
    """Returns a share of the training batches of a plan."""
    taken = _taking(split, share, form.augmentation.crop, plan.seed)
    made = _traced(form, split.images.shape[1:])
    read = WHOLE if form.augmentation.mixes else share

    def places(epoch: tf.Tensor) -> tf.data.Dataset:
        seed = tf.stack([tf.constant(plan.seed, tf.int64), epoch])
        order_key, view_key, batch_key = tf.unstack(tf.random.split(seed, 3))
        order = tf.random.experimental.stateless_shuffle(tf.range(plan.count), order_key)
        view = tf.random.stateless_uniform([plan.count], view_key, 0, form.augmentation.views, tf.int32)
        if form.augmentation.alternate:
            first = tf.random.stateless_uniform(
                [plan.count], [plan.seed, -1], 0, 2, tf.int32
            )  # a key that no epoch has
            view = alternated(view, tf.gather(first, order), tf.cast(epoch, tf.int32))

        def place(step: tf.Tensor) -> tuple[tf.Tensor, ...]:
            start, end = step * plan.batch_size, tf.minimum((step + 1) * plan.batch_size, plan.count)
            first, last = read.of(start, end)
            key = tf.random.split(tf.random.fold_in(batch_key, step), 1)[0]  # fold_in alone gives neighbouring keys
            return order[first:last], view[first:last], key, epoch, tf.cast(end - start, tf.int32)

        return tf.data.Dataset.range(plan.steps).map(place)

    def batch(
        place: tf.Tensor, view: tf.Tensor, key: tf.Tensor, epoch: tf.Tensor, count: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        images, labels, found = taken(place, epoch)
        images, labels = made(images, labels, view if found is None else tf.gather(view, found), key)
        if share.workers == 1:
            return images, labels
        own = slice(None) if read is share else slice(*share.of(0, count))
        return images[own], labels[own], count

    epochs = tf.data.Dataset.range(plan.first_epoch, plan.first_epoch + plan.epochs)
    all_places = epochs.flat_map(places).skip(plan.first_step)
    return _batches(all_places.apply(tf.data.experimental.assert_cardinality(len(plan))), batch)


def test_batches(split: Split, form: BatchForm, batch_size: int, share: Share) -> tf.data.Dataset:
    """Returns all batches of a split in the order of its images; of each batch, only the images of one worker (`share`)."""
    taken, count = _taking(split, share), len(split.labels)

    def batch(start: tf.Tensor) -> tuple[tf.Tensor, ...]:
        end = tf.minimum(start + batch_size, count)
        images, labels, _ = taken(tf.range(*share.of(start, end)))
        made = form.test(images, labels)
        return made if share.workers == 1 else (*made, tf.cast(end - start, tf.int32))

    return _batches(tf.data.Dataset.range(0, count, batch_size), batch)


def _taking(
    split: Split, share: Share, crop: Callable | None = None, seed: int = 0
) -> Callable[..., tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]]:
    """Returns a function of places (B,) and an epoch. It returns their images and labels, and where in `places` each of them is.

    The last is None if all of them are there.
    """
    if not isinstance(split.images, Pictures):
        images, labels = _on_host(split)
        return lambda place, epoch=None: (tf.gather(images, place), tf.gather(labels, place), None)

    def read(place: np.ndarray, epoch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return split.images.read(place, crop, (seed % KEYS, int(epoch)), share.full)

    def taken(place: tf.Tensor, epoch: tf.Tensor | int = 0) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        images, found = tf.numpy_function(read, [place, epoch], (tf.uint8, tf.int32), stateful=False)
        images.set_shape([None, *split.images.shape[1:]])
        found.set_shape([None])
        return images, tf.gather(split.labels, tf.gather(place, found)), found

    return taken


def _on_host(split: Split) -> tuple[tf.Tensor, tf.Tensor]:
    if split not in _held:
        with tf.device("CPU"):  # tf.data runs there: from a GPU, every batch would have to be copied back first
            _held[split] = tf.constant(split.images), tf.constant(split.labels)
    return _held[split]


@lru_cache(maxsize=8)  # tracing RandAugment takes two seconds, too long to repeat every epoch
def _traced(form: BatchForm, shape: tuple[int, ...]) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    kinds = (([None, *shape], tf.uint8), ([None], tf.int32), ([None], tf.int32), ([2], tf.int64))
    return tf.function(form.train, input_signature=[tf.TensorSpec(*kind) for kind in kinds], autograph=False)


def _batches(places: tf.data.Dataset, batch: Callable[..., tuple[tf.Tensor, ...]]) -> tf.data.Dataset:
    return prefetched(places.map(batch, num_parallel_calls=PARALLEL, deterministic=True))
