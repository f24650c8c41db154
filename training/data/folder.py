"""Reads folders of images, one folder per class."""

import warnings
from pathlib import Path

import numpy as np

from keras_mgnet.errors import MissingDataError, printable
from keras_mgnet.images import decode

SUFFIXES = {
    *(
        ".bmp",
        ".dib",
        ".gif",
        ".jfif",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".pbm",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".tif",
        ".tiff",
    ),
    ".webp",
}
# The first of these folders that exists has the test images. If it is `test`, the next has the validation images.
TESTS = ("test", "val", "valid", "validation", "dev")
NAMED = 3  # ignored files that a warning names
Arrays = tuple[np.ndarray, np.ndarray]


def read_folder(root: Path, image_size: int | None, on_corrupt: str) -> tuple[list[Arrays], list[str]]:
    """Reads root/train/<class>/* and root/test/<class>/*, or root/<class>/*. Images may lie at any depth in a class folder.

    A folder val, valid, validation or dev holds the validation images. Without a folder test, it holds the test images. Upper and
    lower case do not matter.

    Returns (splits, class names). A split is (images uint8 (N, H, W, C), labels int32 (N,)). The splits are those for training,
    test and validation, or the first two of them, or a single one with all images. Raises ValueError if the folder does not have
    this form. Warns about files and folders that are not read, and if there is only one class. See `dataset.load` for
    `image_size` and `on_corrupt`.
    """
    if not root.exists():
        raise MissingDataError(f"no such folder: '{root}'")
    if not root.is_dir():
        raise ValueError(f"expected a folder of images. Received: '{root}'")
    parts = _parts(root)
    class_names = _class_names(parts)
    if len(class_names) == 1:
        _warn(f"'{root}' has a single class, {class_names[0]}: there is nothing to learn")
    files = {(part, c): _files(part / c) for part in parts for c in class_names}
    _warn_of_others([path for found in files.values() for path in found if not is_image(path)])
    pictures = [_pictures(part / c, files[part, c], image_size, on_corrupt) for part in parts for c in class_names]
    images = _stack({path: pixels for of_class in pictures for path, pixels in of_class.items()})
    counts = [len(of_class) for of_class in pictures]
    labels = np.repeat(np.arange(len(counts), dtype=np.int32) % len(class_names), counts)
    cuts = np.cumsum(counts)[len(class_names) - 1 : -1 : len(class_names)]  # where a part ends and the next begins
    return list(zip(np.split(images, cuts), np.split(labels, cuts), strict=True)), class_names


def is_image(path: Path) -> bool:
    """Returns whether the suffix of a file is one of `SUFFIXES`."""
    return path.suffix.lower() in SUFFIXES


def image_files(folder: Path) -> list[Path]:
    """Returns the images directly in a folder, sorted, without hidden files."""
    return sorted(filter(is_image, folder.glob("[!.]*")))


def _parts(root: Path) -> list[Path]:
    """Returns the folders that contain class folders: for training, test and perhaps validation images, or one for all images."""
    folders = {path.name.lower(): path for path in _folders(root)}
    tests = [folders[name] for name in TESTS if name in folders]
    if "train" not in folders or not _folders(folders["train"]):
        if tests and all(map(_folders, tests)):
            received = ", ".join(path.name for path in tests)
            raise ValueError(
                f"expected a folder train next to the folders of test images in '{root}'. Received: {received}"
            )
        return [root]
    parts = [folders["train"], *tests[: 1 + ("test" in folders)]]
    if unread := sorted(path.name for path in folders.values() if path not in parts):
        _warn(f"read {_listed(parts)} in '{root}' and not {', '.join(unread)}", depth=1)
    return parts


def _folders(root: Path) -> list[Path]:
    return [path for path in root.glob("[!.]*") if path.is_dir()]


def _class_names(parts: list[Path]) -> list[str]:
    found = [{path.name for path in _folders(part)} for part in parts]
    if not all(found):
        raise ValueError(f"expected a folder of images for each class. Received: none in {parts[found.index(set())]}")
    if odd := set.union(*found) - set.intersection(*found):
        raise ValueError(f"expected the same class folders in {_listed(parts)}. Received: {sorted(odd)} not in all")
    return sorted(found[0])


def _listed(parts: list[Path]) -> str:
    return ", ".join(part.name for part in parts)


def _files(folder: Path) -> list[Path]:
    """Returns the files of a folder at any depth, without hidden ones."""
    return sorted(
        path
        for path in folder.rglob("*")
        if not path.is_dir() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _warn_of_others(files: list[Path]) -> None:
    if files:
        names = ", ".join(map(str, files[:NAMED])) + (", ..." if len(files) > NAMED else "")
        _warn(f"ignored {len(files)} files without the suffix of an image: {names}", depth=1)


def _warn(message: str, depth: int = 0) -> None:
    """Warns the caller of `dataset.load`. `depth` counts the functions between `read_folder` and this one."""
    warnings.warn(printable(message), stacklevel=5 + depth)


def _pictures(folder: Path, files: list[Path], image_size: int | None, on_corrupt: str) -> dict[Path, np.ndarray]:
    pictures = {}
    for path in filter(is_image, files):
        try:
            pictures[path] = decode(path, image_size and (image_size, image_size))
        except ValueError as error:
            if on_corrupt == "error":
                raise
            _warn(f"skipped an unreadable image: {error}", depth=1)
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
