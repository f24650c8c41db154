"""Copies a model for export, as one graph in float32 from an image to logits, numbers or a denoised image."""

import re
from typing import Any

import keras

from keras_mgnet import compat
from keras_mgnet.errors import one_line
from keras_mgnet.models.meaning import NONE, SIGMOID, SOFTMAX

OTHER_PRECISION = re.compile("(mixed_)?(bfloat16|float16|float64)")


def float32_logits(model: keras.Model) -> keras.Model:
    """Returns a copy of a functional model with one image input, in float32 and without a final softmax or sigmoid.

    The layers of nested models become layers of the copy itself.

    Raises:
        ValueError: if a layer cannot be rebuilt from its configuration.

    Example:
        >>> from keras_mgnet import MgNet
        >>> backbone = MgNet((1,), 4, input_shape=(8, 8, 1), include_top=False, pooling="avg")
        >>> image = keras.Input((8, 8, 1))
        >>> model = keras.Model(image, keras.layers.Dense(3, "softmax", name="breeds")(backbone(image)))
        >>> [layer.name for layer in float32_logits(model).layers]
        ['image', 'stem', 'level1', 'pool', 'breeds']
    """
    return float32_twin(model)[0]


def float32_twin(model: keras.Model, answers: str | None = None) -> tuple[keras.Model, str | None]:
    """Returns the copy of `float32_logits`, and the name of the final activation: "softmax", "sigmoid" or None.

    With answers="none" the copy keeps its final activation.
    """
    copies = _Copies()
    image = keras.Input(model.inputs[0].shape[1:], dtype="float32", name="image")
    (output,) = keras.tree.flatten(copies.run(model, image))
    copies.take_weights()
    layer, x = copies.last
    activation = _probabilities_of(layer)
    if activation and answers != NONE:
        output = _before_activation(layer, x)
    return keras.Model(image, output, name=model.name), activation


class _Copies:
    """Makes the copies of layers, one copy for each layer."""

    def __init__(self) -> None:
        self.pairs: dict[int, tuple[Any, Any]] = {}  # id of a layer -> (the layer, its copy)
        self.names = {"image"}
        self.last: tuple[Any, Any] = (None, None)  # the copy that was called last, and its first input

    def run(self, model: keras.Model, inputs: Any) -> Any:
        """Runs a model with the copies of its layers, and returns the outputs."""
        return compat.run_through_graph(compat.graph(model), inputs, self.copy, self.call)

    def copy(self, layer: Any) -> Any:
        """Returns the copy of a layer. Returns a model unchanged, because `call` runs the copies of the layers of the model."""
        if compat.graph(layer) is not None:
            return layer
        if id(layer) not in self.pairs:
            self.pairs[id(layer)] = layer, _rebuilt(layer, name=self.unique(layer.name))
        return self.pairs[id(layer)][1]

    def unique(self, name: str) -> str:
        free, number = name, 1
        while free in self.names:
            number += 1
            free = f"{name}_{number}"
        self.names.add(free)
        return free

    def call(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        inputs = [x for x in keras.tree.flatten((args, kwargs)) if isinstance(x, keras.KerasTensor)]
        if compat.graph(layer) is None:
            self.last = layer, inputs[0]
            return layer(*args, **kwargs)
        if kwargs.get("training"):
            raise ValueError(f"expected '{layer.name}' to be called with training=False. Received: training=True")
        return self.run(layer, inputs)

    def take_weights(self) -> None:
        for layer, copy in self.pairs.values():
            _take_weights(layer, copy)


def _rebuilt(layer: Any, **changes: Any) -> Any:
    try:
        return type(layer).from_config(_in_float32(layer.get_config()) | changes)
    except Exception as error:  # code of others raises errors of any kind
        raise ValueError(
            f"expected layers that from_config rebuilds. Received: {layer.name} ({one_line(error)})"
        ) from error


def _in_float32(config: Any, is_dtype: bool = False) -> Any:
    if isinstance(config, dict):
        return {key: _in_float32(value, is_dtype or key == "dtype") for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(_in_float32(value, is_dtype) for value in config)
    return OTHER_PRECISION.sub("float32", config) if is_dtype and isinstance(config, str) else config


def _take_weights(layer: Any, copy: Any) -> None:
    if isinstance(layer, keras.Layer):
        for part, twin in zip(compat.flatten_layers(layer), compat.flatten_layers(copy), strict=True):
            store: dict[str, Any] = {}
            part.save_own_variables(store)
            twin.load_own_variables(store)


def _probabilities_of(layer: Any) -> str | None:
    """Returns "softmax" or "sigmoid" if a layer ends in it, else None."""
    activation = getattr(layer, "activation", None)
    kind = getattr(activation, "__name__", type(activation or layer).__name__).lower()
    return kind if kind in (SOFTMAX, SIGMOID) else None


def _before_activation(layer: Any, x: keras.KerasTensor) -> keras.KerasTensor:
    """Returns what a last layer with the input `x` computes its probabilities of."""
    if getattr(layer, "activation", None) is None:
        return x
    linear = _rebuilt(layer, activation=None)
    logits = linear(x)
    _take_weights(layer, linear)
    return logits
