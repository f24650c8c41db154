"""The learned filters and influence functions of a `ReactionDiffusion`, stage by stage (Chen, Pock 2017, Figure 5)."""

from dataclasses import dataclass, field

import keras
import numpy as np
from keras import ops

from keras_mgnet.analysis.intercept import levels
from keras_mgnet.analysis.result import PICTURE_ONLY
from keras_mgnet.errors import required
from keras_mgnet.layers import EulerFromData, Level, steps
from keras_mgnet.metrics import mean_psnr
from keras_mgnet.reporting import COLORS, DIVERGING, finish, new_figure, save

POINTS = 201
RARE = 0.001  # share of the responses outside the range on which a function is examined
SHOWN = 4  # functions of a stage that are drawn in colour: those that change the image most
COLUMNS = 6  # number of filters side by side


@dataclass(frozen=True)
class Influence:
    """The n filters K_i and influence functions psi_i of each stage, and their effect on noisy images u."""

    psnr: list[float]  # in dB against the clean images: of the noisy images, and after each stage
    reaction: list[float]  # lambda, the weight of the reaction term
    strength: list[np.ndarray]  # (n,), root mean square of psi_i(K_i u) in grey values
    smoothing: list[float]  # share of the functions with psi_i'(0) > 0, which diffuse; the others sharpen
    monotone: list[float]  # share of the functions that are monotone over the responses
    z: list[np.ndarray]  # (POINTS,), evenly spaced; a share `RARE` of the responses K_i u is outside this range
    psi: list[np.ndarray]  # (POINTS, n), the functions at z
    filters: list[np.ndarray] = field(metadata=PICTURE_ONLY)  # (m, m, n)

    def summary(self) -> str:
        count = sum(len(strength) for strength in self.strength)
        return (
            f"{count} functions, {np.mean(self.smoothing):.0%} smooth small differences, {np.mean(self.monotone):.0%} "
            f"monotone; lambda {min(self.reaction):.3f} to {max(self.reaction):.3f}; PSNR "
            f"{' -> '.join(f'{value:.2f}' for value in self.psnr)} dB"
        )


def diffusion_level(model: keras.Model) -> Level:
    """Returns the reaction-diffusion level of a network. Raises ValueError for a network without such a level."""
    return required(model, "a ReactionDiffusion", levels(model, EulerFromData))[0]


def influence(model: keras.Model, images: np.ndarray, clean: np.ndarray) -> Influence:
    """Returns the learned filters and influence functions of a `ReactionDiffusion`, and their effect on noisy images.

    Args:
        model: the network.
        images, clean: grey values (N, H, W, 1) of images with noise, and of the same images without noise.

    Example:
        >>> from keras_mgnet import ReactionDiffusion
        >>> noisy = 128 + 25 * np.random.default_rng(0).normal(size=(1, 16, 16, 1))
        >>> result = influence(ReactionDiffusion(2, 3), noisy, np.full((1, 16, 16, 1), 128.0))
        >>> result.psi[0].shape, result.smoothing, [round(value, 3) for value in result.reaction]
        ((201, 8), [1.0, 1.0], [0.1, 0.1])
    """
    f = u = ops.convert_to_tensor(images, "float32")
    states, stages = [u], []
    for step in diffusion_level(model).field.steps:
        responses = step.K(u)
        stages.append(_stage(step, responses))
        u = steps.euler(u, step(u, f))
        states.append(u)
    psnr = [mean_psnr(clean, ops.convert_to_numpy(u)) for u in states]
    named = {name: [stage[name] for stage in stages] for name in stages[0]}
    return Influence(psnr=psnr, **named)


def plot_influence(result: Influence, path) -> None:
    """Draws the influence functions above the filters, stage by stage, to a PNG."""
    stages = len(result.z)
    figure = new_figure(3.2 * stages, 6, "Learned influence functions psi_i and filters K_i, the strongest first")
    above, below = figure.subplots(2, stages, squeeze=False, height_ratios=[1.3, 1])
    for i in range(stages):
        order = np.argsort(-result.strength[i])
        _draw_functions(above[i], result, i, order)
        _draw_filters(below[i], result.filters[i][..., order])
    save(figure, path)


def _draw_functions(axes, result: Influence, i: int, order: np.ndarray) -> None:
    z, psi = result.z[i], result.psi[i]
    axes.plot(z, psi[:, order[SHOWN:]], color="lightgray", linewidth=0.8)
    for n, number in enumerate(order[:SHOWN]):
        axes.plot(z, psi[:, number], color=COLORS[n], label=f"{n + 1}")
    title = f"stage {i + 1}: lambda {result.reaction[i]:.3f}, {result.psnr[i]:.2f} -> {result.psnr[i + 1]:.2f} dB"
    axes.set_title(title, fontsize="small")
    finish(axes, xlabel="response in grey values")


def _draw_filters(axes, filters: np.ndarray) -> None:
    """Draws filters (m, m, n) side by side, row by row, each on its own scale around zero."""
    m, _, n = filters.shape
    framed = np.pad(filters / np.abs(filters).max((0, 1)), ((0, 1), (0, 1), (0, -n % COLUMNS)), constant_values=np.nan)
    sheet = framed.reshape(m + 1, m + 1, -1, COLUMNS).transpose(2, 0, 3, 1)
    axes.imshow(sheet.reshape(-1, COLUMNS * (m + 1)), cmap=DIVERGING, vmin=-1, vmax=1)
    axes.axis("off")


def _stage(step, responses) -> dict:
    values = ops.convert_to_numpy(step.psi(responses))
    bound = float(np.quantile(np.abs(ops.convert_to_numpy(responses)), 1 - RARE))
    z = np.linspace(-bound, bound, POINTS)
    grid = np.repeat(z[:, None], values.shape[-1], axis=1).astype("float32")
    psi = ops.convert_to_numpy(step.psi(ops.convert_to_tensor(grid)))
    rises = np.diff(psi, axis=0)
    middle = POINTS // 2
    return {
        "reaction": float(ops.convert_to_numpy(step.lambda_)),
        "strength": np.sqrt(np.mean(values**2, axis=(0, 1, 2))),
        "smoothing": float(np.mean(psi[middle + 1] > psi[middle - 1])),
        "monotone": float(np.mean(np.all(rises >= 0, axis=0) | np.all(rises <= 0, axis=0))),
        "z": z,
        "psi": psi,
        "filters": ops.convert_to_numpy(step.K.kernel())[:, :, 0],
    }
