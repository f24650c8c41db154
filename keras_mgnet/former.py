"""Weights files from before levels had a scheme and a field: the same arrays under the names that they have today."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO
from zipfile import ZipFile

import h5py

RENAMED = (  # a name of then, and what has taken its place
    (r"^layers/((?:grid|cycle)_level(?:_\d+)?)/(?=(?:A|B|[st][12])/)", r"layers/\1/field/"),
    (r"^layers/residual_level(_\d+)?/branch/(?=(?:K|vars)/)", r"layers/level\1/field/"),  # a force
    (r"^layers/(?:residual|linear_multistep)_level(_\d+)?/(?=(?:branch|R|gate)/)", r"layers/level\1/field/"),
    (r"^layers/linear_multistep_level(_\d+)?/vars/", r"layers/level\1/scheme/vars/"),
    (r"^layers/reversible_level(_\d+)?/branches/", r"layers/level\1/field/fields/"),
    (r"^layers/(?:highway|dense|recurrent)_level(_\d+)?/", r"layers/level\1/field/"),
)
PREVIOUS = re.compile(r"^layers/linear_multistep_level_(\d+)/R_previous/")
LOST = re.compile(r"/paths/|^layers/inception")  # of a VeryDeepPolyNet
REORDERED = re.compile(r"^layers/linear_multistep_level")  # its k came first among the variables


def is_former(file: str | Path | BinaryIO) -> bool:
    """Whether a weights file has names of then."""
    with h5py.File(file) as opened:
        return any(renamed(name) != name for name in _arrays(opened))


def renamed(name: str) -> str:
    """Returns the name of today.

    Example:
        >>> renamed("layers/residual_level_1/branch/convs/container/conv/vars/0")
        'layers/level_1/field/branch/convs/container/conv/vars/0'
    """
    if match := PREVIOUS.match(name):
        number = int(match[1]) - 1
        return f"layers/conv{f'_{number}' if number else ''}/{name[match.end() :]}"
    for pattern, place in RENAMED:
        if re.match(pattern, name):
            return re.sub(pattern, place, name, count=1)
    return name


@contextmanager
def translated(path: str | Path) -> Iterator[Path]:
    """Yields the path of a copy of a .weights.h5 or .keras file under the names of today, which exists while this is open.

    The optimiser's state of an LM network is left out: its variables were in another order.

    Raises:
        ValueError: for a VeryDeepPolyNet, whose names cannot be told apart.
    """
    path = Path(path)
    with TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        if path.suffix == ".keras":
            weights = Path(folder) / "model.weights.h5"
            with ZipFile(path) as archive, ZipFile(copy, "w") as target:
                with archive.open(weights.name) as source:
                    _copy(source, weights)
                for member in archive.namelist():
                    if member == weights.name:
                        target.write(weights, member)
                    else:
                        target.writestr(member, archive.read(member))
        else:
            _copy(path, copy)
        yield copy


def _copy(source: Path | BinaryIO, target: Path) -> None:
    with h5py.File(source) as old, h5py.File(target, "w") as new:
        names = _arrays(old)
        if any(LOST.search(name) for name in names):
            raise ValueError("expected a file of this version for a VeryDeepPolyNet. Received: one of an earlier version")
        reordered = any(map(REORDERED.match, names))
        for name in names:
            if not (reordered and name.startswith("optimizer/")):
                old.copy(old[name], new, renamed(name))


def _arrays(file: h5py.File) -> list[str]:
    names: list[str] = []
    file.visititems(lambda name, entry: names.append(name) if isinstance(entry, h5py.Dataset) else None)
    return names
