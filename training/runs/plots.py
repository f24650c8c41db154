"""Draws the pictures of a run."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from keras_mgnet.description import features
from keras_mgnet.reporting import DIVERGING, SEQUENTIAL, finish, new_figure, save
from keras_mgnet.training.data.views import normalize
from keras_mgnet.training.runs.measure import measure_of
from keras_mgnet.training.runs.run import read_log

QUALITY = {  # key of the measure -> title of its panel, value to draw from a logged value, scale of the axis
    "accuracy": ("error in percent", lambda accuracy: 100 * (1 - accuracy), "log"),
    "psnr": ("PSNR in dB", lambda psnr: psnr, "linear"),
    "l2": ("relative L2 error", lambda error: error, "log"),
}


def plot_curves(log: Path, path: Path, title: str, judge: str) -> None:
    """Draws a PNG of the loss, the measure of quality, and the learning rate per epoch, from log.csv.

    `judge` names the images of the columns val_*: "validation" or "test".
    """
    rows = read_log(log)
    measure = measure_of(rows[0])
    quality, drawn, scale = QUALITY[measure.key]
    panels = (
        (measure.loss, {"loss": "training", "val_loss": judge}, float, "log"),
        (quality, {measure.key: "training", f"val_{measure.key}": judge}, lambda text: drawn(float(text)), scale),
        ("learning rate", {"learning_rate": None}, float, "linear"),
    )
    figure = new_figure(12, 3.6, title)
    for axes, (name, columns, value, scale) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for column, label in columns.items():
            values = [value(row[column]) for row in rows]
            axes.plot(range(1, len(values) + 1), values, marker=".", label=label)
        finish(axes, title=name, xlabel="epoch", yscale=scale)
    save(figure, path)


def plot_functions(model: keras.Model, x: np.ndarray, y: np.ndarray, path: Path) -> None:
    """Draws a PNG with one row per pair: x, y, what the model computes of x, and the error of it. Shows the first channels.

    x and y are (N, H, W, c). The error has the relative L2 norm of the pair in its title.
    """
    found = keras.ops.convert_to_numpy(model(x, training=False))
    figure = new_figure(13, 3 * len(x))
    for row, axes in enumerate(figure.subplots(len(x), 4, squeeze=False)):
        error = found[row] - y[row]
        limits = {"vmin": y[row, ..., 0].min(), "vmax": y[row, ..., 0].max()}
        most = np.abs(error[..., 0]).max()
        columns = {
            "x": (x[row], {}),
            "y": (y[row], limits),
            "network": (found[row], limits),
            f"error, {np.linalg.norm(error) / np.linalg.norm(y[row]):.2%}": (
                error,
                {"vmin": -most, "vmax": most, "cmap": DIVERGING},
            ),
        }
        for cell, (title, (values, options)) in zip(axes, columns.items(), strict=True):
            drawn = cell.imshow(values[..., 0], **{"cmap": SEQUENTIAL} | options)
            cell.set(xticks=[], yticks=[], title=title)
            figure.colorbar(drawn, ax=cell, shrink=0.8)
    save(figure, path)


def plot_states(
    model: keras.Model,
    images: np.ndarray,
    normalization: tuple[Sequence[float], Sequence[float]],
    class_names: Sequence[str],
    path: Path,
) -> None:
    """Draws a PNG with one row per image: the image, |u| and |r| on every level, and the class probabilities.

    |u| and |r| are the norms of the feature and the residual over the channels. The model is an MgNet that returns logits. Images
    are (N, H, W, C) uint8. The normalisation is (mean, std) per channel, for pixels scaled to [0, 1].
    """
    x = normalize(images, *normalization)
    states = features(model)(x, training=False)
    maps = {
        f"{name}  {part}": np.linalg.norm(keras.ops.convert_to_numpy(values), axis=-1)
        for name, state in states.items()
        for part, values in zip("ur", state, strict=True)
    }
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(model(x, training=False)))
    title = f"{model.name}: magnitude of the feature u and of the residual r = f - A * u after each level"
    figure = new_figure(1.5 * (len(maps) + 3), 1.6 * len(images), title)
    grid = figure.subplots(len(images), len(maps) + 2, width_ratios=[1] * (len(maps) + 1) + [1.6], squeeze=False)
    for row, axes in enumerate(grid):
        _draw_image(axes[0], images[row], "image" if row == 0 else None)
        for column, (name, values) in zip(axes[1:], maps.items(), strict=False):
            color = "viridis" if name.endswith("u") else "magma"
            column.imshow(values[row], cmap=color, vmin=0, vmax=values.max())
            column.set(xticks=[], yticks=[], title=name if row == 0 else None)
        _draw_probabilities(axes[-1], probabilities[row], class_names)
    save(figure, path)


def _draw_image(axes, image: np.ndarray, title: str | None) -> None:
    axes.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray")
    axes.set(xticks=[], yticks=[], title=title)


def _draw_probabilities(axes, values: np.ndarray, class_names: Sequence[str]) -> None:
    axes.bar(range(len(values)), values, color=["C1" if c == values.argmax() else "C0" for c in range(len(values))])
    axes.set(xticks=range(len(values)), xticklabels=class_names, yticks=[], ylim=(0, 1.05))
    axes.set_title(f"prediction {class_names[values.argmax()]}: {values.max():.1%}")
