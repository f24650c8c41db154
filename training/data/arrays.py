"""Reads images and labels as arrays, the digits of scikit-learn or an .npz file, and picks some of them."""

from pathlib import Path

import numpy as np

from keras_mgnet.npz import read_arrays

KEYS, OPTIONS = ("x_train", "y_train", "x_test", "y_test"), ("class_names", "mean", "std")
MOST_CLASSES = 1_000_000  # a larger label is a mistake, and would need that many class names in memory
Part = tuple[np.ndarray, np.ndarray]


def read_digits() -> tuple[Part, list[str]]:
    """Returns images and labels of the digits, and the class names."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    return (images, digits.target), [str(name) for name in digits.target_names]


def means_of_squares(images: np.ndarray, side: int) -> np.ndarray:
    """Returns square images uint8 (N, H, H, C) as (N, side, side, C), where `side` divides H, by means over squares of pixels."""
    count, height, _, channels = images.shape
    size = height // side
    means = images.reshape(count, side, size, side, size, channels).mean((2, 4), dtype="float32")
    return np.rint(means).astype(np.uint8)


def draw(available: int, wanted: int) -> np.ndarray:
    """Returns sorted indices of at most `wanted` random images out of `available`. Every call returns the same indices.

    Example:
        >>> draw(3, 5)
        array([0, 1, 2])
    """
    return np.sort(np.random.default_rng(0).permutation(available)[:wanted])


def read_npz_set(file: Path) -> tuple[list[Part], list[str], dict[str, tuple[float, ...]]]:
    """Reads the arrays `KEYS` of a file, and those of `OPTIONS` that it has.

    Returns (training and test images with labels, class names, mean and std as far as the file has them). Raises ValueError if
    the arrays do not have this form.
    """
    arrays = read_arrays(file, (*KEYS, *OPTIONS))
    if missing := [key for key in KEYS if key not in arrays]:
        raise ValueError(f"expected the arrays {', '.join(KEYS)} in {file}. Received: no {', '.join(missing)}")
    parts = [_part(arrays[f"x_{part}"], arrays[f"y_{part}"]) for part in ("train", "test")]
    names = arrays.get("class_names")
    if names is None:
        names = np.arange(1 + max(labels.max(initial=0) for _, labels in parts))
    for key in ("mean", "std"):
        if key in arrays and arrays[key].dtype.kind not in "fiu":
            raise ValueError(f"expected numbers as {key} in {file}. Received: {arrays[key].dtype}")
    constants = {key: tuple(arrays[key].astype(float).tolist()) for key in ("mean", "std") if key in arrays}
    return parts, names.astype(str).tolist(), constants


def _part(images: np.ndarray, labels: np.ndarray) -> Part:
    count = images.shape[:1]
    if labels.shape not in (count, (*count, 1)) or not np.issubdtype(labels.dtype, np.integer):
        received = f"{labels.dtype} {labels.shape} for images {images.shape}"
        raise ValueError(f"expected whole-number labels, (N,) or (N, 1) for N images. Received: {received}")
    if labels.size and max(int(labels.max()), -int(labels.min())) >= MOST_CLASSES:
        raise ValueError(f"expected labels below {MOST_CLASSES}. Received: {labels.min()}..{labels.max()}")
    return images[..., None] if images.ndim == 3 else images, labels.reshape(-1).astype(np.int32)
