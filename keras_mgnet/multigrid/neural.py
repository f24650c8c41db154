"""A trained network between functions in the solver: as its initial guess, and as a part of its preconditioner."""

from pathlib import Path

import keras
import numpy as np
from keras import ops

from keras_mgnet.files import expanded
from keras_mgnet.layers.operators.grid_norm import normalizers
from keras_mgnet.loading import load_model
from keras_mgnet.multigrid.iteration import check_solver
from keras_mgnet.multigrid.problems import AROUND, at_corners


def load_network(path: str | Path) -> keras.Model:
    """Loads a network from a .keras file, or from the best.keras of a run directory. Raises ValueError if it is none of ours."""
    path = expanded(path)
    return load_model(path / "best.keras" if path.is_dir() else path)


def initial_guess(network: keras.Model, x: np.ndarray) -> np.ndarray:
    """Returns what a network computes of functions x (N, n, n, 1), at the (n - 1)^2 inner corners of the cells.

    Raises:
        ValueError: if the network takes or returns other functions.

    Example:
        >>> import keras_mgnet
        >>> network = keras_mgnet.MgNO(4, 1, ((1, 0), (1, 0)), input_shape=(8, 8, 1))
        >>> initial_guess(network, np.ones((2, 8, 8, 1))).shape
        (2, 7, 7, 1)
    """
    _check(network, x.shape[1:])
    return at_corners(network.predict(x, verbose=0).astype("float64"))


def preconditioned(network: keras.Model, solver: keras.Model) -> keras.Model:
    """Returns a solver whose cycle corrects u by a network first, and then is a cycle of `solver`.

    The network was trained to map right-hand sides x to the solutions y of A y = x, as `pde:poisson` does. It gets the residual,
    scaled to the size of its training data, so the cycle is not linear. Use it in conjugate gradients, which are flexible. With a
    network that was not trained for this operator they need not converge.

    Args:
        network: (N, n + 1, n + 1, 1) -> (N, n + 1, n + 1, 1), at the centres of cells.
        solver: a model of `keras_mgnet.multigrid.solver` with n points per side.

    Raises:
        ValueError: if the grids do not fit together.

    Example:
        >>> import keras_mgnet
        >>> from keras_mgnet.multigrid import solver
        >>> network = keras_mgnet.MgNO(4, 1, ((1, 0), (1, 0)), input_shape=(8, 8, 1))
        >>> preconditioned(network, solver(7)).output_shape
        (None, 7, 7, 1)
    """
    check_solver(solver)
    n = solver.inputs[0].shape[1]
    _check(network, (n + 1, n + 1, 1))
    u, f = (keras.Input((n, n, 1), dtype=value.dtype, name=key) for key, value in zip("uf", solver.inputs, strict=True))
    r = solver.get_layer("residual")(f, u)
    usual = next((float(np.mean(layer.std)) for layer in normalizers(network) if not layer.inverse), 1.0)
    size = ops.sqrt(ops.mean(ops.square(r), axis=(1, 2, 3), keepdims=True)) / usual
    scaled = r / ops.where(size > 0, size, 1.0)
    x = at_corners(ops.pad(scaled, AROUND))
    e = at_corners(ops.cast(network(ops.cast(x, "float32")), u.dtype))
    return keras.Model([u, f], solver([u + e * size * (n + 1) ** 2, f]), name="preconditioned")


def _check(network: keras.Model, shape: tuple[int, ...]) -> None:
    found = tuple(network.input_shape[1:]), tuple(network.output_shape[1:])
    if any(ours is not None and ours != theirs for part in found for ours, theirs in zip(part, shape, strict=True)):
        expected = f"a network that maps functions of shape {shape} to such functions"
        raise ValueError(f"expected {expected}. Received: {network.name}, {found[0]} to {found[1]}")
