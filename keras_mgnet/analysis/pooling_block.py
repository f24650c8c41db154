"""What the pooling block reads and restriction first loses: the convolutions with stride 2 (He2019, appendix, (6.5)-(6.8))."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from keras_mgnet import compat
from keras_mgnet.analysis.intercept import all_intercepted
from keras_mgnet.analysis.result import batches, error
from keras_mgnet.annotations import Tensor
from keras_mgnet.description import short_path
from keras_mgnet.errors import required
from keras_mgnet.layers import Conv
from keras_mgnet.reporting import COLORS, finish, new_figure, save

PLACES = ((0, 0), (0, 1), (1, 0), (1, 1))  # row and column of a pixel in its cell of 2x2 pixels; S keeps (0, 0)


@dataclass(frozen=True)
class Pooling:
    """How the convolutions K with stride 2 read the fine grid, by the path of the convolution.

    S samples the pixels at even rows and columns, counted from 0. A pooling block computes K *_2 x = S(K * x) with a 3x3 kernel,
    He2019 (6.7). Restriction first computes B * S(x), He2019 (6.8). P fills in the pixels that S drops, by linear interpolation.
    """

    seen: dict[str, list[float]]  # share of each of `PLACES` in the squared responses ||S(K * e)||^2 to single pixels e
    lost: dict[str, float]  # ||K *_2 (x - P S x)|| / ||K *_2 x||, over the inputs x of the convolution
    intact: float  # accuracy from 0 to 1
    sampled: float  # accuracy if every such convolution reads P S x in place of x

    def summary(self) -> str:
        dropped = [1 - shares[0] for shares in self.seen.values()]
        return (
            f"{len(dropped)} convolutions of stride 2 have {min(dropped):.0%} to {max(dropped):.0%} of their response from "
            f"pixels that sampling drops; accuracy {self.intact:.1%}, with these pixels interpolated {self.sampled:.1%}"
        )


def one_pixel(kernel: np.ndarray) -> np.ndarray:
    """Returns ||S(K * e)||^2 for a single pixel e at each place of a 2x2 cell, summed over the input channels, (2, 2).

    A 1x1 kernel does not see a pixel at (1, 1), the pixel (2, 2) of He2019's example. A 3x3 kernel sees it with its corners.

    Args:
        kernel: K, (k, k, c, filters) with k odd.

    Example:
        >>> one_pixel(np.ones((1, 1, 1, 1))).tolist(), one_pixel(np.ones((3, 3, 1, 1))).tolist()
        ([[1.0, 0.0], [0.0, 0.0]], [[1.0, 2.0], [2.0, 4.0]])
    """
    taps, centre = np.square(kernel).sum((2, 3)), len(kernel) // 2
    return np.array(
        [[taps[(centre + row) % 2 :: 2, (centre + column) % 2 :: 2].sum() for column in (0, 1)] for row in (0, 1)]
    )


def interpolated(x: Tensor) -> Tensor:
    """Returns P S x: keeps the pixels of x (N, H, W, c) at even rows and columns, and interpolates the others linearly.

    A last odd row or column repeats the one before it.

    Example:
        >>> ops.convert_to_numpy(interpolated(ops.reshape(ops.array([1.0, 9.0, 3.0, 9.0]), (1, 1, 4, 1)))).ravel().tolist()
        [1.0, 2.0, 3.0, 3.0]
    """
    for axis in (1, 2):
        length = x.shape[axis]
        even = np.arange(0, length, 2)
        kept, following = ops.take(x, even, axis), ops.take(x, np.minimum(even + 2, even[-1]), axis)
        pairs = ops.stack([kept, (kept + following) / 2], axis + 1)
        shape = [-1, *x.shape[1:]]
        shape[axis] = 2 * kept.shape[axis]
        x = ops.take(ops.reshape(pairs, shape), np.arange(length), axis)
    return x


def strided_convolutions(model: keras.Model) -> dict[str, Conv]:
    """Returns the convolutions with stride 2 after the stem, by path. Their kernels are centred at even rows and columns.

    Raises ValueError if the network has none, or is no classifier.
    """
    parts = [part for layer in model.layers if layer.name != "stem" for part in compat.flatten_layers(layer)]
    found = {
        short_path(part.path): part
        for part in parts
        if isinstance(part, Conv) and part.strides == (2, 2) and part.margins == tuple(k // 2 for k in part.kernel_size)
    }
    required(model, "a classifier with convolutions of stride 2", found and len(model.output_shape) == 2)
    return found


def pooling(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> Pooling:
    """Returns how a network reads the pixels that sampling drops.

    Args:
        model: a classifier that restricts by convolutions with stride 2.
        images: normalised images (N, H, W, C).
        labels: classes (N,).

    Example:
        >>> from keras_mgnet import PreActResNet
        >>> model = PreActResNet(18, base_width=2, share_B="restriction_first", input_shape=(8, 8, 1))
        >>> result = pooling(model, np.ones((2, 8, 8, 1)), np.zeros(2))
        >>> result.seen["transfer2"], result.lost["transfer2"]
        ([1.0, 0.0, 0.0, 0.0], 0.0)
    """
    found = strided_convolutions(model)
    paths = {conv: path for path, conv in found.items()}
    whole, missing = (dict.fromkeys(found, 0.0) for _ in range(2))

    def measured(conv, original, x):
        y = original(x)
        for table, part in ((whole, y), (missing, y - original(interpolated(x)))):
            table[paths[conv]] += float(np.square(ops.convert_to_numpy(part).astype(np.float64)).sum())
        return y

    with all_intercepted(paths, "call", measured):
        for x in batches(images):
            model(x, training=False)
    with all_intercepted(paths, "call", lambda conv, original, x: original(interpolated(x))):
        sampled = 1 - error(model, images, labels)
    energies = {path: one_pixel(ops.convert_to_numpy(conv.kernel)).ravel() for path, conv in found.items()}
    return Pooling(
        seen={path: (own / max(own.sum(), np.finfo(float).tiny)).tolist() for path, own in energies.items()},
        lost={path: float(np.sqrt(missing[path] / max(whole[path], np.finfo(float).tiny))) for path in found},
        intact=1 - error(model, images, labels),
        sampled=sampled,
    )


def plot_pooling(result: Pooling, path) -> None:
    """Draws the shares of the four places and the lost part of each convolution to a PNG."""
    names = list(result.seen)
    title = f"Stride 2: accuracy {result.intact:.1%}, with the dropped pixels interpolated {result.sampled:.1%}"
    figure = new_figure(11, 2 + 0.4 * len(names), title)
    seen, lost = figure.subplots(1, 2, width_ratios=[1.6, 1], sharey=True)
    left, shares = np.zeros(len(names)), 100 * np.array(list(result.seen.values()))
    for n, place in enumerate(PLACES):
        label = f"{place}{'' if n else ', kept by S'}"
        seen.barh(names, shares[:, n], left=left, color=COLORS[n], label=label)
        left += shares[:, n]
    lost.barh(names, [100 * value for value in result.lost.values()], color=COLORS[5])
    seen.invert_yaxis()
    finish(seen, legend=False, title="response to one pixel, by its place in a 2x2 cell", xlabel="percent")
    finish(lost, title="lost if the pixels are interpolated", xlabel="percent of the output's norm")
    figure.legend(loc="outside lower center", ncols=4, fontsize="small")
    save(figure, path)
