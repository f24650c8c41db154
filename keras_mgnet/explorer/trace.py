"""Traces a classifier so that it also returns its state after each iteration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras

from keras_mgnet.analysis.states import recorded
from keras_mgnet.description import features
from keras_mgnet.export.servable import Servable
from keras_mgnet.export.signatures import image_spec
from keras_mgnet.layers import Level, ResidualCorrection

if TYPE_CHECKING:
    import tensorflow as tf

States = dict[str, "tf.Tensor"]


@dataclass(frozen=True)
class Row:
    """The states of one quantity (u, r or x) of a level after successive iterations."""

    symbol: str  # u and r of an MgNet, x of a residual network, x_1, x_2, ... of a level that returns several states
    first: int  # iteration of the first state; earlier states are zero, have another shape, or are not recorded
    outputs: tuple[str, ...]  # names of the states in the outputs of the traced function


@dataclass(frozen=True)
class TracedLevel:
    """One level, with a row for each quantity."""

    name: str
    rows: tuple[Row, ...]


def traced(servable: Servable) -> tuple[tf.types.experimental.PolymorphicFunction, list[TracedLevel]]:
    """Returns (tf.function, levels). The function maps `image` (N, H, W, C) to `logits`, `probabilities`, `classes` and states.

    The states of MgNet and related networks are u^0, ..., u^nu and r^0, ..., r^nu on each level. The states of residual
    networks are x^0, ..., x^nu on each level. For other networks, the states are the outputs of each level.

    Example:
        >>> from keras_mgnet import MgNet
        >>> serve, levels = traced(Servable(MgNet((1,), 4, input_shape=(8, 8, 1))))
        >>> [(row.symbol, row.first, row.outputs) for row in levels[0].rows]
        [('u', 1, ('level1_u_1',)), ('r', 0, ('level1_r_0', 'level1_r_1'))]
    """
    if "classes" not in servable.answer.outputs:
        raise ValueError(f"expected a classifier. Received: {servable.model.name}, {type(servable.model).__name__}")
    import tensorflow as tf

    model, found = servable.model, []
    ends = features(model).output
    joint = keras.Model(model.input, {"logits": model.output, **ends})

    def serve(image):
        with recorded(model) as (iterates, residuals):
            outputs = joint(servable.preprocess(image), training=False)
        answers = servable.answer.compute(outputs["logits"])
        found[:] = []
        for name in ends:
            level, states = _level(model.get_layer(name), iterates.get(name), residuals.get(name), outputs[name])
            found.append(level)
            answers |= states
        return answers

    function = tf.function(serve, input_signature=[image_spec(servable.image_shape, "float32")], autograph=False)
    function.get_concrete_function()
    return function, found


def _level(level, iterates, residuals, end) -> tuple[TracedLevel, States]:
    rows, states = [], {}
    for symbol, first, tensors in _quantities(level, iterates, residuals, end):
        named = {f"{level.name}_{symbol}_{first + i}": tensor for i, tensor in enumerate(tensors)}
        rows.append(Row(symbol, first, tuple(named)))
        states |= named
    return TracedLevel(level.name, tuple(rows)), states


def _quantities(level, iterates, residuals, end):
    """Yields (symbol, iteration of the first tensor, tensors). The last tensor belongs to the last iteration."""
    if isinstance(level, Level) and isinstance(level.scheme, ResidualCorrection):
        yield "u", level.nu + 1 - len(iterates), iterates
        yield "r", 0, residuals[: level.nu + 1]  # in a V-cycle, only the residuals on the way down
    elif iterates is not None:
        yield "x", level.nu + 1 - len(iterates), iterates
    else:
        ends = end if isinstance(end, (tuple, list)) else (end,)
        symbols = ["x"] if len(ends) == 1 else [f"x_{i}" for i in range(1, len(ends) + 1)]
        for symbol, tensor in zip(symbols, ends, strict=True):
            yield symbol, getattr(level, "nu", 1), (tensor,)
