"""Checks the training data that `fit` gets, before anything is traced."""

import warnings
from typing import Any

import keras
from keras.losses import SparseCategoricalCrossentropy

from keras_mgnet.models.meaning import CROSS_ENTROPIES, SOFTMAX, cross_entropy


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
    kind, _ = cross_entropy(model.loss) or (None, True)
    if labels is not None and kind is SparseCategoricalCrossentropy:
        _check_integers(labels)


def _check_logits(model: keras.Model) -> None:
    kind, takes_logits = cross_entropy(model.loss) or (keras.losses.Loss, True)
    if not takes_logits and getattr(model.layers[-1], "activation", None) is keras.activations.linear:
        advice = ", or build with classifier_activation='softmax'" if CROSS_ENTROPIES[kind][1] == SOFTMAX else ""
        warnings.warn(
            f"the loss takes probabilities and {model.name} returns logits: compile with "
            f"keras.losses.{kind.__name__}(from_logits=True){advice}",
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
