"""One decorator that lets every constructor argument survive get_config, from_config and the saved file."""

import functools
import inspect
from typing import Any

import keras

_BASE = ("name", "dtype", "trainable")


def serializable(cls):
    """Registers a layer or model with Keras and returns its constructor arguments, defaults included, from get_config.

    The arguments are recorded when the object is built, so that no class repeats its signature in a `get_config`.

    Example:
        >>> @serializable
        ... class Scale(keras.layers.Layer):
        ...     def __init__(self, factor=2.0, *, name=None, dtype=None):
        ...         super().__init__(name=name, dtype=dtype)
        ...         self.factor = factor
        >>> Scale().get_config()["factor"]
        2.0
    """
    build = cls.__init__
    signature = inspect.signature(build)

    @functools.wraps(build)
    def init(self, *args, **kwargs):
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        if "dtype" in bound.arguments:
            bound.arguments["dtype"] = keras.dtype_policies.get(bound.arguments["dtype"])
        build(self, *args, **kwargs)
        if type(self) is cls:
            arguments = dict(list(bound.arguments.items())[1:])
            object.__setattr__(self, "_constructor_arguments", arguments)  # past Keras' attribute tracking

    def get_config(self) -> dict[str, Any]:
        config = {key: _plain(value) for key, value in self._constructor_arguments.items() if key not in _BASE}
        config["name"] = self.name
        config["dtype"] = keras.dtype_policies.serialize(self._constructor_arguments["dtype"])
        config["trainable"] = self.trainable
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]):
        config = dict(config)
        trainable = config.pop("trainable", True)
        if isinstance(config.get("dtype"), dict):
            config["dtype"] = keras.dtype_policies.deserialize(config["dtype"])
        instance = cls(**config)
        if not trainable:
            instance.trainable = False
        return instance

    init.__signature__ = signature  # Keras inspects it in __new__
    cls.__init__, cls.get_config, cls.from_config = init, get_config, from_config
    return keras.saving.register_keras_serializable(package="keras_mgnet")(cls)


def _plain(value: Any) -> Any:
    if isinstance(value, keras.KerasTensor):  # stands for the graph that computes it
        value = keras.Model(keras.utils.get_source_inputs(value), value)
    return keras.saving.serialize_keras_object(value) if callable(value) else value
