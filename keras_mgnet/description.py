"""Describes a network: its parameters, its multiply-adds, how often kernels are reused, and its levels."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import keras

from keras_mgnet import compat
from keras_mgnet.annotations import Tensor
from keras_mgnet.layers import CycleLevel, Level, ResidualCorrection
from keras_mgnet.layers.operators.conv import Conv, recorded_applications
from keras_mgnet.layers.operators.whitening import whitenings
from keras_mgnet.zoo import Description, LevelInfo, total

FIELDS = ("system", "blocks")  # names of fields; in the path of a kernel they add nothing


def count_params(model: keras.Model) -> int:
    """Returns the number of trainable parameters. A shared kernel counts once.

    Example:
        >>> from keras_mgnet import MgNet
        >>> count_params(MgNet((2, 2, 2, 2), 64))
        521418
    """
    _check_model(model, keras.Layer)
    return sum(_size(variable) for variable in {id(v): v for v in model.trainable_variables}.values())


def features(model: keras.Model) -> keras.Model:
    """Returns a model that maps images to {"level1": (u, r), "level2": ...}, or to {"level1": x, "level2": ...} for a ResNet.

    Example:
        >>> from keras_mgnet import MgNet
        >>> u, r = features(MgNet((1, 1), 4, input_shape=(8, 8, 1)))(keras.ops.ones((1, 8, 8, 1)))["level2"]
        >>> tuple(u.shape)
        (1, 4, 4, 4)
    """
    _check_model(model)
    return keras.Model(model.input, level_outputs(model), name=f"{model.name}_features")


def level_outputs(model: keras.Model) -> dict[str, Any]:
    """Returns {name of a level: its symbolic output}, as in `features`; empty for a model without levels."""
    return {
        layer.name: layer.output for layer in model.layers if layer.name.startswith("level") and hasattr(layer, "nu")
    }


def _check_model(model: object, kind: type = keras.Model) -> None:
    if not isinstance(model, kind):
        raise ValueError(f"expected a Keras model. Received: {model!r}")


def short_path(path: str) -> str:
    """Shortens the path of a layer. Removes the names of fields, and removes repeated names.

    Example:
        >>> short_path("transfer2/R/R"), short_path("level1/system/A")
        ('transfer2/R', 'level1/A')
    """
    return "/".join(dict.fromkeys(part for part in path.split("/") if part not in FIELDS))


def level_table(model: keras.Model) -> list[LevelInfo]:
    """Returns one row for each stem, level, transfer and classifier, in the order of the graph.

    The multiply-adds are those of the convolutions and of the classifier for one image. MgNet updates the residual by r - A * e,
    where e is the correction of u. After the last iteration of the last level, this residual is never used. Its product A * e is
    not counted, because compilers remove it. In a V-cycle the same is true for every level.
    """
    _check_model(model)
    applications = _applications(model)
    return [_row(layer, applications) for layer in model.layers if layer.weights]


def unread_kernels(model: keras.Model) -> dict[str, int]:
    """Returns {path: number of parameters} of the kernels that no output reads.

    In MgNet, the last A of the last level is such a kernel, unless an earlier iteration of the level reads it. The published
    sizes count these kernels.

    Example:
        >>> from keras_mgnet import MgNet
        >>> unread_kernels(MgNet((2, 1), 4, input_shape=(8, 8, 1)))
        {'level2/A': 144}
    """
    applied = {id(conv) for conv, _ in _applications(model)}
    convs = [part for part in compat.flatten_layers(model) if isinstance(part, Conv) and id(part) not in applied]
    return {short_path(conv.path): count_params(conv) for conv in convs}


def describe(model: keras.Model) -> str:
    """Returns a description of a model as text: its scheme, and a table of its levels.

    Example:
        >>> from keras_mgnet import MgNet
        >>> print(describe(MgNet((2, 2), 8, input_shape=(8, 8, 1), name="tiny")).splitlines()[0])
        tiny: MgNet, 3,794 parameters, 0.2 M multiply-adds per image
    """
    return str(description(model))


def description(model: keras.Model) -> Description:
    """Returns what `describe` prints, as data."""
    _check_model(model)
    method = getattr(model, "method", None)  # a clone is a plain Keras model and has none
    return Description(
        name=model.name,
        family=type(model).__name__,
        params=count_params(model),
        method=method and method._asdict(),
        levels=tuple(level_table(model)),
        unread=unread_kernels(model),
        untrained={short_path(layer.path): _size(layer.kernel) for layer in whitenings(model)},
    )


class _Trace(keras.Operation):
    """Runs a model on a symbolic tensor, so that every layer is called once."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__()
        self.model = model

    def call(self, x: Tensor) -> Tensor:
        return self.model(x)


def _uses(layer: keras.layers.Layer, own: Sequence[tuple[keras.layers.Layer, int | None]]) -> dict[str, int]:
    paths = (short_path(conv.path.removeprefix(f"{layer.path}/")) for conv, _ in own)
    return dict(Counter(path.removeprefix("f/") for path in paths))


def _row(layer: keras.layers.Layer, applications: list[tuple[keras.layers.Layer, int | None]]) -> LevelInfo:
    outputs = layer.output if isinstance(layer.output, (tuple, list)) else [layer.output]
    grid = tuple(outputs[0].shape[1:3]) if len(outputs[0].shape) == 4 else None
    own = [entry for entry in applications if any(entry[0] is part for part in compat.flatten_layers(layer))]
    costs = [cost for _, cost in own]
    if isinstance(layer, keras.layers.Dense):
        costs.append(_size(layer.kernel))
    elif _is_foreign(layer) and any(len(weight.shape) > 1 for weight in layer.weights):
        costs.append(None)  # how often its kernel is applied was not recorded
    return LevelInfo(
        name=layer.name,
        grid=grid,
        channels=tuple(dict.fromkeys(tensor.shape[-1] for tensor in outputs)),
        nu=getattr(layer, "nu", None),
        params=count_params(layer),
        multiply_adds=total(costs),
        uses=_uses(layer, own),
    )


def _is_foreign(layer: keras.layers.Layer) -> bool:
    return not keras.saving.get_registered_name(type(layer)).startswith("keras_mgnet>")


def _applications(model: keras.Model) -> list[tuple[keras.layers.Layer, int | None]]:
    """Returns (convolution, multiply-adds per image) of every application of a convolution that an output reads."""
    (shape,) = (tensor.shape[1:] for tensor in model.inputs)
    with recorded_applications() as applications:
        _Trace(model).compute_output_spec(keras.KerasTensor((1, *shape), dtype=model.inputs[0].dtype))
    _drop_unread_product(model, applications)
    return applications


def _drop_unread_product(model: keras.Model, applications: list[tuple[keras.layers.Layer, int | None]]) -> None:
    levels = [
        layer for layer in model.layers if isinstance(layer, Level) and isinstance(layer.scheme, ResidualCorrection)
    ]
    for level in [level for level in levels if isinstance(level, CycleLevel)] or levels[-1:]:
        index = max(i for i, (conv, _) in enumerate(applications) if conv is level.field.A[-1])
        del applications[index]


def _size(variable: keras.Variable) -> int:
    return math.prod(variable.shape)
