"""Class activation maps: where in an image a class is seen (Zhou et al. 2016).

The network must end with a global mean and a linear classifier. The mean of a map is then exactly the logit without the bias.
"""

from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mgnet.analysis.result import PICTURE_ONLY, batches
from keras_mgnet.reporting import new_figure, save

SHOWN = 16


@dataclass(frozen=True)
class ActivationMaps:
    """Class activation maps. The mean of a map over the grid is the logit of the predicted class minus its bias."""

    images: np.ndarray = field(metadata=PICTURE_ONLY)  # (N, H, W, C), as given
    maps: np.ndarray  # (N, h, w), of the predicted class
    predicted: np.ndarray  # (N,) classes
    labels: np.ndarray  # (N,) classes
    logits: np.ndarray  # (N,), of the predicted class
    bias: np.ndarray  # (N,), of the predicted class

    def summary(self) -> str:
        right = np.sum(self.predicted == self.labels)
        return f"maps of {len(self.maps)} images, {right} of them classified correctly"


def activation_maps(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> ActivationMaps:
    """Returns the class activation map of the predicted class for each image.

    The map is M(y, x) = sum_k w_{k, class} F_k(y, x), where F is the input of the global mean and w is the kernel of the
    classifier. The logit is the mean of M plus the bias.

    Args:
        model: a network of this package with its classifier.
        images: normalised images (N, H, W, C).
        labels: classes (N,).

    Example:
        >>> from keras_mgnet import MgNet
        >>> model = MgNet((1, 1), 4, input_shape=(8, 8, 1))
        >>> found = activation_maps(model, np.ones((2, 8, 8, 1)), np.zeros(2))
        >>> found.maps.shape, bool(np.allclose(found.maps.mean((1, 2)) + found.bias, found.logits, atol=1e-6))
        ((2, 4, 4), True)
    """
    pool, classifier = classifier_head(model)
    below = keras.Model(model.input, pool.input)
    F = np.concatenate([ops.convert_to_numpy(below(x, training=False)) for x in batches(images)])
    W, b = (ops.convert_to_numpy(weight) for weight in (classifier.kernel, classifier.bias))
    logits = F.mean((1, 2)) @ W + b
    predicted = logits.argmax(-1)
    return ActivationMaps(
        images=images,
        maps=np.einsum("nhwk,kn->nhw", F, W[:, predicted]),
        predicted=predicted,
        labels=np.asarray(labels),
        logits=np.take_along_axis(logits, predicted[:, None], 1)[:, 0],
        bias=b[predicted],
    )


def classifier_head(model: keras.Model) -> tuple[keras.layers.Layer, keras.layers.Layer]:
    """Returns the global mean and the classifier of a network. Raises ValueError for a network that does not end in these."""
    kinds = [keras.layers.GlobalAveragePooling2D, keras.layers.Dense]
    if [type(layer) for layer in model.layers[-2:]] != kinds:
        raise ValueError(f"expected a network that ends in a global mean and a classifier. Received: {model.name}")
    return tuple(model.layers[-2:])


def plot_activation_maps(result: ActivationMaps, path, class_names=None) -> None:
    """Draws the first images, each alone and with its map, to a PNG."""
    n = min(SHOWN, len(result.maps))
    columns = min(n, 8)
    rows = -(-n // columns)
    size = 1.6 * columns + 0.4, 3.5 * rows + 0.7
    figure = new_figure(*size, "Where the predicted class is seen: class activation maps")
    grid = figure.subplots(2 * rows, columns, squeeze=False)
    bound = np.abs(result.maps[:n]).max() or 1.0
    for axes in grid.flat:
        axes.set_axis_off()
    names = class_names or range(1 + int(max(*result.labels, *result.predicted)))
    for i, above, below in zip(range(n), grid[::2].flat, grid[1::2].flat, strict=False):
        image = _displayable(result.images[i])
        height, width = image.shape[:2]
        above.imshow(image, cmap="gray", vmin=0, vmax=1)
        below.imshow(image.mean(-1) if image.ndim == 3 else image, cmap="gray", vmin=0, vmax=1)
        options: dict[str, Any] = {
            "extent": (-0.5, width - 0.5, height - 0.5, -0.5),
            "interpolation": "bilinear",
            "alpha": 0.65,
        }
        below.imshow(result.maps[i], cmap="PuOr_r", vmin=-bound, vmax=bound, **options)
        above.set_title(names[int(result.labels[i])], fontsize="small")
        below.set_title(f"→ {names[int(result.predicted[i])]}", fontsize="small")
    figure.colorbar(grid[1, 0].images[-1], ax=grid, shrink=0.5, label="M(y, x); its mean is the logit without the bias")
    save(figure, path)


def _displayable(image: np.ndarray) -> np.ndarray:
    low, high = image.min(), image.max()
    image = (image - low) / max(high - low, np.finfo(np.float32).tiny)
    return image[..., 0] if image.shape[-1] == 1 else image
