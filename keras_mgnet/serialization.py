"""One decorator that keeps every constructor argument through get_config, from_config and the saved file."""

import functools
import inspect
import reprlib
from collections.abc import Iterator
from numbers import Integral
from typing import Any, TypeVar

import keras
import numpy as np

from keras_mgnet import compat
from keras_mgnet.errors import check_known

Class = TypeVar("Class", bound=type)
_BASE = ("name", "dtype", "trainable", "weights")
CHANGES = ("frozen", "adapted", "quantized")
LIMITS = {  # most iterations, in all grids together: a configuration of a few bytes could name so many that building never ends
    **dict.fromkeys(("nu", "post_nu", "uses", "blocks", "modules", "stages", "branches"), 2_000),
    "depth": 10_000,
    "columns": 12,  # of a fractal network, whose longest column has 2^(columns - 1) convolutions per block
}


def serializable(cls: Class) -> Class:
    """Registers a layer or model with Keras and makes get_config return its constructor arguments, defaults included.

    The arguments are recorded when the object is built, so no class repeats its signature in a `get_config`. An unknown argument
    raises a ValueError that suggests the nearest match. An argument above its bound in `LIMITS` raises a ValueError before
    anything is built.

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
        _check_limits(bound.arguments)
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
            config["frozen"] = []
        return config | changes(self)

    def from_config(cls: Any, config: dict[str, Any]) -> Any:
        config = dict(config)
        trainable, changed = config.pop("trainable", True), {key: config.pop(key, ()) for key in CHANGES}
        if isinstance(config.get("dtype"), dict):
            config["dtype"] = keras.dtype_policies.deserialize(config["dtype"])
        instance = cls(**{key: _layer(value) for key, value in config.items()})
        if not trainable:
            instance.trainable = False
        restore(instance, **changed)
        return instance

    constructor: Any = init
    constructor.__signature__ = signature  # Keras inspects it in __new__
    kind.__init__, kind.get_config, kind.from_config = constructor, get_config, classmethod(from_config)
    return keras.saving.register_keras_serializable(package="keras_mgnet")(cls)


def _check_limits(arguments: dict[str, Any]) -> None:
    for name, most in LIMITS.items():
        value = arguments.get(name)
        counts, total = (value, " in all") if isinstance(value, (list, tuple)) else ([value], "")
        if sum(int(count) for count in counts if isinstance(count, Integral)) > most:
            raise ValueError(f"expected {name} <= {most}{total}. Received: {name}={reprlib.repr(value)}")


def changes(layer: keras.Layer) -> dict[str, dict[str, Any]]:
    """Returns the changes made inside a layer or model after its construction, as {kind: {path: value}}.

    The path is that of the changed part, such as "level1/field/A". There are three kinds:

    - "frozen": True or False for a part whose `trainable` differs from that of the layer or model directly around it.
    - "adapted": (rank, alpha) of a low-rank adapter.
    - "quantized": the quantisation mode.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in CHANGES}
    for path, part, whole in _parts(layer):
        if part.trainable != whole.trainable:
            found["frozen"][path] = not part.trainable
        if getattr(part, "lora_enabled", False):
            found["adapted"][path] = (part.lora_rank, part.lora_alpha)
        if getattr(part, "quantization_mode", None):
            found["quantized"][path] = part.quantization_mode
    return {name: paths for name, paths in found.items() if paths}


def restore(layer: keras.Layer, frozen: Any = (), adapted: Any = (), quantized: Any = ()) -> None:
    """Makes the changes that `changes` returned. In files of earlier versions, `frozen` is a list of layer names."""
    frozen = dict.fromkeys(frozen, True) if isinstance(frozen, (list, tuple)) else frozen
    for path, part, _ in _parts(layer):
        if path in frozen:
            part.trainable = not frozen[path]
        if path in adapted:
            rank, alpha = adapted[path]
            part.enable_lora(rank, lora_alpha=alpha)
        if path in quantized:
            part.quantize(quantized[path])


def _parts(whole: keras.Layer, path: str = "") -> Iterator[tuple[str, keras.Layer, keras.Layer]]:
    """Yields (path, part, layer directly around the part) for all layers inside `whole`. A layer comes before its parts."""
    for part in compat.flatten_layers(whole, direct=True):
        yield path + part.name, part, whole
        yield from _parts(part, f"{path}{part.name}/")


def _layer(value: Any) -> Any:
    """Rebuilds a layer from its config, if an argument was a layer. The graph of an input tensor stays a config."""
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
