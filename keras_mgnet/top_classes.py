"""The likeliest classes of an image by name. This module does not load Keras, so clients of a server need not install Keras."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def top_classes(row: np.ndarray, names: Sequence[str], top: int) -> dict[str, float]:
    """Returns {name: probability} of the `top` likeliest classes, the likeliest first.

    Args:
        row: (classes,) probabilities.
        names: names of the classes. If several classes share a name, the class number is appended to the name.
        top: number of classes to return.

    Example:
        >>> top_classes(np.array([0.25, 0.125, 0.5, 0.125]), ["crane", "cat", "crane", "dog"], 3)
        {'crane (2)': 0.5, 'crane (0)': 0.25, 'cat': 0.125}
    """

    def name(c: int) -> str:
        return names[c] if names.count(names[c]) == 1 else f"{names[c]} ({c})"

    return {name(c): float(row[c]) for c in np.argsort(-row)[:top]}


def predictions(images: Sequence[object], rows: np.ndarray, names: Sequence[str], top: int) -> list[dict[str, Any]]:
    """Returns [{"image": path, "classes": {name: probability, ...}}, ...] for the paths of images and rows of probabilities.

    Example:
        >>> predictions(["a.png"], np.array([[0.25, 0.75]]), ["cat", "dog"], top=1)
        [{'image': 'a.png', 'classes': {'dog': 0.75}}]
    """
    return [
        {"image": str(image), "classes": top_classes(row, names, top)} for image, row in zip(images, rows, strict=True)
    ]
