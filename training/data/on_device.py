"""Batches for the JAX backend. Images in memory stay on the device as bytes, and a jitted function makes each batch there."""

from functools import lru_cache, partial
from weakref import WeakKeyDictionary

import jax
import jax.numpy as jnp
import numpy as np

from keras_mgnet.training.data.batch import BatchForm
from keras_mgnet.training.data.dataset import Split
from keras_mgnet.training.data.plan import WHOLE, Batches, Plan, Share
from keras_mgnet.training.data.streaming import KEYS, Pictures
from keras_mgnet.training.data.views import alternated

WORD = 2**32 - 1
_held = WeakKeyDictionary()  # split -> its arrays on the device, kept while the split is alive


def train_batches(split: Split, form: BatchForm, plan: Plan, share: Share) -> Batches:
    """Returns a share of the training batches of a plan."""
    is_streamed = isinstance(split.images, Pictures)
    seed = jnp.array([plan.seed >> 32 & WORD, plan.seed & WORD], "uint32")

    @lru_cache(maxsize=1)
    def drawn(epoch: int) -> tuple[jax.Array, jax.Array, jax.Array]:
        order, view, key = _draw(jax.random.fold_in(seed, epoch), plan.count, form.augmentation.views)
        if form.augmentation.alternate:
            view = alternated(view, _first_mirrored(seed, plan.count)[order], epoch)
        return order, view, key

    read = WHOLE if form.augmentation.mixes else share

    def batch(number: int) -> tuple[jax.Array, jax.Array]:
        epoch, step = plan.place(number)
        bounds = step * plan.batch_size, min((step + 1) * plan.batch_size, plan.count)
        start, stop = read.of(*bounds)
        if is_streamed:
            key = plan.seed % KEYS, epoch
            made = _streamed_batch(split, *drawn(epoch), step, slice(start, stop), form, key, share.full)
        else:
            made = _train_batch(*_on_device(split), *drawn(epoch), step, start, form=form, size=stop - start)
        own = slice(None) if read is share else slice(*share.of(0, stop - start))
        return tuple(array[own] for array in made)

    return Batches(batch, len(plan), ahead=is_streamed, share=share)


def test_batches(split: Split, form: BatchForm, batch_size: int, share: Share) -> Batches:
    """Returns a share of the batches of a whole split, in the order of its images."""
    count, is_streamed = len(split.labels), isinstance(split.images, Pictures)

    def batch(number: int) -> tuple[jax.Array, jax.Array]:
        start, stop = share.of(number * batch_size, min((number + 1) * batch_size, count))
        if is_streamed:
            places = np.arange(start, stop)
            images, found = split.images.read(places, fill=share.full)
            return _test_form(images, split.labels[places[found]], form=form)
        return _test_batch(*_on_device(split), start, form=form, size=stop - start)

    return Batches(batch, -(-count // batch_size), ahead=is_streamed, share=share)


def _streamed_batch(split: Split, order, view, key, step: int, part: slice, form: BatchForm, of_crops, full: bool):
    places = np.asarray(order[part])
    images, found = split.images.read(places, form.augmentation.crop, of_crops, full)
    return _train_form(images, split.labels[places[found]], view[part][found], jax.random.fold_in(key, step), form=form)


def _on_device(split: Split) -> tuple[jax.Array, jax.Array]:
    if split not in _held:
        _held[split] = jnp.asarray(split.images), jnp.asarray(split.labels)
    return _held[split]


@partial(jax.jit, static_argnums=(1, 2))
def _draw(key: jax.Array, count: int, views: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the order of an epoch, the view of each image in that order, and the key for all other draws."""
    order_key, view_key, batch_key = jax.random.split(key, 3)
    return jax.random.permutation(order_key, count), jax.random.randint(view_key, (count,), 0, views), batch_key


@partial(jax.jit, static_argnums=1)
def _first_mirrored(seed: jax.Array, count: int) -> jax.Array:
    """Returns 1 for each image that is mirrored in the first epoch, and 0 for the others."""
    return jax.random.randint(jax.random.fold_in(seed, WORD), (count,), 0, 2)  # a key that no epoch has


@partial(jax.jit, static_argnames="form")
def _train_form(images, labels, view, key, *, form: BatchForm):
    return form.train(images, labels, view, key)


@partial(jax.jit, static_argnames="form")
def _test_form(images, labels, *, form: BatchForm):
    return form.test(images, labels)


@partial(jax.jit, static_argnames=("form", "size"))
def _train_batch(images, labels, order, view, key, step, start, *, form: BatchForm, size: int):
    place, view = (jax.lax.dynamic_slice_in_dim(values, start, size) for values in (order, view))
    return form.train(images[place], labels[place], view, jax.random.fold_in(key, step))


@partial(jax.jit, static_argnames=("form", "size"))
def _test_batch(images, labels, start, *, form: BatchForm, size: int):
    return form.test(*(jax.lax.dynamic_slice_in_dim(values, start, size) for values in (images, labels)))
