"""Local Fourier analysis of the learned smoothers of an MgNet. A smoothing step multiplies the residual r by I - A B."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import keras
import numpy as np
from keras import ops

from keras_mgnet.analysis.intercept import all_intercepted, levels
from keras_mgnet.analysis.result import PICTURE_ONLY, batches
from keras_mgnet.analysis.states import residuals_of
from keras_mgnet.errors import required
from keras_mgnet.layers import Conv, Level, Norm, ResidualCorrection, autodiff
from keras_mgnet.layers.sharing import instance
from keras_mgnet.reporting import SEQUENTIAL, finish, new_figure, save, style

FREQUENCIES = 32  # per axis
BINS = 8
DRAWN = 8  # number of channels between which symbols are drawn


@dataclass(frozen=True)
class Spectra:
    """How the smoothing steps of each level change the frequencies theta of the residual.

    A frequency theta = (theta_1, theta_2) is high if max(|theta_1|, |theta_2|) >= pi / 2. nu is the number of iterations of the
    level, T is `FREQUENCIES`, and c is the number of channels of the residual.
    """

    radius: dict[str, np.ndarray]  # spectral radius of the symbol, (nu, T, T) over theta in [-pi, pi)^2
    eigenvalues: dict[str, np.ndarray] = field(metadata=PICTURE_ONLY)  # all eigenvalues of the symbol, (nu, T, T, c)
    drawn: dict[str, list[int]]  # channels whose symbols are drawn: those that the last step mixes most
    symbols: dict[str, np.ndarray] = field(
        metadata=PICTURE_ONLY
    )  # |symbol| of the last step between the n channels `drawn`, (T, T, n, n)
    pairs: dict[str, np.ndarray]  # mean of |symbol| over the high frequencies, (nu, c, c), by output and input channel
    high: dict[str, list[float]]  # per iteration the largest radius over the high frequencies: the smoothing factor
    low: dict[str, list[float]]  # the same over the low frequencies
    # For each iteration ||r^{i+1}|| / ||r^i|| of the residuals in the network, in `BINS` rings of equal width in
    # max(|theta_1|, |theta_2|). NaN for a ring without a frequency of the grid.
    measured: dict[str, np.ndarray]

    def summary(self) -> str:
        factors = [factor for own in self.high.values() for factor in own]
        rings = np.concatenate(list(self.measured.values())).reshape(-1, 2, BINS // 2)
        known = np.isfinite(rings).sum(2)
        low, high = (np.nansum(rings, 2) / np.where(known, known, np.nan)).T
        return (
            f"smoothing factors from {min(factors):.2f} to {max(factors):.2f}; "
            f"{int((high < low).sum())} of {len(factors)} steps leave less of high frequencies than of low ones"
        )


def frequencies(n: int = FREQUENCIES) -> np.ndarray:
    """Returns the n x n pairs (theta_1, theta_2) of a grid over [-pi, pi)^2, (n, n, 2)."""
    theta = 2 * np.pi * (np.arange(n) - n // 2) / n
    return np.stack(np.meshgrid(theta, theta, indexing="ij"), axis=-1)


def symbol(kernel: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Returns the symbol sum_k K[k]^T exp(i k theta) of a convolution K, by which K multiplies the wave of frequency theta.

    The sum runs over the offsets k of the kernel K (h, w, c_in, c_out). The result is (T, T, c_out, c_in) for theta (T, T, 2).

    Example:
        >>> laplace = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])[:, :, None, None]
        >>> round(float(symbol(laplace, np.array([[[np.pi, np.pi]]])).real.item()), 12)
        8.0
    """
    rows, columns = (np.arange(size) - size // 2 for size in kernel.shape[:2])
    waves = np.exp(1j * (theta[..., 0, None, None] * rows[:, None] + theta[..., 1, None, None] * columns))
    return np.einsum("xyhw,hwio->xyoi", waves, kernel)


def step_symbol(A: np.ndarray, B: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Returns the symbol of I - A B, (T, T, c_f, c_f), for A (k, k, c_u, c_f), B (k, k, c_f, c_u) and theta (T, T, 2)."""
    product = symbol(A, theta) @ symbol(B, theta)
    return np.eye(product.shape[-1]) - product


def is_high(theta: np.ndarray) -> np.ndarray:
    """Returns whether max(|theta_1|, |theta_2|) >= pi / 2, (T, T). The next coarser grid cannot represent these frequencies."""
    return np.abs(theta).max(-1) >= np.pi / 2 - 1e-12


def smoothing_factor(A: np.ndarray, B: np.ndarray, n: int = 2 * FREQUENCIES) -> float:
    """Returns the largest spectral radius of the symbol of I - A B over the high frequencies.

    Example:
        >>> A = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])[:, :, None, None]  # Poisson
        >>> B = np.array([[4 / 5 / 4]])[:, :, None, None]  # Jacobi, omega = 4/5
        >>> round(smoothing_factor(A, B), 12)
        0.6
    """
    theta = frequencies(n)
    return float(np.abs(np.linalg.eigvals(step_symbol(A, B, theta)[is_high(theta)])).max())


def spectra(model: keras.Model, images: np.ndarray) -> Spectra:
    """Returns the symbols of the smoothing steps of a trained MgNet, and the measured change of its residuals.

    The symbol of step i is that of I - A_i G_2 B_i G_1. B_i includes the factor of the scheme, such as sigmoid(a) of the smoother
    "damped". The diagonal matrices G_1 and G_2 linearise s1 and s2, the norms with their activations. Their entry for a channel
    is the scale of the norm times the mean derivative of the activation over the images. `measured` needs no linearisation.

    Args:
        model: a network whose levels have a linear A and a B.
        images: normalised images (N, H, W, C).

    Example:
        >>> from keras_mgnet import MgNet
        >>> spectra(MgNet((1, 2), 3, input_shape=(8, 8, 1)), np.ones((2, 8, 8, 1))).radius["level2"].shape
        (2, 32, 32)
    """
    own, theta = smoothing_levels(model), frequencies()
    high = is_high(theta)
    gains = _mean_slopes(model, images, own)
    symbols = {level.name: _symbols(level, gains, theta) for level in own}
    eigenvalues = {name: np.linalg.eigvals(found) for name, found in symbols.items()}
    radius = {name: np.abs(found).max(-1) for name, found in eigenvalues.items()}
    drawn = {name: _most_mixed(found[-1]) for name, found in symbols.items()}
    return Spectra(
        radius=radius,
        eigenvalues=eigenvalues,
        drawn=drawn,
        symbols={name: np.abs(found[-1][:, :, drawn[name]][..., drawn[name]]) for name, found in symbols.items()},
        pairs={name: np.abs(found[:, high]).mean(1) for name, found in symbols.items()},
        high={name: found[:, high].max(1).tolist() for name, found in radius.items()},
        low={name: found[:, ~high].max(1).tolist() for name, found in radius.items()},
        measured=_measured(model, images, own),
    )


def smoothing_levels(model: keras.Model) -> list[Level]:
    """Returns the levels of a network with a linear A and a B. Raises ValueError if there are none."""
    own = [
        level
        for level in levels(model, ResidualCorrection)
        if level.field.B and level.field.is_linear and isinstance(level.field.A[0], Conv)
    ]
    return required(model, "a network with A and B, such as MgNet", own)


def plot_spectra(result: Spectra, path) -> None:
    """Draws a row per level to a PNG: radius over theta, eigenvalues, symbols of channel pairs, measured reduction."""
    rows = len(result.radius)
    figure = new_figure(16, 3.5 * rows, "Smoothing steps r <- (I - A B) r by frequency, iteration by iteration")
    for row, name in zip(figure.subplots(rows, 4, squeeze=False), result.radius, strict=True):
        _draw_radius(figure, row[0], name, result.radius[name][-1])
        _draw_eigenvalues(row[1], result.eigenvalues[name])
        _draw_pairs(figure, row[2], result.symbols[name], result.drawn[name])
        for i, values in enumerate(result.measured[name]):
            places, known = (np.arange(BINS) + 0.5) / BINS, np.isfinite(values)
            row[3].semilogy(places[known], values[known], label=f"step {i}", **style(i))
        row[3].axhline(1, color="gray", linewidth=0.8, linestyle=":")
        row[3].axvline(0.5, color="gray", linewidth=0.8)
        finish(row[3], title="measured: ||r^{i+1}|| / ||r^i||", xlabel="max |theta| / pi; high from 0.5")
    save(figure, path)


def _draw_radius(figure, axes, name: str, radius: np.ndarray) -> None:
    shown = axes.imshow(radius.T, cmap=SEQUENTIAL, origin="lower", extent=(-1, 1, -1, 1), vmin=0)
    axes.plot([-0.5, 0.5, 0.5, -0.5, -0.5], [-0.5, -0.5, 0.5, 0.5, -0.5], color="white", linestyle="--")
    figure.colorbar(shown, ax=axes)
    axes.set(title=f"{name}: spectral radius, last step", xlabel="theta_1 / pi", ylabel="theta_2 / pi")


def _draw_pairs(figure, axes, symbols: np.ndarray, channels: list[int]) -> None:
    """Draws the symbols of all pairs of channels over theta, side by side in a square."""
    T, _, n, _ = symbols.shape
    framed = np.pad(symbols.transpose(2, 1, 3, 0), ((0, 0), (0, 2), (0, 0), (0, 2)), constant_values=np.nan)
    side = T + 2
    shown = axes.imshow(framed[:, ::-1].reshape(n * side, n * side), cmap=SEQUENTIAL, vmin=0)
    figure.colorbar(shown, ax=axes)
    places = side * (np.arange(n) + 0.5)
    axes.set_xticks(places, channels)
    axes.set_yticks(places, channels)
    axes.set(title="|symbol| of channel pairs, last step", xlabel="from channel", ylabel="to channel")


def _draw_eigenvalues(axes, eigenvalues: np.ndarray) -> None:
    high = is_high(frequencies())
    for i, own in enumerate(eigenvalues):
        values = own[high].ravel()
        axes.plot(values.real, values.imag, ".", markersize=1.5, alpha=0.4, color=style(i)["color"], label=f"step {i}")
    turn = np.linspace(0, 2 * np.pi, 200)
    axes.plot(np.cos(turn), np.sin(turn), color="gray", linewidth=1)
    axes.set_aspect("equal", adjustable="datalim")
    finish(axes, legend=False, title="eigenvalues at high theta, unit circle", xlabel="Re", ylabel="Im")
    axes.legend(fontsize="small", markerscale=6)


def _symbols(level: Level, gains: dict[int, np.ndarray], theta: np.ndarray) -> np.ndarray:
    """Returns the symbol of each iteration of a level, (nu, T, T, c_f, c_f). B includes the factor of the scheme."""
    steps = []
    for i in range(level.nu):
        system = level.field
        A, B = (ops.convert_to_numpy(instance(convs, i).kernel).astype(np.float64) for convs in (system.A, system.B))
        factor = float(level.scheme.smoothed(i, SimpleNamespace(smooth=lambda r: r), ops.ones(())))
        before, behind = (_scale(norms[i], gains) for norms in (system.s1, system.s2))
        steps.append(step_symbol(A, factor * B * before[:, None] * behind, theta))
    return np.stack(steps)


def _most_mixed(symbol: np.ndarray) -> list[int]:
    """Returns up to `DRAWN` channels that a symbol (T, T, c, c) changes most, in ascending order."""
    strength = np.square(np.abs(symbol - np.eye(symbol.shape[-1]))).sum((0, 1))
    return np.sort(np.argsort(-(strength.sum(0) + strength.sum(1)))[:DRAWN]).tolist()


def _scale(norm, gains: dict[int, np.ndarray]) -> np.ndarray:
    scale = norm.affine()[0] if isinstance(norm, Norm) else np.ones(1)
    return scale * gains.get(id(norm), 1.0)


def _mean_slopes(model: keras.Model, images: np.ndarray, own: list[Level]) -> dict[int, np.ndarray]:
    """Returns {id of a layer: mean derivative of its activation over images and grid, (c,)} for the layers of s1 and s2.

    Such a layer is a norm with its activation or, in a network without norms, the activation alone.
    """
    norms = [
        norm for level in own for norm in (*level.field.s1, *level.field.s2) if isinstance(norm, keras.layers.Layer)
    ]
    sums: dict[int, list[np.ndarray]] = {id(norm): [] for norm in norms}

    def activation(norm, original, x):
        y, pull = autodiff.vjp(original, x)
        (slope,) = pull(ops.ones_like(y))
        sums[id(norm)].append(ops.convert_to_numpy(ops.mean(slope, axis=(0, 1, 2))) * len(x))
        return y

    with all_intercepted(norms, "activation", activation):
        for x in batches(images):
            model(x, training=False)
    return {key: np.sum(found, axis=0) / len(images) for key, found in sums.items()}


def _measured(model: keras.Model, images: np.ndarray, own: list[Level]) -> dict[str, np.ndarray]:
    power: dict[str, np.ndarray] = {}
    for states in residuals_of(model, images):
        for level in own:
            rings = np.stack([_rings(r) for r in states[level.name][: level.nu + 1]])
            power[level.name] = power.get(level.name, 0) + rings
    return {name: np.sqrt(found[1:] / np.where(found[:-1] > 0, found[:-1], np.nan)) for name, found in power.items()}


def _rings(r: np.ndarray) -> np.ndarray:
    """Returns the squared norm of r (N, H, W, c) in each ring of frequencies, (BINS,)."""
    power = np.square(np.abs(np.fft.fft2(r, axes=(1, 2)))).sum((0, 3))
    rows, columns = (np.abs(np.fft.fftfreq(size)) * 2 for size in power.shape)
    ring = np.minimum((np.maximum(rows[:, None], columns) * BINS).astype(int), BINS - 1)
    return np.bincount(ring.ravel(), power.ravel(), minlength=BINS)
