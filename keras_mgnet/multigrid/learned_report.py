"""Pictures of a learned smoother: its training, its stencil, and the errors that it reduces."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from keras import ops

from keras_mgnet.multigrid.learn import smoothed_levels
from keras_mgnet.reporting import DIVERGING, SEQUENTIAL, finish, new_figure, save

SHOWN = 8  # points shown on each side of the middle
FREQUENCIES = 64


def plot_learned(model: keras.Model, losses: Sequence[float], title: str, path: str | Path) -> None:
    """Draws a PNG of the convergence factor during training, and of B and the gain |1 - B A| on the first grid (`responses`).

    `model` is a model of `learned_solver`. `losses` are the mean logarithms of the convergence factor in the training steps.
    """
    B, gain = responses(model)
    figure = new_figure(13, 4, title)
    left, middle, right = figure.subplots(1, 3)
    left.plot(np.exp(losses), linewidth=0.8)
    finish(left, xlabel="step of training", ylabel="factor of a cycle", ylim=(0, min(1.5, max(np.exp(losses)))))
    largest = np.abs(B).max()
    image = middle.imshow(B, cmap=DIVERGING, vmin=-largest, vmax=largest, extent=(-SHOWN - 0.5, SHOWN + 0.5) * 2)
    middle.set(title="B of a unit residual in the middle", xlabel="x / h", ylabel="y / h")
    figure.colorbar(image, ax=middle)
    limits = {"vmin": 0, "vmax": max(1.0, gain.max()), "extent": (-1, 1, -1, 1)}
    image = right.imshow(gain, cmap=SEQUENTIAL, origin="lower", **limits)
    right.set(title="|1 - B A|, one smoothing step", xlabel=r"$\theta_x / \pi$", ylabel=r"$\theta_y / \pi$")
    right.plot([-0.5, 0.5, 0.5, -0.5, -0.5], [-0.5, -0.5, 0.5, 0.5, -0.5], color="white", linewidth=0.8)
    figure.colorbar(image, ax=right)
    save(figure, path)


def responses(model: keras.Model) -> tuple[np.ndarray, np.ndarray]:
    """Returns how the first smoothing step of a solver responds to a unit error in the middle of the first grid.

    Returns:
        B e around the middle, (17, 17), and the gain |1 - B A| for frequencies from -pi to pi, (64, 64). e is one in the middle
        and zero elsewhere. The gain is the modulus of the Fourier transform of (I - B A) e. If the coefficients of the problem
        are constant, the gain is the modulus of the symbol of I - B A.
    """
    level = smoothed_levels(model)[0]
    scheme = level.scheme if level.scheme.nu else level.post_scheme
    n, dtype = model.inputs[0].shape[1], level.compute_dtype
    size = max(n, FREQUENCIES + 1)
    e = np.zeros((1, n, n, 1))
    e[0, n // 2, n // 2, 0] = 1
    system = level.field.at(0)
    e = ops.convert_to_tensor(e, dtype=dtype)
    Be, BAe = (scheme.smoothed(0, system, r) for r in (e, system.product(e)))
    seen, left = (_around(ops.convert_to_numpy(x)[0, :, :, 0], size) for x in (Be, e - BAe))
    gain = np.abs(np.fft.fftshift(np.fft.fft2(left, (FREQUENCIES, FREQUENCIES))))
    middle = FREQUENCIES // 2
    return seen[middle - SHOWN : middle + SHOWN + 1, middle - SHOWN : middle + SHOWN + 1], gain


def _around(x: np.ndarray, size: int) -> np.ndarray:
    """Returns the 64 x 64 values around the middle of a grid, zero outside the grid."""
    x = np.pad(x, (size - len(x)) // 2 + 1)
    start = len(x) // 2 - FREQUENCIES // 2
    return x[start : start + FREQUENCIES, start : start + FREQUENCIES]
