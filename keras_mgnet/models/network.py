"""What all families have in common: the image, the head of keras.applications, and a model that comes compiled."""

import copy
import math
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

import h5py
import keras

from keras_mgnet.errors import unknown
from keras_mgnet.layers.transfer import STEMS
from keras_mgnet.recipes import Recipe

POOLINGS = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}


@dataclass(frozen=True)
class Head:
    """The arguments include_top, pooling, classes, classifier_activation and weights of keras.applications, checked.

    `init` is the initialisation rule of the whole model; "torch_default" initialises the classifier's bias too.
    """

    include_top: bool
    pooling: str | None
    classes: int
    classifier_activation: str | None
    weights: str | None
    init: str

    def __post_init__(self):
        if self.include_top and not (is_integer(self.classes) and self.classes >= 1):
            raise ValueError(f"expected classes to be an integer >= 1. Received: classes={self.classes!r}")
        if self.pooling is not None and self.pooling not in POOLINGS:
            raise unknown("pooling", self.pooling, [*POOLINGS, "None"])
        if self.classifier_activation not in (None, "softmax"):
            raise unknown("classifier_activation", self.classifier_activation, ["softmax", "None"])
        if self.weights is not None:
            path = Path(self.weights)
            if not path.name.endswith(".weights.h5") or not h5py.is_hdf5(path):
                raise ValueError(f"expected weights to be None or a .weights.h5 file. Received: weights={str(path)!r}")

    def __call__(self, features):
        """Maps the last level's u or r (N, H, W, c) to the model's output."""
        if not self.include_top:
            return self._pooled(features, self.pooling) if self.pooling else features
        pooled = self._pooled(features, "avg")
        return self._classifier(pooled.shape[-1], features.dtype)(pooled)

    def loss(self) -> keras.losses.Loss:
        """Returns the cross-entropy that fits the classifier's activation."""
        return keras.losses.SparseCategoricalCrossentropy(from_logits=self.classifier_activation is None)

    @staticmethod
    def _pooled(features, kind: str):
        return POOLINGS[kind](name="pool", data_format="channels_last", dtype=features.dtype)(features)

    def _classifier(self, fan_in: int, dtype: str) -> keras.layers.Dense:
        bound = 1 / math.sqrt(fan_in)
        uniform = keras.initializers.RandomUniform(-bound, bound)
        return keras.layers.Dense(
            self.classes,
            activation=self.classifier_activation,
            kernel_initializer=uniform,
            bias_initializer=uniform if self.init == "torch_default" else "zeros",
            dtype="float64" if dtype == "float64" else "float32",
            name="classifier",
        )


class Network(keras.Model):
    """A functional graph of stem, levels and transfers under a head; with a classifier it comes compiled by its recipe.

    Args:
        inputs: source tensors of the graph.
        features: u or r of the last level, (N, H, W, c).
        head: what follows them.
        recipe: what the model is compiled with.
        name: of the model.
    """

    def __init__(self, inputs, features, head: Head, recipe: Recipe, name: str):
        super().__init__(inputs=inputs, outputs=head(features), name=name)
        if head.include_top:
            self.compile(recipe.optimizer(), head.loss(), metrics=["accuracy"])
        if head.weights is not None:
            check_weights(self, head.weights)
            self.load_weights(head.weights)


def check_weights(model: keras.Model, path: str | Path) -> None:
    """Raises unless a .weights.h5 file holds variables of just this model's shapes; Keras would ignore a surplus."""
    found = []

    def collect(name: str, entry: h5py.HLObject) -> None:
        if isinstance(entry, h5py.Dataset) and not name.startswith("optimizer/"):
            found.append(entry.shape)

    with h5py.File(path) as file:
        file.visititems(collect)
    if sorted(found) != sorted(tuple(variable.shape) for variable in model.weights):
        raise ValueError(
            f"expected the weights of {model.name}, {len(model.weights)} variables of its shapes. "
            f"Received: {len(found)} in '{path}'"
        )


def image_input(input_shape, input_tensor, dtype: keras.DTypePolicy):
    """Returns (source inputs, image) from a shape (H, W, C), a tensor, or the config of the graph behind a tensor."""
    if input_tensor is None:
        image = keras.Input(tuple(input_shape), dtype=dtype.compute_dtype, name="image")
        return image, image
    if isinstance(input_tensor, dict):
        config = copy.deepcopy(input_tensor)  # Keras empties what it deserialises
        input_tensor = keras.saving.deserialize_keras_object(config).output
    sources = keras.utils.get_source_inputs(input_tensor)
    return (sources[0] if len(sources) == 1 else sources), input_tensor


def check_image(input_shape, input_tensor, stem: str, levels: int) -> None:
    """Raises unless the image is (H, W, C) and has a pixel left on the coarsest of its grids; H and W may be None."""
    if stem not in STEMS:
        raise unknown("stem", stem, STEMS)
    if isinstance(input_tensor, dict):
        return
    shape = input_shape if input_tensor is None else input_tensor.shape[1:]
    shape = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if len(shape) != 3 or not (is_integer(shape[2]) and shape[2] >= 1):
        raise ValueError(f"expected input_shape=(height, width, channels). Received: input_shape={shape}")
    _, strides, pools = STEMS[stem]
    least = strides * (2 if pools else 1) * 2 ** (levels - 1)
    for size in shape[:2]:
        if size is not None and not (is_integer(size) and size >= least):
            raise ValueError(
                f"expected an image of at least {least}x{least} pixels for {levels} grids. Received: input_shape={shape}"
            )


def is_integer(value) -> bool:
    """Whether value is an integer and no bool."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def positive_integers(argument: str, value, length: int | None = None) -> tuple[int, ...]:
    """Returns value as a tuple of integers >= 1; with `length`, one integer stands for that many equal ones.

    Example:
        >>> positive_integers("channels", 8, 3)
        (8, 8, 8)
    """
    values = (value,) * length if length and is_integer(value) else value
    if not isinstance(values, (tuple, list)) or not values or not all(is_integer(v) and v >= 1 for v in values):
        kind = "an integer or a sequence of integers" if length else "a non-empty sequence of integers"
        raise ValueError(f"expected {argument} to be {kind} >= 1. Received: {argument}={value!r}")
    if length and len(values) != length:
        raise ValueError(f"expected {argument} to have {length} entries, one per level. Received: {argument}={value!r}")
    return tuple(int(v) for v in values)
