"""Reads folders of images, one folder per class, into memory or as files that are decoded later."""

import math
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from keras_mgnet.errors import MissingDataError, printable
from keras_mgnet.images import decode
from keras_mgnet.training.data.streaming import Pictures, fits_in_memory, part_of

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
STREAM = ("auto", "on", "off")
Part = tuple[np.ndarray | Pictures, np.ndarray]


def read_folder(root: Path, image_size: int | None, on_corrupt: str, stream: str) -> tuple[list[Part], list[str]]:
    """Reads root/train/<class>/* and root/test/<class>/*, or root/<class>/*. Images may lie at any depth in a class folder.

    A folder val, valid, validation or dev holds the validation images. Without a folder test, it holds the test images. Upper and
    lower case do not matter.

    With `stream`="on" the images stay encoded in their files (see `streaming.Pictures`). With "auto" they do so if they would
    fill more than half of the memory.

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
    images = {place: list(filter(is_image, found)) for place, found in files.items()}
    for (part, c), found in images.items():
        if not found:
            raise ValueError(f"expected readable images in every class folder. Received: none in {part / c}")
    if stream == "on" or (stream == "auto" and not _fit(images, image_size)):
        encoded = _encoded([path for found in images.values() for path in found], image_size, on_corrupt)
        return _parts_of(encoded, list(map(len, images.values())), class_names), class_names
    pictures = [_pictures(part / c, images[part, c], image_size, on_corrupt) for part in parts for c in class_names]
    array = _stack({path: pixels for of_class in pictures for path, pixels in of_class.items()})
    return _parts_of(array, list(map(len, pictures)), class_names), class_names


def _parts_of(images: np.ndarray | Pictures, counts: list[int], class_names: list[str]) -> list[Part]:
    """Divides all images into parts. `counts` has the number of images of each class in each part."""
    labels = np.repeat(np.arange(len(counts), dtype=np.int32) % len(class_names), counts)
    cuts = np.cumsum(counts)[len(class_names) - 1 : -1 : len(class_names)]  # where a part ends and the next begins
    return [(part_of(images, places), labels[places]) for places in np.split(np.arange(len(labels)), cuts)]


def _fit(files: dict[tuple[Path, str], list[Path]], image_size: int | None) -> bool:
    """Returns whether all images fit in memory in colour, if each is as large as the first one that can be read."""
    pixels = image_size and image_size**2
    if pixels is None:
        shapes = _shapes([path for found in files.values() for path in found], None, "skip")
        pixels = math.prod(next(shapes, (0, 0))[:2])
    return fits_in_memory(3 * pixels * sum(map(len, files.values())))


def _encoded(files: list[Path], image_size: int | None, on_corrupt: str) -> Pictures:
    """Returns the images as files. All are taken in colour if one of them is, and have the size of the first, or `image_size`."""
    size, channels = None, 1
    for shape in _shapes(files, image_size, on_corrupt):
        size, channels = size or shape[:2], max(channels, shape[2])
        if channels == 3:
            break
    if size is None:
        raise ValueError(f"expected readable images. Received: none in {len(files)} files, such as {files[0]}")
    return Pictures(files, size, channels, resized=image_size is not None, on_corrupt=on_corrupt)


def _shapes(files: list[Path], image_size: int | None, on_corrupt: str) -> Iterator[tuple[int, int, int]]:
    for path in files:
        try:
            yield decode(path, image_size and (image_size, image_size)).shape
        except ValueError:
            if on_corrupt == "error":
                raise


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
    for path in files:
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
