"""Finds the images in folders, one folder per class."""

import warnings
from pathlib import Path

import numpy as np

from keras_mgnet.errors import MissingDataError, printable
from keras_mgnet.training.data.encoded import Examples, Files

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


def read_folder(root: Path) -> Examples:
    """Finds root/train/<class>/* and root/test/<class>/*, or root/<class>/*. Images may lie at any depth in a class folder.

    A folder val, valid, validation or dev holds the validation images. Without a folder test, it holds the test images. Upper and
    lower case do not matter.

    Raises ValueError if the folder does not have this form. Warns about files and folders that are not read, and if there is only
    one class.
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
    images = [list(filter(is_image, found)) for found in files.values()]
    for (part, c), found in zip(files, images, strict=True):
        if not found:
            raise ValueError(f"expected readable images in every class folder. Received: none in {part / c}")
    part, label = np.divmod(np.repeat(np.arange(len(images)), list(map(len, images))), len(class_names))
    return Examples(Files([path for found in images for path in found]), label.astype(np.int32), part, class_names)


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
    warnings.warn(printable(message), stacklevel=4 + depth)
