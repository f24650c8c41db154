"""Multilevel training: a trained network becomes the initial network of twice the depth (Lu2017; Haber, Ruthotto 2017)."""

import json

import keras
import numpy as np
from keras import ops

from keras_mgnet.layers import InTurn, Level
from keras_mgnet.models import HamiltonianNet

NOT_COMPUTED = {"name", "weights", "dtype", "recipe", "memory_free", "remat", "trainable", "frozen", "input_tensor"}


def interpolated(layers: np.ndarray) -> np.ndarray:
    """Returns twice as many layers (2 N, ...) for half the step size, by linear interpolation over the depth.

    Each of the layers (N, ...) belongs to the middle of its step. The first and the last line are continued to the ends.

    Example:
        >>> interpolated(np.array([0.0, 4.0])).tolist()
        [-1.0, 1.0, 3.0, 5.0]
    """
    slopes = np.diff(layers, axis=0)
    slopes = np.concatenate([slopes[:1], slopes, slopes[-1:]]) if len(slopes) else np.zeros((2, *layers.shape[1:]))
    return np.stack([layers - slopes[:-1] / 4, layers + slopes[1:] / 4], axis=1).reshape(-1, *layers.shape[1:])


def deepen(model: HamiltonianNet) -> HamiltonianNet:
    """Returns a network of twice as many blocks with half the step size, for the same differential equation.

    The kernels and biases of the blocks of a grid are interpolated over the depth, see `interpolated`. All other weights stay
    unchanged.

    Raises:
        ValueError: for a network of another family.

    Example:
        >>> deepen(HamiltonianNet(blocks=(2, 3), channels=4, dt=0.2, input_shape=(8, 8, 1))).name
        'hamiltonian42'
    """
    if not isinstance(model, HamiltonianNet):
        raise ValueError(f"expected a HamiltonianNet, which has a step size. Received: {type(model).__name__}")
    config = model.get_config()
    finer = {"blocks": [2 * count for count in config["blocks"]], "dt": config["dt"] / 2, "name": None}
    other = type(model).from_config(config | finer | {"weights": None})
    for grid, source in zip(_grids(other), _grids(model), strict=True):
        for variables, values in zip(zip(*_blocks(grid), strict=True), zip(*_blocks(source), strict=True), strict=True):
            for variable, value in zip(variables, interpolated(np.stack([*map(_array, values)])), strict=True):
                variable.assign(value)
    for variable, value in zip(_elsewhere(other), _elsewhere(model), strict=True):
        variable.assign(value)
    return other


def prolong(coarse: HamiltonianNet, like: HamiltonianNet) -> HamiltonianNet:
    """Returns `deepen(coarse)`, and checks that the result has the arguments of `like`.

    Raises:
        ValueError: if `coarse` is not the network `like` with half as many blocks and twice the step size.

    Example:
        >>> coarse, fine = (HamiltonianNet(blocks=(n,), channels=2, dt=1 / n, input_shape=(4, 4, 1)) for n in (1, 2))
        >>> prolong(coarse, fine).name == fine.name
        True
    """
    found = deepen(coarse)
    if changed := _changed(found, like):
        raise ValueError(
            f"expected {like.name} with half the blocks and twice dt. Received: {coarse.name}, which with twice the blocks and "
            f"half of dt differs in {', '.join(changed)}"
        )
    return found


def _changed(one: HamiltonianNet, other: HamiltonianNet) -> list[str]:
    """Returns the arguments in which two networks compute something else."""
    configs = [json.loads(json.dumps(model.get_config(), default=str)) for model in (one, other)]
    names = sorted({*configs[0], *configs[1]} - NOT_COMPUTED)
    return [name for name in names if configs[0].get(name) != configs[1].get(name)]


def _grids(model: HamiltonianNet) -> list[Level]:
    return [layer for layer in model.layers if isinstance(layer, Level)]


def _blocks(level: Level) -> list[list[keras.Variable]]:
    """Returns the variables of each block of a level."""
    field = level.field
    if isinstance(field, InTurn):
        return [force.weights for force in field.fields]
    return [[b, K.kernel] for b, K in zip(field.b, field.K, strict=True)]


def _elsewhere(model: HamiltonianNet) -> list[keras.Variable]:
    within = {id(variable) for level in _grids(model) for variable in level.weights}
    return [variable for variable in model.weights if id(variable) not in within]


def _array(variable: keras.Variable) -> np.ndarray:
    return ops.convert_to_numpy(variable)
