"""The paths of a residual network: their number for each length, and the gradient that flows along them (Veit et al. 2016)."""

import math
from collections.abc import Collection
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from keras_mgnet.analysis.intercept import all_intercepted, levels
from keras_mgnet.analysis.rewiring import Module, modules
from keras_mgnet.errors import required
from keras_mgnet.layers import Euler, Level, autodiff
from keras_mgnet.reporting import COLORS, finish, new_figure, save


@dataclass(frozen=True)
class Paths:
    """The 2^n paths through a network of n residual modules, by their length 0, ..., n.

    A path takes either the branch or the shortcut of each module. Its length is the number of branches that it takes.
    """

    share: list[float]  # fraction of all paths: Binomial(n, 1/2)
    gradient: list[float]  # mean norm of the gradient with respect to the images along one path of this length
    total: list[float]  # share * gradient, scaled to sum 1

    def summary(self) -> str:
        lengths = np.arange(len(self.share))
        return f"mean length of a path {lengths @ self.share:.1f}, weighted by the gradient {lengths @ self.total:.1f}"


def path_lengths(n: int) -> np.ndarray:
    """Returns the fraction of the paths with each length 0, ..., n in a network of n residual modules.

    Example:
        >>> shares = path_lengths(54)
        >>> round(float(shares[19:36].sum()), 4), round(float(shares[5:18].sum()), 5)
        (0.9802, 0.00454)
    """
    return np.array([math.comb(n, length) / 2**n for length in range(n + 1)])


def paths(model: keras.Model, images: np.ndarray, labels: np.ndarray, *, draws: int = 5, seed: int = 0) -> Paths:
    """Returns how the gradient of the loss is distributed over the paths of a residual network, by their length.

    Args:
        model: a network whose levels have the scheme `Euler`.
        images: normalised images (N, H, W, C).
        labels: classes (N,).
        draws: number of random paths of each length.
        seed: seed of the random paths.

    Example:
        >>> from keras_mgnet import ResNet
        >>> result = paths(ResNet(8, base_width=2, input_shape=(8, 8, 1)), np.ones((2, 8, 8, 1)), np.zeros(2), draws=1)
        >>> result.share
        [0.125, 0.375, 0.375, 0.125]
    """
    found, rng = modules(model), np.random.default_rng(seed)
    lengths = range(len(found) + 1)
    chosen = [[{found[m] for m in rng.permutation(len(found))[:n]} for _ in range(draws)] for n in lengths]
    norms = [np.mean([np.linalg.norm(path_gradient(model, images, labels, taken)) for taken in c]) for c in chosen]
    share = path_lengths(len(found))
    weight = share * norms
    total = weight / max(weight.sum(), np.finfo(float).tiny)
    return Paths(share.tolist(), [float(norm) for norm in norms], total.tolist())


def path_gradient(model: keras.Model, images: np.ndarray, labels: np.ndarray, taken: Collection[Module]) -> np.ndarray:
    """Returns the part of a gradient that flows along one path, (N, H, W, C).

    The gradient is that of the mean loss with respect to the images. The forward pass is unchanged. The backward pass goes
    through the branches of the modules in `taken`, and through the shortcuts of all other modules. The sum over all 2^n sets
    `taken` is the whole gradient.

    Args:
        model: a network whose levels have the scheme `Euler`.
        images: normalised images (N, H, W, C).
        labels: classes (N,).
        taken: the modules, out of `modules(model)`, whose branches the path takes.
    """
    indices = {(module.level, module.index) for module in taken}

    def parts(field, original, x, i):
        shortcut, f = original(x, i)
        if (owners[field], i) in indices:
            return ops.stop_gradient(shortcut), f
        return shortcut, ops.stop_gradient(f)

    def loss(x):
        return ops.mean(model.loss(labels, model(x, training=False)))

    owners = {level.field: level.name for level in euler_levels(model)}
    with all_intercepted(owners, "parts", parts):
        _, pull = autodiff.vjp(loss, ops.convert_to_tensor(images, dtype=model.inputs[0].dtype))
        return ops.convert_to_numpy(pull(ops.ones(()))[0])


def euler_levels(model: keras.Model) -> list[Level]:
    """Returns the levels with the iteration x <- x + f(x). Raises ValueError for a network without such levels."""
    return required(model, "a network of blocks x + f(x), such as ResNet", levels(model, Euler))


def plot_paths(result: Paths, path) -> None:
    """Draws the numbers and gradients of the paths over their length to a PNG."""
    figure = new_figure(13, 3.8, "Paths through the residual modules, by the number of branches that they take")
    share, single, total = figure.subplots(1, 3)
    lengths = range(len(result.share))
    share.bar(lengths, result.share, color=COLORS[0])
    single.semilogy(lengths, result.gradient, marker="o", color=COLORS[1])
    total.bar(lengths, result.total, color=COLORS[2])
    for axes in (share, single, total):
        axes.xaxis.get_major_locator().set_params(integer=True)
    finish(share, title="paths: Binomial(n, 1/2)", xlabel="length", ylabel="share of all paths")
    finish(single, title="gradient along one path", xlabel="length", ylabel="norm of the gradient w.r.t. the image")
    finish(total, title="gradient along all paths of a length", xlabel="length", ylabel="share of the gradient")
    save(figure, path)
