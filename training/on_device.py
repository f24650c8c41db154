"""Batches for the JAX backend: images stay on the device as bytes, and one jitted function makes each batch there."""

from functools import partial
from weakref import WeakKeyDictionary

import jax
import jax.numpy as jnp
import keras

from keras_mgnet.training.batch import BatchForm
from keras_mgnet.training.data import Split
from keras_mgnet.training.plan import Plan

WORD = 2**32 - 1
_held = WeakKeyDictionary()  # split -> its arrays on the device, as long as the split lives


def train_batches(split: Split, form: BatchForm, plan: Plan) -> keras.utils.PyDataset:
    """Returns the training batches of a plan."""
    return _TrainBatches(split, form, plan)


def test_batches(split: Split, form: BatchForm, batch_size: int) -> keras.utils.PyDataset:
    """Returns the whole split in its own order."""
    return _TestBatches(split, form, batch_size)


class _TrainBatches(keras.utils.PyDataset):
    def __init__(self, split: Split, form: BatchForm, plan: Plan):
        super().__init__()
        self.arrays, self.form, self.plan = _on_device(split), form, plan
        self.key = jnp.array([plan.seed >> 32 & WORD, plan.seed & WORD], "uint32")
        self.epoch, self.drawn = None, ()

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, number: int) -> tuple[jax.Array, jax.Array]:
        epoch, step = self.plan.place(number)
        if epoch != self.epoch:
            key = jax.random.fold_in(self.key, epoch)
            self.epoch, self.drawn = epoch, _draw(key, self.plan.count, self.form.augmentation.views)
        start = step * self.plan.batch_size
        size = min(self.plan.batch_size, self.plan.count - start)
        return _train_batch(*self.arrays, *self.drawn, step, start, form=self.form, size=size)


class _TestBatches(keras.utils.PyDataset):
    def __init__(self, split: Split, form: BatchForm, batch_size: int):
        super().__init__()
        self.arrays, self.form, self.count, self.batch_size = _on_device(split), form, len(split.labels), batch_size

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __getitem__(self, number: int) -> tuple[jax.Array, jax.Array]:
        start = number * self.batch_size
        size = min(self.batch_size, self.count - start)
        return _test_batch(*self.arrays, start, form=self.form, size=size)


def _on_device(split: Split) -> tuple[jax.Array, jax.Array]:
    if split not in _held:
        _held[split] = jnp.asarray(split.images), jnp.asarray(split.labels)
    return _held[split]


@partial(jax.jit, static_argnums=(1, 2))
def _draw(key: jax.Array, count: int, views: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the order of an epoch, the view of each place in it, and the key of all else that is drawn."""
    order_key, view_key, batch_key = jax.random.split(key, 3)
    return jax.random.permutation(order_key, count), jax.random.randint(view_key, (count,), 0, views), batch_key


@partial(jax.jit, static_argnames=("form", "size"))
def _train_batch(images, labels, order, view, key, step, start, *, form: BatchForm, size: int):
    place, view = (jax.lax.dynamic_slice_in_dim(values, start, size) for values in (order, view))
    return form.train(images[place], labels[place], view, jax.random.fold_in(key, step))


@partial(jax.jit, static_argnames=("form", "size"))
def _test_batch(images, labels, start, *, form: BatchForm, size: int):
    return form.test(*(jax.lax.dynamic_slice_in_dim(values, start, size) for values in (images, labels)))
