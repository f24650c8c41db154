"""Weights files from before levels had a scheme and a field: the same arrays under the names that they have today."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO
from zipfile import ZipFile

import h5py

RENAMED = (  # a name of then, and what has taken its place
    (r"^layers/((?:grid|cycle)_level(?:_\d+)?)/(?=(?:A|B|[st][12])/)", r"layers/\1/field/"),
    (r"^layers/residual_level(_\d+)?/branch/(?=(?:K|vars)/)", r"layers/level\1/field/"),  # a force
    (r"^layers/(?:residual|linear_multistep)_level(_\d+)?/(?=(?:branch|R|gate)/)", r"layers/level\1/field/"),
    (r"^layers/linear_multistep_level(_\d+)?/vars/", r"layers/level\1/scheme/vars/"),
    (r"^layers/reversible_level(_\d+)?/branches/", r"layers/level\1/field/fields/"),
    (r"^layers/highway_level(_\d+)?/(?=[HT]/)", r"layers/level\1/field/"),
    (r"^layers/dense_level(_\d+)?/(?=branches/)", r"layers/level\1/field/"),
    (r"^layers/recurrent_level(_\d+)?/(?=K/)", r"layers/level\1/field/"),
    (r"^layers/diffusion_level(_\d+)?/(?=steps/)", r"layers/level\1/field/"),
)
PREVIOUS = re.compile(r"^layers/linear_multistep_level_(\d+)/R_previous/")
LOST = re.compile(r"/paths/|^layers/inception")  # of a VeryDeepPolyNet
REORDERED = re.compile(r"^layers/linear_multistep_level")  # its k came first among the variables


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
def readable(path: str | Path) -> Iterator[str | Path]:
    """Yields the path of a file with weights; of one with names of then, that of a copy which exists while this is open.

    The copy leaves out the optimiser's state of an LM network: its variables were in another order.

    Args:
        path: of a .weights.h5 or .keras file; any other path is yielded as it is.

    Raises:
        ValueError: for a VeryDeepPolyNet of then, whose names cannot be told apart.
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
    """Raises ValueError for a weights file with names of then, which `keras.saving.load_model` would not find."""
    if any(renamed(name) != name for name in _arrays(file)):
        raise ValueError(
            "expected a file of this version. Received: one of an earlier version, which keras_mgnet.loading.load_model "
            "and, for .weights.h5, the model's load_weights can read"
        )


def _translate(source: Path | IO[bytes], target: Path) -> bool:
    """Writes a weights file under the names of today; False, without a file, where it has them."""
    with h5py.File(source) as old:
        names = _arrays(old)
        if all(renamed(name) == name for name in names):
            return False
        if any(LOST.search(name) for name in names):
            raise ValueError(
                "expected a file of this version for a VeryDeepPolyNet. Received: one of an earlier version"
            )
        kept = [name for name in names if not (name.startswith("optimizer/") and any(map(REORDERED.match, names)))]
        with h5py.File(target, "w") as new:
            for name in kept:
                old.copy(old[name], new, renamed(name))
    return True


def _arrays(file: h5py.File) -> list[str]:
    names: list[str] = []
    file.visititems(lambda name, entry: names.append(name) if isinstance(entry, h5py.Dataset) else None)
    return names
