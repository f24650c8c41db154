"""Checks the training data that `fit` gets, before anything is traced."""

import warnings
from typing import Any

import keras
from keras.losses import (
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
    categorical_crossentropy,
    sparse_categorical_crossentropy,
)

INTEGER_LABELS = ("sparse_categorical_crossentropy", sparse_categorical_crossentropy)
CROSS_ENTROPIES = (SparseCategoricalCrossentropy, CategoricalCrossentropy)
OF_PROBABILITIES = (*INTEGER_LABELS, "categorical_crossentropy", categorical_crossentropy)


def check_examples(model: keras.Model, x: Any, y: Any) -> None:
    """Raises ValueError for training data that does not fit a network or its loss.

    Such data are a tf.data.Dataset with unknown shapes or without batches, and one-hot labels for a loss on integer labels.
    Warns if the loss takes probabilities but the network returns logits, because such a network learns next to nothing.

    Args:
        model: a compiled network.
        x, y: the arguments of `fit`. Only their shapes are read.
    """
    _check_labels(model, x, y)
    _check_logits(model)


def _check_labels(model: keras.Model, x: Any, y: Any) -> None:
    is_set = hasattr(x, "element_spec")
    given = x.element_spec if is_set else (x, y)
    if not isinstance(given, tuple) or len(given) < 2 or len(model.inputs) > 1:
        return
    images, labels = (getattr(part, "shape", None) for part in given[:2])
    if is_set and images is not None:
        _check_batches(images, tuple(model.inputs[0].shape))
    if labels is not None and (isinstance(model.loss, SparseCategoricalCrossentropy) or model.loss in INTEGER_LABELS):
        _check_integers(labels)


def _check_logits(model: keras.Model) -> None:
    loss, head = model.loss, model.layers[-1]
    takes_probabilities = not loss.from_logits if isinstance(loss, CROSS_ENTROPIES) else loss in OF_PROBABILITIES
    if takes_probabilities and getattr(head, "activation", None) is keras.activations.linear:
        warnings.warn(
            f"the loss takes probabilities and {model.name} returns logits: compile with "
            "keras.losses.SparseCategoricalCrossentropy(from_logits=True), or build with classifier_activation='softmax'",
            stacklevel=4,
        )


def _check_batches(shape: Any, expected: tuple[int | None, ...]) -> None:
    _check_known("images", shape)
    if len(shape) == len(expected) - 1 and shape[-1] == expected[-1]:
        raise ValueError(
            f"expected batches of images {expected}: call batch() on the data set. Received: single images {tuple(shape)}"
        )


def _check_integers(shape: Any) -> None:
    _check_known("labels", shape)
    if len(shape) == 2 and shape[1] not in (1, None):
        raise ValueError(
            "expected integer labels (N,) for the model's loss; for one-hot labels compile the model with "
            f"keras.losses.CategoricalCrossentropy(from_logits=True). Received: labels {tuple(shape)}"
        )


def _check_known(what: str, shape: Any) -> None:
    if getattr(shape, "rank", 0) is None:  # a TensorShape; the shape of an array is a tuple
        raise ValueError(
            f"expected {what} of a known shape: pass output_signature to from_generator, or call set_shape in map. "
            f"Received: {what} of unknown shape"
        )
