"""Reads folders of images, one folder per class."""

import warnings
from pathlib import Path

import numpy as np

from keras_mgnet.images import decode

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
Arrays = tuple[np.ndarray, np.ndarray]


def read_folder(root: Path, image_size: int | None, on_corrupt: str) -> tuple[list[Arrays], list[str]]:
    """Reads root/train/<class>/* and root/test/<class>/*, or root/<class>/*.

    Returns a list of splits and the class names. A split is (images uint8 (N, H, W, C), labels int32 (N,)); there are two
    of them, or one with all images. Raises ValueError if the folder does not have this form. See `data.load` for
    `image_size` and `on_corrupt`.
    """
    if not root.is_dir():
        raise ValueError(f"expected a folder of images. Received: '{root}'")
    parts = [root / "train", root / "test"]
    if not all(part.is_dir() for part in parts):
        parts = [root]
    class_names = _class_names(parts)
    pictures = [_pictures(part / c, image_size, on_corrupt) for part in parts for c in class_names]
    images = _stack({path: pixels for of_class in pictures for path, pixels in of_class.items()})
    counts = [len(of_class) for of_class in pictures]
    labels = np.repeat(np.arange(len(counts), dtype=np.int32) % len(class_names), counts)
    cuts = [sum(counts[: len(class_names)])] if len(parts) == 2 else []
    return list(zip(np.split(images, cuts), np.split(labels, cuts), strict=True)), class_names


def _class_names(parts: list[Path]) -> list[str]:
    found = [{p.name for p in part.glob("[!.]*") if p.is_dir()} for part in parts]
    if not all(found):
        raise ValueError(f"expected a folder of images for each class. Received: none in {parts[found.index(set())]}")
    if odd := found[0] ^ found[-1]:
        raise ValueError(f"expected the same class folders in train and test. Received: {sorted(odd)} in only one")
    return sorted(found[0])


def _pictures(folder: Path, image_size: int | None, on_corrupt: str) -> dict[Path, np.ndarray]:
    pictures = {}
    for path in sorted(p for p in folder.glob("[!.]*") if p.suffix.lower() in SUFFIXES):
        try:
            pictures[path] = decode(path, image_size and (image_size, image_size))
        except ValueError as error:
            if on_corrupt == "error":
                raise
            warnings.warn(f"skipped an unreadable image: {error}", stacklevel=5)
    if not pictures:
        raise ValueError(f"expected readable images in every class folder. Received: none in {folder}")
    return pictures


def _stack(pictures: dict[Path, np.ndarray]) -> np.ndarray:
    first, size = next((path, pixels.shape[:2]) for path, pixels in pictures.items())
    for path, pixels in pictures.items():
        if pixels.shape[:2] != size:
            sizes = f"{first} {size} and {path} {pixels.shape[:2]}"
            raise ValueError(f"expected images of one size; --image-size N resizes them to NxN. Received: {sizes}")
    channels = max(pixels.shape[2] for pixels in pictures.values())
    return np.stack([np.broadcast_to(pixels, (*size, channels)) for pixels in pictures.values()])
