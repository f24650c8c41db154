"""The states that a network passes through, iteration by iteration."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np
from keras import ops

from keras_mgnet.analysis.intercept import all_intercepted, levels
from keras_mgnet.analysis.result import batches
from keras_mgnet.errors import required
from keras_mgnet.layers import GridLevel, ResidualLevel

States = dict[str, list[np.ndarray]]  # level -> its states, each (N, H, W, c)


def iterates(model: keras.Model, images: np.ndarray) -> Iterator[States]:
    """Yields, batch by batch, the states of every level: x^0 (where block 0 keeps the shape), x^1, ..., x^nu, or u^0, ..., u^nu.

    Without u^0 where it is zero.

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

    A V-cycle's go on with those after the correction by the coarse grid.

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
def recorded(model: keras.Model) -> Iterator[tuple[dict[str, list], dict[str, list]]]:
    """While open, a call of the model leaves its states here, as tensors: those of `iterates` and those of `residuals_of`.

    Levels that have none are missing. Call the model once and directly, see `intercepted`; a function that is traced may do so.

    Example:
        >>> from keras_mgnet import MgNet
        >>> model = MgNet((1, 2), 4, input_shape=(8, 8, 1))
        >>> with recorded(model) as (iterates, residuals):
        ...     logits = model(np.ones((1, 8, 8, 1)), training=False)
        >>> [tuple(u.shape) for u in iterates["level2"]], len(residuals["level2"])
        ([(1, 4, 4, 4), (1, 4, 4, 4), (1, 4, 4, 4)], 3)
    """
    residual, grid = levels(model, ResidualLevel), levels(model, GridLevel)
    states = {level.name: [] for level in levels(model, ResidualLevel, GridLevel)}
    residuals = {level.name: [] for level in grid}
    of_scheme = {level.scheme: states[level.name] for level in grid}

    def parts(level, original, i, x, training):
        if i > 0 or level.R is None:
            states[level.name].append(x)
        return original(i, x, training)

    def next_state(scheme, original, i, before, candidates):
        if i == 0 and not isinstance(before[0][0], float):
            of_scheme[scheme].append(before[0][0])
        state = original(i, before, candidates)
        of_scheme[scheme].append(state[0])
        return state

    def correction(level, original, i, r):
        residuals[level.name].append(r)
        return original(i, r)

    def call_residual(level, original, *args, **kwargs):
        output = original(*args, **kwargs)
        states[level.name].append(output[0] if isinstance(output, tuple) else output)
        return output

    def call_grid(level, original, *args, **kwargs):
        output = original(*args, **kwargs)
        if isinstance(output, tuple):  # not on the way up of a cycle
            residuals[level.name].append(output[1])
        return output

    with (
        all_intercepted(residual, "parts", parts),
        all_intercepted(residual, "call", call_residual),
        all_intercepted(of_scheme, "next_state", next_state),
        all_intercepted(grid, "correction", correction),
        all_intercepted(grid, "call", call_grid),
    ):
        yield states, residuals


def recorded_levels(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns the levels that have `iterates`; raises ValueError where there are none."""
    return required(model, "a network of residual blocks or smoothing steps", levels(model, ResidualLevel, GridLevel))


def grid_levels(model: keras.Model) -> list[GridLevel]:
    """Returns the levels that have `residuals_of`; raises ValueError where there are none."""
    return required(model, "a network with residuals f - A(u), such as MgNet", levels(model, GridLevel))
