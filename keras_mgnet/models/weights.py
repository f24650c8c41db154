"""Saves all weights of a network, and loads weights that fit a network, or all of the network except its classifier."""

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import keras
import numpy as np

from keras_mgnet import compat, former
from keras_mgnet.hdf5 import plain_arrays
from keras_mgnet.models.frame import CLASSIFIER
from keras_mgnet.trained import WEIGHTS, read_weights, trained_folder, trained_record

Shape = tuple[int, ...]


@contextmanager
def complete(model: keras.Model, path: Any, suffix: str | None, overwrite: bool = True) -> Iterator[Any]:
    """Yields where to save a model. A file that ends in `suffix` replaces `path` only if it holds every weight of the model.

    Keras leaves out layers that it does not find, without a message. Any other path is yielded unchanged. So is an existing file
    if `overwrite` is False, because Keras then asks the user.

    Args:
        model: the model to save.
        path: the argument of `keras.Model.save` or `keras.Model.save_weights`.
        suffix: ".keras" or ".weights.h5".
        overwrite: whether the file may replace an existing one.

    Raises:
        ValueError: if the file lacks weights. `path` is then as it was.
    """
    local = isinstance(path, (str, PathLike)) and "://" not in str(path)
    if not (suffix and local and str(path).endswith(suffix)) or (Path(path).exists() and not overwrite):
        yield path
        return
    from keras_mgnet.files import staged_file

    with staged_file(path) as staged:
        yield staged
        _check_complete(model, staged)


def _check_complete(model: keras.Model, file: Path) -> None:
    """Raises ValueError unless a file has all arrays that the layers of a model save."""
    own = Counter(shape for layer in compat.flatten_layers(model) for shape in _saved_shapes(layer))
    if missing := own - Counter(shape for name, shape in _written(file) if not name.startswith("optimizer/")):
        raise ValueError(
            f"expected a file with all {own.total()} arrays of {model.name}: keep layers in attributes or in flat lists. "
            f"Received: a file of Keras {keras.__version__} without {missing.total()} of them"
        )


def _saved_shapes(layer: keras.Layer) -> list[Shape]:
    saved: dict[str, Any] = {}
    layer.save_own_variables(saved)
    return [tuple(array.shape) for array in saved.values()]


def _written(file: Path) -> list[tuple[str, Shape]]:
    if file.suffix != ".keras":
        return plain_arrays(file)
    with ZipFile(file) as archive, archive.open("model.weights.h5") as weights:
        return plain_arrays(weights)


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
