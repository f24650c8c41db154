"""Training curves of deep plain networks by initialisation, with norms and without (He et al. 2015; Lu2017)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

from keras_mgnet.layers import Chain
from keras_mgnet.optimizers import SGD
from keras_mgnet.reporting import COLORS, finish, new_figure, save

INITIALIZATIONS = {"he_fan_out": "-", "xavier": "--"}  # the line in the picture
NORMS = {"no norm": None, "batch norm": "batch"}


@dataclass(frozen=True)
class Curves:
    """The mean training loss of each epoch, by depth, initialisation and norm, such as (30, "xavier", "no norm")."""

    loss: dict[tuple[int, str, str], list[float]]

    def summary(self) -> str:
        parts = [f"{', '.join(map(str, key))} {values[-1]:.2g}" for key, values in self.loss.items()]
        return f"loss of the last epoch: {'; '.join(parts)}"


def plain_network(
    depth: int, channels: int, classes: int, *, init: str, norm: str | None, input_shape: Sequence[int]
) -> keras.Model:
    """Returns a fully connected network without shortcuts: depth - 1 layers, each followed by relu, and a classifier.

    A layer is a 1x1 convolution on an image of one pixel.

    Args:
        depth: number of layers with weights.
        channels: number of channels of each layer.
        classes: number of classes.
        init: kernel initialiser of the layers, a key of `conv.INITIALIZERS`.
        norm: "batch" for a norm after each layer, None for none.
        input_shape: (H, W, C) of the images.

    Example:
        >>> plain_network(22, 4, 3, init="xavier", norm=None, input_shape=(8, 8, 1)).count_params()
        591
    """
    image = keras.Input(tuple(input_shape), name="image")
    places = (None, *["sigma"] * (depth - 1))
    x = keras.layers.Reshape((1, 1, math.prod(input_shape)), name="pixel")(image)
    x = Chain([(channels, 1)] * (depth - 1), places, norm=norm, init=init, name="plain")(x)
    x = keras.layers.Flatten(name="flat")(x)
    return keras.Model(image, keras.layers.Dense(classes, name="classifier")(x), name=f"plain{depth}")


def training_curves(
    images: np.ndarray,
    labels: np.ndarray,
    *,
    depths: Sequence[int] = (22, 30),
    channels: int = 64,
    epochs: int = 20,
    learning_rate: float = 0.01,
    batch_size: int = 64,
    seed: int = 0,
) -> Curves:
    """Trains plain networks with a good and a bad initialisation, with norms and without.

    With relu, "he_fan_out" keeps the variance from layer to layer, and "xavier" halves it (see `chain_variances`).

    Args:
        images: normalised images (N, H, W, C).
        labels: classes (N,).
        depths: numbers of layers.
        channels: number of channels of each layer.
        epochs, learning_rate, batch_size: settings of the training by SGD with momentum 0.9.
        seed: seed of the initial weights and of the order of the images.

    Example:
        >>> curves = training_curves(np.ones((4, 8, 8, 1)), np.arange(4) % 2, depths=(3,), channels=2, epochs=1)
        >>> list(curves.loss)[0], len(curves.loss)
        ((3, 'he_fan_out', 'no norm'), 4)
    """
    loss = {}
    for depth in depths:
        for init in INITIALIZATIONS:
            for name, norm in NORMS.items():
                keras.utils.set_random_seed(seed)
                classes, shape = int(labels.max()) + 1, images.shape[1:]
                model = plain_network(depth, channels, classes, init=init, norm=norm, input_shape=shape)
                model.compile(
                    SGD(learning_rate, momentum=0.9), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
                )
                loss[depth, init, name] = model.fit(images, labels, batch_size, epochs, verbose=0).history["loss"]
    return Curves(loss)


def plot_curves(result: Curves, path) -> None:
    """Draws the losses over the epochs, one panel for each depth, to a PNG."""
    depths = list(dict.fromkeys(depth for depth, _, _ in result.loss))
    figure = new_figure(5.5 * len(depths), 4, "Plain networks of relu layers: training loss by initialisation and norm")
    for axes, panel in zip(figure.subplots(1, len(depths), sharey=True, squeeze=False)[0], depths, strict=True):
        for (depth, init, norm), values in result.loss.items():
            if depth == panel:
                color = COLORS[list(NORMS).index(norm)]
                axes.semilogy(
                    range(1, len(values) + 1), values, INITIALIZATIONS[init], color=color, label=f"{init}, {norm}"
                )
        finish(axes, title=f"{panel} layers", xlabel="epoch", ylabel="mean training loss")
    save(figure, path)
