"""Describes a network: its parameters, its multiply-adds, how often kernels are reused, and its levels."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_mgnet import compat
from keras_mgnet.annotations import Tensor
from keras_mgnet.layers import CycleLevel, Level, ResidualCorrection
from keras_mgnet.layers.operators.conv import Conv, recorded_applications
from keras_mgnet.layers.operators.whitening import whitenings

FIELDS = ("system", "blocks")  # names of fields; in the path of a kernel they add nothing
MANY = 6  # a table names the kernels of a level if there are at most so many


@dataclass(frozen=True)
class LevelInfo:
    """One row of the table that `describe` prints. A row is a stem, a level, a transfer or the classifier."""

    name: str  # name of the layer
    grid: tuple[int, int] | None  # (height, width) of the output; None for the classifier
    channels: tuple[int, ...]  # channels of the output; if u and r have different channels, (c_u, c_f)
    nu: int | None  # number of iterations; None for a layer without iterations
    params: int  # number of trainable parameters; a shared kernel counts once
    multiply_adds: int | None  # per image; None if the image size is not fixed, or the layer is of another package
    uses: dict[str, int]  # name of each convolution -> how often the convolution is applied


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
    rows = level_table(model)
    total = _total([row.multiply_adds for row in rows])
    lines = [
        f"{model.name}: {type(model).__name__}, {count_params(model):,} parameters, {_mega(total)} multiply-adds per image",
        *_scheme(model),
        f"levels: {sum(row.nu is not None for row in rows)}",
        f"{'':<12}{'grid':>11}{'channels':>12}{'nu':>4}{'parameters':>13}{'mult-adds':>12}   convolutions",
        *map(_line, rows),
        *(f"no output reads {path}: {size:,} parameters" for path, size in unread_kernels(model).items()),
        *(
            f"not trained: {_size(layer.kernel):,} weights of {short_path(layer.path)}, apart from the parameters above"
            for layer in whitenings(model)
        ),
    ]
    return "\n".join(lines)


def _scheme(model: keras.Model) -> list[str]:
    method = getattr(model, "method", None)  # a clone is a plain Keras model and has none
    if method is None:
        return []
    return [f"scheme: {method.name}, {method.step}", f"order: {method.order}; equation: {method.equation}"]


class _Trace(keras.Operation):
    """Runs a model on a symbolic tensor, so that every layer is called once."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__()
        self.model = model

    def call(self, x: Tensor) -> Tensor:
        return self.model(x)


def _line(row: LevelInfo) -> str:
    grid = "" if row.grid is None else " x ".join(str(size or "?") for size in row.grid)
    channels = "/".join(map(str, row.channels))
    return (
        f"{row.name:<12}{grid:>11}{channels:>12}{row.nu or '':>4}{row.params:>13,}{_mega(row.multiply_adds):>12}   "
        f"{_reuse(row.uses)}"
    ).rstrip()


def _reuse(uses: dict[str, int]) -> str:
    """Returns the names of the kernels, or the number of kernels if there are many."""
    if len(uses) > MANY:
        uses = {f"{count} kernels": times for times, count in Counter(uses.values()).items()}
    return ", ".join(name if times == 1 else f"{name} reused {times} times" for name, times in uses.items())


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
        multiply_adds=_total(costs),
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


def _total(costs: list[int | None]) -> int | None:
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None


def _size(variable: keras.Variable) -> int:
    return math.prod(variable.shape)


def _mega(count: int | None) -> str:
    return "?" if count is None else f"{count / 1e6:,.1f} M"
