"""Randomisation test: a network can fit any labels (Zhang et al. 2017; Lu2017)."""

from dataclasses import dataclass

import keras
import numpy as np

from keras_mgnet.optimizers import SGD
from keras_mgnet.reporting import finish, new_figure, save, style

TRAINED = 0.75  # share of the images to train on; the others are the test set


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
    """Accuracies from 0 to 1 after each epoch, for training on the true labels and on random labels."""

    train: dict[str, list[float]]  # on the training images
    test: dict[str, list[float]]  # on the test images, against their true labels

    def summary(self) -> str:
        return "; ".join(
            f"{name} labels: {self.train[name][-1]:.1%} of the training images, {self.test[name][-1]:.1%} of the others"
            for name in self.train
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
    epochs: int = 30,
    learning_rate: float = 0.05,
    batch_size: int = 32,
    seed: int = 0,
) -> Randomization:
    """Trains two fresh copies of a network, one on the true labels and one on random labels.

    The training has no augmentation and no weight decay.

    Args:
        model: any network of this package that returns logits or probabilities. Its weights are not used.
        images: normalised images (N, H, W, C). The first three quarters are for training, and the rest is for testing.
        labels: classes (N,).
        epochs, learning_rate, batch_size: settings of the training by SGD with momentum 0.9.
        seed: seed of the initial weights, the random labels and the order of the images.

    Example:
        >>> from keras_mgnet import MgNet
        >>> model = MgNet((1,), 2, input_shape=(8, 8, 1), classes=2)
        >>> result = randomization(model, np.ones((8, 8, 8, 1)), np.arange(8) % 2, epochs=2)
        >>> list(result.train), len(result.test["random"])
        (['true', 'random'], 2)
    """
    held = int(TRAINED * len(images))
    random = np.random.default_rng(seed).permutation(labels[:held])
    train, test = {}, {}
    for name, chosen in (("true", labels[:held]), ("random", random)):
        keras.utils.set_random_seed(seed)
        fresh = type(model).from_config(model.get_config() | {"weights": None})
        fresh.compile(SGD(learning_rate, momentum=0.9), model.loss, metrics=["accuracy"])
        others = (images[held:], labels[held:])
        history = fresh.fit(images[:held], chosen, batch_size, epochs, verbose=0, validation_data=others).history
        train[name], test[name] = history["accuracy"], history["val_accuracy"]
    return Randomization(train, test)


def plot_randomization(result: Randomization, path) -> None:
    """Draws the accuracies over the epochs to a PNG."""
    figure = new_figure(7, 4, "Fresh networks trained on true and on random labels of the same images")
    axes = figure.subplots()
    for n, name in enumerate(result.train):
        epochs = range(1, len(result.train[name]) + 1)
        axes.plot(epochs, [100 * a for a in result.train[name]], label=f"{name} labels, training", **style(n))
        axes.plot(epochs, [100 * a for a in result.test[name]], "--", label=f"{name} labels, test", **style(n))
    finish(axes, xlabel="epoch", ylabel="accuracy in percent", ylim=(0, 102))
    save(figure, path)
