"""Multilevel training: trained networks become initial networks of twice the depth or twice the resolution (Lu2017)."""

import json

import keras
import numpy as np
from keras import ops

from keras_mgnet.layers import InTurn, Level
from keras_mgnet.models import HamiltonianNet
from keras_mgnet.models.network import Network
from keras_mgnet.multigrid.rescaling import rescale

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


def prolong(coarse: Network, like: Network) -> Network:
    """Returns a network with the input and the depth of `like`, made of a trained one by `deepen` and `rescale`, in this order.

    Args:
        coarse: a network as `like`, for images of half the height and width, or of half as many blocks with twice the step size,
            or both.
        like: a network whose weights are not used.

    Raises:
        ValueError: if the two networks differ in another way, or in none.

    Example:
        >>> coarse, fine = (HamiltonianNet(blocks=(n,), channels=2, dt=1 / n, input_shape=(4 * n, 4 * n, 1)) for n in (1, 2))
        >>> prolong(coarse, fine).input_shape
        (None, 8, 8, 1)
    """
    found = coarse
    if _changed(found, like, "blocks"):
        found = deepen(found)
    if _changed(found, like, "input_shape"):
        found = rescale(found, 2)
    if found is coarse or type(coarse) is not type(like) or _changed(found, like):
        names = ", ".join(_changed(found, like)) or "nothing"
        raise ValueError(
            f"expected {like.name} with half the height and width, or with half the blocks and twice dt. "
            f"Received: {coarse.name}, which differs in {names} if prolonged"
        )
    return found


def _changed(one: Network, other: Network, *names: str) -> list[str]:
    """Returns the arguments in which two networks differ, of these names or of all that say what a network computes."""
    configs = [json.loads(json.dumps(model.get_config(), default=str)) for model in (one, other)]
    names = names or tuple(sorted({*configs[0], *configs[1]} - NOT_COMPUTED))
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
