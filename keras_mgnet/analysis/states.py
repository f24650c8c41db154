"""The states that a network passes through, iteration by iteration."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mgnet.analysis.intercept import all_intercepted, levels
from keras_mgnet.analysis.result import batches
from keras_mgnet.errors import required
from keras_mgnet.layers import Euler, Level, LinearMultistep, ResidualCorrection

STEPPING = (Euler, LinearMultistep)  # schemes for x' = f(x), where x is one tensor
States = dict[str, list[np.ndarray]]  # level -> its states, each (N, H, W, c)


def iterates(model: keras.Model, images: np.ndarray) -> Iterator[States]:
    """Yields, batch by batch, the states of every level: x^0, ..., x^nu of residual blocks, or u^0, ..., u^nu of smoothing steps.

    x^0 is left out if the first block changes the shape, and u^0 is left out if it is zero.

    Example:
        >>> from keras_mgnet import ResNet
        >>> model = ResNet(8, blocks=(2, 3), base_width=2, input_shape=(8, 8, 1))
        >>> {level: len(states) for level, states in next(iterates(model, np.ones((1, 8, 8, 1)))).items()}
        {'level1': 3, 'level2': 3}
    """
    recorded_levels(model)
    return _computed(model, images, 0)


def residuals_of(model: keras.Model, images: np.ndarray) -> Iterator[States]:
    """Yields, batch by batch, the residuals r^0, r^1, ..., r^nu = f - A(u^nu) of every level of an MgNet.

    In a V-cycle the residuals of the way up follow. The first of them is after the correction from the coarse grid.

    Example:
        >>> from keras_mgnet import MgNet
        >>> states = next(residuals_of(MgNet((1, 2), 4, input_shape=(8, 8, 1)), np.ones((1, 8, 8, 1))))
        >>> {level: len(residuals) for level, residuals in states.items()}
        {'level1': 2, 'level2': 3}
    """
    grid_levels(model)
    return _computed(model, images, 1)


def _computed(model: keras.Model, images: np.ndarray, which: int) -> Iterator[States]:
    for x in batches(images):
        with recorded(model) as tables:
            model(x, training=False)
        yield {name: [ops.convert_to_numpy(state) for state in states] for name, states in tables[which].items()}


@contextmanager
def recorded(model: keras.Model) -> Iterator[tuple[dict[str, list[Any]], dict[str, list[Any]]]]:
    """Within the `with` block, records as tensors the states that `iterates` yields and the residuals that `residuals_of` yields.

    Yields two dictionaries, each from the name of a level to a list of tensors. Levels without such tensors are missing. Call the
    model once and directly, see `intercepted`. The call may be inside a traced function.

    Example:
        >>> from keras_mgnet import MgNet
        >>> model = MgNet((1, 2), 4, input_shape=(8, 8, 1))
        >>> with recorded(model) as (iterates, residuals):
        ...     logits = model(np.ones((1, 8, 8, 1)), training=False)
        >>> [tuple(u.shape) for u in iterates["level2"]], len(residuals["level2"])
        ([(1, 4, 4, 4), (1, 4, 4, 4), (1, 4, 4, 4)], 3)
    """
    stepping, grid = levels(model, *STEPPING), levels(model, ResidualCorrection)
    states: dict[str, list[Any]] = {level.name: [] for level in levels(model, *STEPPING, ResidualCorrection)}
    residuals: dict[str, list[Any]] = {level.name: [] for level in grid}
    owners = {level.field: level.name for level in grid}

    def evaluate(level, original, step, state, training):
        following = original(step, state, training)
        scheme, i = step.func.__self__, step.args[0]
        if scheme is level.scheme:  # not on the way up of a cycle
            before, after = (part[0] if level in stepping else part[0][0] for part in (state, following))
            if i == 0 and before is not None and before.shape == after.shape:
                states[level.name].append(before)
            states[level.name].append(after)
        return following

    def correction(system, original, i, r, smooth):
        residuals[owners[system]].append(r)
        return original(i, r, smooth)

    def call(level, original, *args, **kwargs):
        output = original(*args, **kwargs)
        if isinstance(output, tuple):  # not on the way up of a cycle
            residuals[level.name].append(output[1])
        return output

    with (
        all_intercepted([*stepping, *grid], "evaluate", evaluate),
        all_intercepted(owners, "correction", correction),
        all_intercepted(grid, "call", call),
    ):
        yield states, residuals


def recorded_levels(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns the levels whose states `iterates` yields. Raises ValueError if there are none."""
    return required(
        model, "a network of residual blocks or smoothing steps", levels(model, *STEPPING, ResidualCorrection)
    )


def grid_levels(model: keras.Model) -> list[Level]:
    """Returns the levels whose residuals `residuals_of` yields. Raises ValueError if there are none."""
    return required(model, "a network with residuals f - A(u), such as MgNet", levels(model, ResidualCorrection))
