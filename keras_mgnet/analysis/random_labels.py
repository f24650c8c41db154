"""Randomisation test: a network can fit any labels, with regularisers too (Zhang et al. 2017; Lu2017)."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

from keras_mgnet.errors import check_known
from keras_mgnet.optimizers import SGD
from keras_mgnet.reporting import finish, new_figure, save, style

TRAINED = 0.75  # share of the images to train on; the others are the test set
DECAY = 5e-4  # coupled weight decay
DROPPED = 0.5  # share of the features
SHIFT = 1 / 8  # of the side
REGULARIZERS = ("none", "augmentation", "weight decay", "dropout")


@dataclass(frozen=True)
class TwoLayer:
    """A network of two layers, c(x) = sum_{j=1}^n w_j max(<a, x> - b_j, 0). It has 2 n + d parameters for x in d dimensions."""

    a: np.ndarray  # (d,)
    b: np.ndarray  # (n,), increasing
    w: np.ndarray  # (n,)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Returns c(x) for the points x (m, d), (m,)."""
        return np.maximum((points @ self.a)[:, None] - self.b, 0) @ self.w


@dataclass(frozen=True)
class Randomization:
    """Accuracies from 0 to 1 after each epoch, such as `train["random"]["dropout"]`; the labels are "true" or "random"."""

    train: dict[str, dict[str, list[float]]]  # on the training images
    test: dict[str, dict[str, list[float]]]  # on the test images, against their true labels

    def summary(self) -> str:
        return "; ".join(
            f"{labels} labels, {name}: {curve[-1]:.1%} of the training images, {self.test[labels][name][-1]:.1%} of the others"
            for labels, curves in self.train.items()
            for name, curve in curves.items()
        )


def interpolating_network(points: np.ndarray, values: np.ndarray, *, seed: int = 0) -> TwoLayer:
    """Returns a two-layer network that has given values at given points, as constructed by Zhang et al. 2017.

    The vector a is random. x_1 < x_2 < ... are the sorted numbers <a, point>, and b satisfies b_1 < x_1 < b_2 < x_2 < ... Then
    the matrix max(x_i - b_j, 0) is lower triangular and regular, and w solves the linear system with this matrix.

    Args:
        points: n distinct points (n, d).
        values: values (n,) at these points.
        seed: seed of a.

    Raises:
        ValueError: if two points are equal.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> points, values = rng.normal(size=(50, 8)), rng.normal(size=50)
        >>> network = interpolating_network(points, values)
        >>> network.a.size + network.b.size + network.w.size, bool(np.abs(network(points) - values).max() < 1e-9)
        (108, True)
    """
    a = np.random.default_rng(seed).normal(size=(points.shape[1],))
    order = np.argsort(points @ a)
    x = (points @ a)[order]
    gaps = np.diff(x)
    if not (gaps > 0).all():
        raise ValueError(
            f"expected distinct points. Received: {int((gaps <= 0).sum())} of {len(x)} points equal another"
        )
    b = np.concatenate([[x[0] - 1], (x[1:] + x[:-1]) / 2])
    return TwoLayer(a, b, np.linalg.solve(np.maximum(x[:, None] - b, 0), values[order]))


def randomization(
    model: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    regularizers: Sequence[str] = REGULARIZERS,
    epochs: int = 30,
    learning_rate: float = 0.05,
    batch_size: int = 32,
    seed: int = 0,
) -> Randomization:
    """Trains fresh copies of a network, on the true labels and on random labels, without a regulariser and with each of three.

    The regularisers are those of Lu2017: augmentation (shifts by up to an eighth of the side, and flips of colour images),
    weight decay (coupled, 5e-4) and dropout (of half of the features that the classifier reads).

    Args:
        model: any network of this package that returns logits or probabilities. Its weights are not used.
        images: normalised images (N, H, W, C). The first three quarters are for training, and the rest is for testing.
        labels: classes (N,).
        regularizers: names from `REGULARIZERS`.
        epochs, learning_rate, batch_size: settings of the training by SGD with momentum 0.9.
        seed: seed of the initial weights, the random labels and the order of the images.

    Example:
        >>> from keras_mgnet import MgNet
        >>> model = MgNet((1,), 2, input_shape=(8, 8, 1), classes=2)
        >>> result = randomization(model, np.ones((8, 8, 8, 1)), np.arange(8) % 2, regularizers=["dropout"], epochs=2)
        >>> list(result.train), len(result.test["random"]["dropout"])
        (['true', 'random'], 2)
    """
    for regularizer in regularizers:
        check_known("regularizer", regularizer, REGULARIZERS)
    held = int(TRAINED * len(images))
    random = np.random.default_rng(seed).permutation(labels[:held])
    result = Randomization({}, {})
    for name, chosen in (("true", labels[:held]), ("random", random)):
        result.train[name], result.test[name] = {}, {}
        for regularizer in regularizers:
            keras.utils.set_random_seed(seed)
            fresh = _regularized(type(model).from_config(model.get_config() | {"weights": None}), regularizer)
            decay = DECAY if regularizer == "weight decay" else 0.0
            optimizer = SGD(learning_rate, momentum=0.9, coupled_weight_decay=decay)
            fresh.compile(optimizer, model.loss, metrics=["accuracy"])
            others = (images[held:], labels[held:])
            history = fresh.fit(images[:held], chosen, batch_size, epochs, verbose=0, validation_data=others).history
            result.train[name][regularizer] = history["accuracy"]
            result.test[name][regularizer] = history["val_accuracy"]
    return result


def _regularized(model: keras.Model, regularizer: str) -> keras.Model:
    """Returns a network that augments its images or drops features in training, with the layers of `model`."""
    layers, shape, dtype = keras.layers, model.input_shape[1:], {"dtype": model.dtype_policy}
    if regularizer == "augmentation":
        options = {"data_format": "channels_last"} | dtype
        augment = [layers.RandomTranslation(SHIFT, SHIFT, fill_mode="constant", **options)]
        augment += [layers.RandomFlip("horizontal", **options)] * (shape[-1] > 1)
        network = keras.Sequential([keras.Input(shape), *augment, model])
    elif regularizer == "dropout":
        features, classifier = keras.Model(model.input, model.layers[-1].input), model.layers[-1]
        network = keras.Sequential([features, layers.Dropout(DROPPED, **dtype), classifier])
    else:
        return model
    network.dtype_policy = model.dtype_policy  # Keras decides by it whether to scale the loss
    return network


def plot_randomization(result: Randomization, path) -> None:
    """Draws the accuracies over the epochs, a panel for the true labels and one for random labels, to a PNG."""
    figure = new_figure(11, 4, "Fresh networks trained on true and on random labels of the same images")
    for axes, labels in zip(figure.subplots(1, 2, sharey=True), result.train, strict=True):
        for n, (name, curve) in enumerate(result.train[labels].items()):
            epochs = range(1, len(curve) + 1)
            axes.plot(epochs, [100 * a for a in curve], label=f"{name}, training", **style(n))
            axes.plot(epochs, [100 * a for a in result.test[labels][name]], "--", label=f"{name}, test", **style(n))
        finish(axes, title=f"{labels} labels", xlabel="epoch", ylim=(0, 102))
        axes.set_ylabel("accuracy in percent" if labels == "true" else None)
    save(figure, path)
