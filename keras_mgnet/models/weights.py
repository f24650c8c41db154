"""Loads weights that fit a network, or all of the network except its classifier."""

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from keras_mgnet import former
from keras_mgnet.hdf5 import plain_arrays
from keras_mgnet.models.frame import CLASSIFIER
from keras_mgnet.trained import WEIGHTS, read_weights, trained_folder, trained_record

Shape = tuple[int, ...]


def load_file(model: keras.Model, path: str | Path, other_classes: bool = False) -> None:
    """Loads a .weights.h5 file of plain arrays.

    Args:
        model: the network.
        path: path of the file.
        other_classes: whether the file may have another number of classes than the model. If so, the classifier of the model
            keeps its weights, with a warning.

    Raises:
        ValueError: if the file holds other arrays than those of the model. Keras would ignore surplus arrays.
    """
    shapes = [shape for name, shape in plain_arrays(path) if not name.startswith("optimizer/")]
    if other_classes and (classes := classes_that_differ(model, shapes, path)):
        theirs = keras.layers.Dense(classes)(model.get_layer(CLASSIFIER).input)  # takes up the file's classifier
        with former.readable(path) as file:
            keras.Model(model.inputs, theirs).load_weights(file)
    else:
        check_shapes(model, shapes, path)
        model.load_weights(path)


def load_trained(model: keras.Model, name: str) -> None:
    """Loads the weights of a trained network. The classifier is left out if `model` has none, or one for other classes.

    Raises:
        ValueError: if there is no such network, if its file is damaged, or if it is another network.
    """
    weights = read_weights(trained_folder(name) / WEIGHTS, trained_record(name)["trained"]["sha256"])
    has_classifier = any(layer.name == CLASSIFIER for layer in model.layers)
    load_arrays(model, weights if has_classifier else weights[:-2], name, other_classes=True)


def load_arrays(model: keras.Model, weights: Sequence[np.ndarray], origin: str | Path, other_classes: bool) -> None:
    """Sets the weights of a model, in the order of `model.weights`.

    Args:
        model: the network.
        weights: arrays. The last two are kernel and bias of the classifier.
        origin: what the weights are from, for messages.
        other_classes: whether the weights may be for another number of classes. The classifier of `model` then keeps its weights,
            and a warning says so.

    Raises:
        ValueError: if the weights have other shapes than those of the model.
    """
    weights, shapes = list(weights), [value.shape for value in weights]
    if other_classes and classes_that_differ(model, shapes, origin):
        weights[-2:] = model.get_layer(CLASSIFIER).get_weights()
    else:
        check_shapes(model, shapes, origin)
    model.set_weights(weights)


def check_shapes(model: keras.Model, shapes: Sequence[Shape], path: str | Path) -> None:
    """Raises ValueError unless the weights of a file have exactly the shapes of a model's weights."""
    if Counter(shapes) != (own := _shapes(model)):
        raise ValueError(
            f"expected the weights of {model.name}: {own.total()} variables with its shapes. "
            f"Received: {len(shapes)} variables in '{path}'"
        )


def classes_that_differ(model: keras.Model, shapes: Sequence[Shape], path: str | Path) -> int | None:
    """Returns the number of classes in a file if only its classifier differs from the model's, with a warning; else None."""
    own, found = _shapes(model), Counter(shapes)
    head = [layer.kernel.shape for layer in model.layers if layer.name == CLASSIFIER]
    for features, classes in head:
        for other in {size for size, *others in found - own if not others}:
            if own - found == _head(features, classes) and found - own == _head(features, other):
                warnings.warn(
                    f"left out the classifier of '{path}': kernel {(features, other)} and bias {(other,)} do not fit "
                    f"kernel {(features, classes)} and bias {(classes,)} of {model.name}",
                    stacklevel=3,
                )
                return other
    return None


def _shapes(model: keras.Model) -> Counter[Shape]:
    return Counter(tuple(variable.shape) for variable in model.weights)


def _head(features: int, classes: int) -> Counter[Shape]:
    return Counter([(features, classes), (classes,)])
