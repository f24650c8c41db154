"""A few images of a data set. A run keeps them, so that later commands work without the data set.

For classes and for functions the file has the form of `npz:FILE`. For denoisers it has the arrays train and test, squares
(N, S, S) uint8.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_mgnet.files import staged_file
from keras_mgnet.npz import read_npz
from keras_mgnet.training.data.arrays import draw
from keras_mgnet.training.data.dataset import Dataset, Split, load
from keras_mgnet.training.data.denoise import PARTS, CleanImages
from keras_mgnet.training.data.functions import FunctionPairs

MOST, MOST_BYTES = 64, 2**22  # of training images, and of test images
SIDE = 128  # of the squares cut from images for denoisers


def write_samples(file: Path, data: Dataset | CleanImages | FunctionPairs) -> None:
    """Writes a few training images and a few test images. The first test image of each class is among them, up to 32 classes."""
    few = {CleanImages: _squares, FunctionPairs: _functions}
    arrays = few.get(type(data), _classified)(data)
    with staged_file(file) as staged:
        np.savez(staged, **arrays)


def read_samples(file: Path, *, sigma: float | None = None, patch_size: int | None = None) -> Dataset | CleanImages:
    """Reads a file of `write_samples`. Denoisers have `sigma` and `patch_size`, see `CleanImages`.

    Raises:
        ValueError: if the file is damaged or has another form.
    """
    if sigma is None:
        return load(f"npz:{file}")
    try:
        parts = {part: tuple(array) for part, array in read_npz(file, PARTS).items()}
        return CleanImages(str(file), **parts, sigma=sigma, patch_size=patch_size)
    except Exception as error:  # damaged files end in many different errors
        raise ValueError(f"expected squares of training and test images. Received: '{file}' ({error})") from error


def _classified(data: Dataset) -> dict[str, np.ndarray]:
    (x_train, y_train), (x_test, y_test) = map(_few, (data.train, data.test))
    told = {"class_names": np.array(data.class_names), "mean": np.array(data.mean), "std": np.array(data.std)}
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test, **told}


def _few(split: Split) -> tuple[np.ndarray, np.ndarray]:
    most = _most(split.images[0].nbytes)
    _, first = np.unique(split.labels, return_index=True)
    chosen = sorted([*dict.fromkeys([*first[: most // 2], *draw(len(split.labels), most)])][:most])
    return split.images[chosen], split.labels[chosen]


def _functions(data: FunctionPairs) -> dict[str, np.ndarray]:
    most = _most(data.train.x[0].nbytes + data.train.y[0].nbytes)
    (x, y), (x_test, y_test) = ((part.x[:most], part.y[:most]) for part in (data.train, data.test))
    return {"x": x, "y": y, "x_test": x_test, "y_test": y_test}


def _squares(data: CleanImages) -> dict[str, np.ndarray]:
    return {part: _middles(getattr(data, part), max(SIDE, data.patch_size)) for part in PARTS}


def _middles(images: Sequence[np.ndarray], side: int) -> np.ndarray:
    images = images[: _most(side**2)]
    side = min(side, *(length for image in images for length in image.shape))
    corners = [[(length - side) // 2 for length in image.shape] for image in images]
    return np.stack([image[y : y + side, x : x + side] for image, (y, x) in zip(images, corners, strict=True)])


def _most(size: int) -> int:
    return max(2, min(MOST, MOST_BYTES // size))
