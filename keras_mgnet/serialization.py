"""One decorator that keeps every constructor argument through get_config, from_config and the saved file."""

import functools
import inspect
from typing import Any, TypeVar

import keras
import numpy as np

from keras_mgnet.errors import check_known

Class = TypeVar("Class", bound=type)
_BASE = ("name", "dtype", "trainable", "weights")


def serializable(cls: Class) -> Class:
    """Registers a layer or model with Keras and makes get_config return its constructor arguments, defaults included.

    The arguments are recorded when the object is built, so no class repeats its signature in a `get_config`. An unknown argument
    raises a ValueError that suggests the nearest match.

    Example:
        >>> @serializable
        ... class Scale(keras.layers.Layer):
        ...     def __init__(self, factor=2.0, *, name=None, dtype=None):
        ...         super().__init__(name=name, dtype=dtype)
        ...         self.factor = factor
        >>> Scale().get_config()["factor"]
        2.0
    """
    kind: Any = cls
    build = kind.__init__
    signature = inspect.signature(build)

    @functools.wraps(build)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            bound = signature.bind(self, *args, **kwargs)
        except TypeError:
            for name in kwargs:
                check_known(f"argument of {cls.__name__}", name, list(signature.parameters)[1:])
            raise
        bound.apply_defaults()
        if "dtype" in bound.arguments:
            bound.arguments["dtype"] = keras.dtype_policies.get(bound.arguments["dtype"])
        build(self, *args, **kwargs)
        arguments = dict(list(bound.arguments.items())[1:])
        object.__setattr__(self, "_constructor_arguments", arguments)  # past Keras' attribute tracking

    def get_config(self: Any) -> dict[str, Any]:
        config = {key: _plain(value) for key, value in self._constructor_arguments.items() if key not in _BASE}
        config["name"] = self.name
        config["dtype"] = keras.dtype_policies.serialize(self._constructor_arguments["dtype"])
        config["trainable"] = self.trainable
        if isinstance(self, keras.Model):
            config["weights"] = None  # the values are now part of the model and no longer come from that file
            config["frozen"] = [layer.name for layer in self.layers if self.trainable and not layer.trainable]
        return config

    def from_config(cls: Any, config: dict[str, Any]) -> Any:
        config = dict(config)
        trainable, frozen = config.pop("trainable", True), config.pop("frozen", ())
        if isinstance(config.get("dtype"), dict):
            config["dtype"] = keras.dtype_policies.deserialize(config["dtype"])
        instance = cls(**{key: _layer(value) for key, value in config.items()})
        if not trainable:
            instance.trainable = False
        for name in frozen:
            instance.get_layer(name).trainable = False
        return instance

    constructor: Any = init
    constructor.__signature__ = signature  # Keras inspects it in __new__
    kind.__init__, kind.get_config, kind.from_config = constructor, get_config, classmethod(from_config)
    return keras.saving.register_keras_serializable(package="keras_mgnet")(cls)


def _layer(value: Any) -> Any:
    """Rebuilds a layer that was an argument from its config. The graph of an input tensor stays a config."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(_layer, value))
    if not isinstance(value, dict) or value.get("class_name") in (None, "Functional", "Model"):
        return value
    unbuilt = {key: entry for key, entry in value.items() if key != "build_config"}  # the owner builds it, in its scope
    return keras.saving.deserialize_keras_object(unbuilt)


def _plain(value: Any) -> Any:
    if isinstance(value, keras.KerasTensor):  # represents the graph that computes it
        value = keras.Model(keras.utils.get_source_inputs(value), value)
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value))
    if isinstance(value, np.generic):
        return value.item()
    return keras.saving.serialize_keras_object(value) if callable(value) else value
