"""Reads weights files of earlier versions, which have other array names.

At first levels had no scheme and no field. Later the convolutions and norms of a chain, and the branches of a recurrent field,
were lists inside lists. The norms of a fractal level had a class of their own.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO
from zipfile import ZipFile

import h5py

from keras_mgnet.hdf5 import entries

RENAMED = (  # former name, and its replacement
    (r"^layers/((?:grid|cycle)_level(?:_\d+)?)/(?=(?:A|B|[st][12])/)", r"layers/\1/field/"),
    (r"^layers/residual_level(_\d+)?/branch/(?=(?:K|vars)/)", r"layers/level\1/field/"),  # a force
    (r"^layers/(?:residual|linear_multistep)_level(_\d+)?/(?=(?:branch|R|gate)/)", r"layers/level\1/field/"),
    (r"^layers/linear_multistep_level(_\d+)?/vars/", r"layers/level\1/scheme/vars/"),
    (r"^layers/reversible_level(_\d+)?/branches/", r"layers/level\1/field/fields/"),
    (r"^layers/highway_level(_\d+)?/(?=[HT]/)", r"layers/level\1/field/"),
    (r"^layers/dense_level(_\d+)?/(?=branches/)", r"layers/level\1/field/"),
    (r"^layers/recurrent_level(_\d+)?/(?=K/)", r"layers/level\1/field/"),
    (r"^layers/diffusion_level(_\d+)?/(?=steps/)", r"layers/level\1/field/"),
    (r"^layers/fractal_level(_\d+)?/s/standardize(?=[_/])", r"layers/fractal_level\1/s/norm"),
)
LISTS = (  # former place of a layer in a list inside a list, its attribute now, and what remains of the name
    (re.compile(r"/convs/container(?:_(\d+))?/(conv(?:_\d+)?/)"), "/K{}/{}"),
    (re.compile(r"/norms/container(?:_(\d+))?/(norm(?:_\d+)?/)"), "/s{}/{}"),
    (re.compile(r"/K/container(?:_(\d+))?/branch(?:_(\d+))?/"), "/K{}_{}/"),
)
PREVIOUS = re.compile(r"^layers/linear_multistep_level_(\d+)/R_previous/")
LOST = re.compile(r"/paths/|^layers/inception")  # arrays of a VeryDeepPolyNet
REORDERED = re.compile(r"^layers/linear_multistep_level")  # its k came first among the variables


def renamed(name: str) -> str:
    """Returns the current name of an array.

    Example:
        >>> renamed("layers/residual_level_1/branch/convs/container/conv/vars/0")
        'layers/level_1/field/branch/K1/conv/vars/0'
    """
    name = _moved(name)
    for pattern, place in LISTS:
        if match := pattern.search(name):
            name = f"{name[: match.start()]}{place.format(*map(_counted, match.groups()))}{name[match.end() :]}"
    return name


def _moved(name: str) -> str:
    """Returns the name of an array with the level, scheme or field that holds it now."""
    if match := PREVIOUS.match(name):
        number = int(match[1]) - 1
        return f"layers/conv{f'_{number}' if number else ''}/{name[match.end() :]}"
    for pattern, place in RENAMED:
        if re.match(pattern, name):
            return re.sub(pattern, place, name, count=1)
    return name


def _counted(part: str | None) -> str:
    """Returns an index, which Keras leaves out if it is 0, counted from 1. Any other part of a name stays."""
    return str(int(part or 0) + 1) if part is None or part.isdecimal() else part


@contextmanager
def readable(path: str | Path) -> Iterator[str | Path]:
    """Yields the path of a weights file. For a file of an earlier version, yields a temporary copy with the current names.

    The copy exists while the context is open. For an LM network, the copy has no optimiser state, because the variables were in
    another order.

    Args:
        path: a .weights.h5 or .keras file. Any other path is yielded unchanged.

    Raises:
        ValueError: for a VeryDeepPolyNet of an earlier version, whose array names are ambiguous.
    """
    if not (str(path).endswith((".weights.h5", ".keras")) and Path(path).is_file()):
        yield path
        return
    with TemporaryDirectory() as folder:
        copy, weights = Path(folder) / Path(path).name, Path(folder) / "model.weights.h5"
        if copy.suffix == ".keras":
            with ZipFile(path) as archive, archive.open(weights.name) as source:
                found = _translate(source, weights)
                members = {name: archive.read(name) for name in ("config.json", "metadata.json")} if found else {}
            if found:
                with ZipFile(copy, "w") as target:
                    target.write(weights, weights.name)
                    for name, content in members.items():
                        target.writestr(name, content)
        else:
            found = _translate(Path(path), copy)
        yield copy if found else path


def refuse(file: h5py.File) -> None:
    """Raises ValueError for a file of an earlier version, whose arrays `keras.saving.load_model` would not find."""
    if any(renamed(name) != name for name in _arrays(file)):
        raise ValueError(
            "expected a file of this version; load an older .keras file with keras_mgnet.loading.load_model, and an older "
            ".weights.h5 file with the model's load_weights. Received: a file of an earlier version"
        )


def _translate(source: Path | IO[bytes], target: Path) -> bool:
    """Copies a weights file to `target` with the current names. If the names are current, returns False and writes nothing."""
    with h5py.File(source) as old:
        names = _arrays(old)
        if all(renamed(name) == name for name in names):
            return False
        if any(map(LOST.search, names)) and any(_moved(name) != name for name in names):
            raise ValueError(
                "expected a file of this version for a VeryDeepPolyNet. Received: a file of an earlier version"
            )
        kept = [name for name in names if not (name.startswith("optimizer/") and any(map(REORDERED.match, names)))]
        with h5py.File(target, "w") as new:
            for name in kept:
                old.copy(old[name], new, renamed(name))
    return True


def _arrays(file: h5py.File) -> list[str]:
    return [name for name, entry in entries(file) if isinstance(entry, h5py.Dataset)]
