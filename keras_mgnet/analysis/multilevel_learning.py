"""The accuracy of a trained classifier at half and twice its resolution, without retraining (Lu2017, "multilevel learning")."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from keras_mgnet.analysis.result import batches, chance, error
from keras_mgnet.multigrid.rescaling import FACTORS, rescale
from keras_mgnet.multigrid.stencils import RULES
from keras_mgnet.reporting import COLORS, finish, new_figure, save

RESIZED = "resized back"
UNCHANGED = "kernels unchanged"
WAYS = (RESIZED, UNCHANGED, *RULES)


@dataclass(frozen=True)
class Resolution:
    """Accuracies from 0 to 1 of a trained network on images of half and twice the training size.

    There are several ways to classify images of another size:

    - "resized back": the trained network classifies the images after they are resized to the training size.
    - "kernels unchanged": a network for the other size has the trained kernels.
    - "galerkin", "fem", "moment": a network for the other size has kernels that this rule transfers, see `rescale`.
    """

    size: str  # "HxW" of the training images
    intact: float  # accuracy at the training size
    chance: float  # accuracy of always guessing the most frequent class
    accuracy: dict[str, dict[str, float]]  # other "HxW" -> one of `WAYS` -> accuracy

    def summary(self) -> str:
        parts = [f"accuracy at {self.size} {self.intact:.1%}"]
        for size, ways in self.accuracy.items():
            parts.append(f"{size} " + ", ".join(f"{way} {share:.1%}" for way, share in ways.items()))
        return "; ".join(parts)


def resolution(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> Resolution:
    """Returns the accuracy of a trained network on the same images at half and twice the resolution, without retraining.

    Images are reduced by means over 2x2 pixels, and enlarged by bilinear interpolation.

    Args:
        model: a network of 3x3 and 1x1 convolutions.
        images: normalised images (N, H, W, C) with even H and W.
        labels: classes (N,).

    Example:
        >>> from keras_mgnet import ResNet
        >>> model = ResNet(8, base_width=2, input_shape=(8, 8, 1))
        >>> list(resolution(model, np.ones((4, 8, 8, 1)), np.zeros(4)).accuracy)
        ['4x4', '16x16']
    """
    accuracy = {}
    for factor in FACTORS:
        other = resized(images, factor)
        ways = {RESIZED: 1 - error(model, resized(other, 1 / factor), labels)}
        for way, rule in ((UNCHANGED, None), *zip(RULES, RULES, strict=True)):
            ways[way] = 1 - error(rescale(model, factor, rule), other, labels)
        accuracy[_size(other)] = ways
    return Resolution(_size(images), 1 - error(model, images, labels), chance(labels), accuracy)


def check_resolution(model: keras.Model) -> None:
    """Raises ValueError if a network cannot be rescaled to half and to twice its resolution."""
    for factor in FACTORS:
        rescale(model, factor, None)


def resized(images: np.ndarray, factor: float) -> np.ndarray:
    """Returns images (N, H, W, C) reduced by means over 2x2 pixels (factor 1/2) or enlarged bilinearly (factor 2)."""

    def resize(x):
        if factor < 1:
            return ops.average_pool(x, 2, strides=2, data_format="channels_last")
        size = [int(factor * length) for length in x.shape[1:3]]
        return ops.image.resize(x, size, interpolation="bilinear", data_format="channels_last")

    return np.concatenate([ops.convert_to_numpy(resize(x)) for x in batches(images)])


def plot_resolution(result: Resolution, path) -> None:
    """Draws a group of bars for each resolution to a PNG."""
    figure = new_figure(7.6, 4.2, f"A network trained at {result.size}, at other resolutions")
    axes, width = figure.subplots(), 0.8 / len(WAYS)
    for n, way in enumerate(WAYS):
        shares = [100 * ways[way] for ways in result.accuracy.values()]
        places = np.arange(len(shares)) + (n - (len(WAYS) - 1) / 2) * width
        bars = axes.bar(places, shares, 0.9 * width, color=COLORS[n], label=way)
        box = {"facecolor": "white", "linewidth": 0, "pad": 1}
        axes.bar_label(bars, fmt="%.0f", fontsize="small", padding=2, bbox=box)
    axes.axhline(100 * result.intact, color="black", linewidth=1.2, label=f"at {result.size}")
    axes.axhline(100 * result.chance, color="black", linewidth=1.2, linestyle=":", label="guessing")
    axes.set_xticks(range(len(result.accuracy)), result.accuracy)
    finish(axes, legend=False, xlabel="resolution of the images", ylabel="test accuracy in percent", ylim=(0, 100))
    axes.grid(visible=False, axis="x")
    figure.legend(loc="outside right upper", fontsize="small")
    save(figure, path)


def _size(images: np.ndarray) -> str:
    return "x".join(map(str, images.shape[1:3]))
