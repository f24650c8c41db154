"""Initialisation and batch normalisation: does a signal survive the depth, forward and backward? (He et al. 2015; Lu2017)"""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from keras_mgnet import compat
from keras_mgnet.analysis.intercept import all_intercepted
from keras_mgnet.layers import Conv, autodiff
from keras_mgnet.layers.operators.conv import INITIALIZERS
from keras_mgnet.reporting import COLORS, finish, new_figure, save

MODES = {"no norm": False, "batch norm": True}  # the argument `training`; with False a fresh norm is the identity
SAMPLE = 16


@dataclass(frozen=True)
class Initialization:
    """Variances and gradients of the output of each convolution, in the order of use.

    The keys are the initialisation and then "no norm" or "batch norm".
    """

    forward: dict[str, dict[str, list[float]]]  # variance of the output
    backward: dict[str, dict[str, list[float]]]  # mean square of the gradient of the loss with respect to the output

    def summary(self) -> str:
        ratios = [
            f"{init}, {mode} {values[-1] / max(values[0], np.finfo(float).tiny):.1e}"
            for init, modes in self.forward.items()
            for mode, values in modes.items()
        ]
        return f"variance, last convolution over first: {'; '.join(ratios)}"


def initialization(model: keras.Model, images: np.ndarray, labels: np.ndarray, *, seed: int = 0) -> Initialization:
    """Returns variances and gradients over the depth of fresh networks, for each initialisation, with norms and without.

    Args:
        model: any network of this package. Its weights are not used.
        images, labels: normalised images (N, H, W, C) and classes (N,). The first `SAMPLE` images are used.
        seed: seed of the random draws.

    Example:
        >>> from keras_mgnet import ResNet
        >>> model = ResNet(8, base_width=2, input_shape=(8, 8, 1))
        >>> result = initialization(model, np.ones((4, 8, 8, 1)), np.zeros(4))
        >>> len(result.forward["he_fan_out"]["no norm"])
        7
    """
    forward, backward = {}, {}
    for init in INITIALIZERS:
        keras.utils.set_random_seed(seed)
        fresh = type(model).from_config(model.get_config() | {"init": init, "weights": None})
        found = {m: _through(fresh, images[:SAMPLE], labels[:SAMPLE], on) for m, on in MODES.items()}
        forward[init] = {mode: variances for mode, (variances, _) in found.items()}
        backward[init] = {mode: squares for mode, (_, squares) in found.items()}
    return Initialization(forward, backward)


def chain_variances(
    variance: float, depth: int = 30, width: int = 512, seed: int = 0
) -> tuple[list[float], list[float]]:
    """Returns the mean squares of y_l = W_l relu(y_{l-1}) and of the gradients with respect to y_l, for l = 1, ..., `depth`.

    y_0 and the gradient with respect to the last y_l are drawn from N(0, 1), the entries of W_l from N(0, variance / width).
    With variance = 2 (He) both mean squares keep their size. With variance = 1 (Xavier) both halve with each layer.

    Example:
        >>> forward, backward = chain_variances(2.0)
        >>> 1 / 3 < forward[-1] / forward[0] < 3, chain_variances(1.0)[0][-1] < 1e-7
        (True, True)
    """
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=(width, width)) * np.sqrt(variance / width) for _ in range(depth)]
    y, ys = rng.normal(size=width), []
    for W in weights:
        y = W @ np.maximum(y, 0)
        ys.append(y)
    gradient, gradients = rng.normal(size=width), []
    for W, y in zip(reversed(weights[1:]), reversed(ys[:-1]), strict=True):
        gradients.append(np.mean(gradient**2))
        gradient = (W.T @ gradient) * (y > 0)
    gradients.append(np.mean(gradient**2))
    return [float(np.mean(y**2)) for y in ys], [float(g) for g in reversed(gradients)]


def plot_initialization(result: Initialization, path) -> None:
    """Draws variances and gradients over the depth to a PNG."""
    figure = new_figure(12, 4.8, "Fresh networks: what reaches each convolution, from the image and from the loss")
    titles = ("forward: variance of the output", "backward: mean square of the gradient")
    both = figure.subplots(1, 2)
    for axes, title, table in zip(both, titles, (result.forward, result.backward), strict=True):
        for n, (init, modes) in enumerate(table.items()):
            for (mode, values), line in zip(modes.items(), ("--", "-"), strict=True):
                values = [value or np.nan for value in values]
                axes.semilogy(values, line, color=COLORS[n], marker=".", label=f"{init}, {mode}")
        finish(axes, legend=False, title=title, xlabel="convolution, in the order of use")
    figure.legend(*both[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small")
    save(figure, path)


def _through(model, images, labels, training: bool) -> tuple[list[float], list[float]]:
    """Returns the variance of each output of a convolution, and the mean square of the loss gradient with respect to it.

    A convolution that is used several times has one output for each use.
    """
    convs = [part for part in compat.flatten_layers(model) if isinstance(part, Conv)]
    outputs: list = []

    def run(around: Callable):
        with all_intercepted(convs, "call", around), keras.StatelessScope():  # the statistics of norms do not change
            return ops.mean(model.loss(labels, model(images, training=training)))

    def record(conv, original, x):
        outputs.append(original(x))
        return outputs[-1]

    def loss(*zeros):  # zeros are added to the outputs, so that both have the same gradient
        queue = iter(zeros)
        return run(lambda conv, original, x: original(x) + next(queue))

    run(record)
    variances = [float(ops.convert_to_numpy(ops.var(y))) for y in outputs]
    _, pull = autodiff.vjp(loss, *[ops.zeros_like(y) for y in outputs])
    return variances, [float(np.mean(np.square(ops.convert_to_numpy(g)))) for g in pull(ops.ones(()))]
