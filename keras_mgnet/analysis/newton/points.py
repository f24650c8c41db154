"""Small sets of labelled points in the plane, drawn at random (after Haber, Ruthotto 2017)."""

from collections.abc import Callable

import numpy as np

Points = tuple[np.ndarray, np.ndarray]  # coordinates (count, 2) and classes (count,)


def ellipses(count: int, rng: np.random.Generator) -> Points:
    """Returns points of an ellipse, class 0, and of an elliptic ring around it, class 1. A gap of 0.2 separates the classes.

    Example:
        >>> points, classes = ellipses(4, np.random.default_rng(0))
        >>> points.shape, classes.tolist()
        ((4, 2), [0, 1, 0, 1])
    """
    classes = np.arange(count) % 2
    inner, outer = np.where(classes, 0.7, 0.0), np.where(classes, 1.0, 0.5)
    radius = np.sqrt(rng.uniform(inner**2, outer**2))  # so that the points have one density
    return radius[:, None] * _directions(rng.uniform(0, 2 * np.pi, count)) * [1.0, 0.7], classes


def swiss_roll(count: int, rng: np.random.Generator) -> Points:
    """Returns points of two spirals, each of two turns, that wind around each other."""
    classes, turn = np.arange(count) % 2, rng.uniform(0, 1, count)
    return (turn + 0.2 * classes)[:, None] * _directions(4 * np.pi * turn), classes


def peaks(count: int, rng: np.random.Generator) -> Points:
    """Returns points of [-1, 1]^2. The classes are five intervals of MATLAB's function `peaks` on [-3, 3]^2, of equal length.

    All classes have the same number of points, up to one.
    """
    points, classes = np.empty((count, 2)), np.arange(count) % 5
    waiting = np.arange(count)
    while len(waiting):
        drawn = rng.uniform(-1, 1, (len(waiting), 2))
        x, y = 3 * drawn.T
        height = (
            3 * (1 - x) ** 2 * np.exp(-(x**2) - (y + 1) ** 2)
            - 10 * (x / 5 - x**3 - y**5) * np.exp(-(x**2) - y**2)
            - np.exp(-((x + 1) ** 2) - y**2) / 3
        )
        interval = np.clip(5 * (height + 6.55) / (8.1 + 6.55), 0, 4).astype(int)  # heights are in [-6.55, 8.1]
        fits = interval == classes[waiting]
        points[waiting[fits]] = drawn[fits]
        waiting = waiting[~fits]
    return points, classes


def _directions(angle: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


SETS: dict[str, Callable[[int, np.random.Generator], Points]] = {
    "ellipses": ellipses,
    "swiss_roll": swiss_roll,
    "peaks": peaks,
}
