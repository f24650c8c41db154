"""The networks that have a name, and descriptions of networks, as data. This module does not load Keras.

zoo.json holds an `Entry` for each network. `python docs/generate/entries.py` writes the file.
"""

import json
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from keras_mgnet.errors import check_known

FILE = Path(__file__).with_suffix(".json")
FACTS = (
    "name",
    "family",
    "kwargs",
    "params",
    "source",
    "reported",
    "recipe",
    "size_matches",
)  # as in `registry.ModelInfo`
MANY = 6  # a table names the kernels of a level if there are at most so many


@dataclass(frozen=True)
class LevelInfo:
    """One row of the table that `describe` prints. A row is a stem, a level, a transfer or the classifier."""

    name: str  # name of the layer
    grid: tuple[int, int] | None  # (height, width) of the output; None for the classifier
    channels: tuple[int, ...]  # channels of the output; if u and r have different channels, (c_u, c_f)
    nu: int | None  # number of iterations; None for a layer without iterations
    params: int  # number of trainable parameters; a shared kernel counts once
    multiply_adds: int | None  # per image; None if the image size is not fixed, or the layer is of another package
    uses: dict[str, int]  # name of each convolution -> how often the convolution is applied

    def __str__(self) -> str:
        grid = "" if self.grid is None else " x ".join(str(size or "?") for size in self.grid)
        channels = "/".join(map(str, self.channels))
        return (
            f"{self.name:<12}{grid:>11}{channels:>12}{self.nu or '':>4}{self.params:>13,}{_mega(self.multiply_adds):>12}   "
            f"{self._reuse()}"
        ).rstrip()

    def _reuse(self) -> str:
        """Returns the names of the kernels, or the number of kernels if there are many."""
        uses = self.uses
        if len(uses) > MANY:
            uses = {f"{count} kernels": times for times, count in Counter(uses.values()).items()}
        return ", ".join(name if times == 1 else f"{name} reused {times} times" for name, times in uses.items())


@dataclass(frozen=True)
class Description:
    """What `describe` prints of a network."""

    name: str
    family: str  # name of the class
    params: int  # number of trainable parameters; a shared kernel counts once
    method: dict[str, str] | None  # the scheme as a numerical method; None for a clone, which is a plain Keras model
    levels: tuple[LevelInfo, ...]
    unread: dict[str, int]  # path of each kernel that no output reads -> number of its parameters
    untrained: dict[str, int]  # path of each kernel that is not trained -> number of its weights

    @property
    def multiply_adds(self) -> int | None:
        """Multiply-adds per image; None if those of a level are not known."""
        return total([level.multiply_adds for level in self.levels])

    def __str__(self) -> str:
        cost = f"{self.params:,} parameters, {_mega(self.multiply_adds)} multiply-adds per image"
        lines = [f"{self.name}: {self.family}, {cost}"]
        if method := self.method:
            lines.append(f"scheme: {method['name']}, {method['step']}")
            lines.append(f"order: {method['order']}; equation: {method['equation']}")
        lines.append(f"levels: {sum(level.nu is not None for level in self.levels)}")
        lines.append(f"{'':<12}{'grid':>11}{'channels':>12}{'nu':>4}{'parameters':>13}{'mult-adds':>12}   convolutions")
        lines += map(str, self.levels)
        lines += (f"no output reads {path}: {size:,} parameters" for path, size in self.unread.items())
        lines += (
            f"not trained: {size:,} weights of {path}, apart from the parameters above"
            for path, size in self.untrained.items()
        )
        return "\n".join(lines)


@dataclass(frozen=True)
class Entry:
    """One network of the zoo."""

    name: str
    family: str  # name of the constructor
    kwargs: dict[str, Any]  # arguments of the constructor
    params: int  # number of trainable parameters
    source: str  # where the network is published
    reported: dict[str, Any]  # see `registry.ModelInfo.reported`
    recipe: str
    size_matches: bool | None  # whether the source prints this size; None if it prints none
    size: str | None  # as the source prints it
    note: str | None  # why the printed size cannot be reproduced
    figures: dict[str, float]  # title of a data set -> top-1 accuracy in %, or the PSNR in dB, as the source prints it
    description: Description


@cache
def entries() -> dict[str, Entry]:
    """Returns all networks of the zoo by name.

    Example:
        >>> entries()["mgnet_2222_c256_shared_b"].params
        8278794
    """
    return {told["name"]: _entry(told) for told in json.loads(FILE.read_text())}


def matching(pattern: str) -> list[Entry]:
    """Returns the networks whose name matches a shell pattern, sorted by name. Raises ValueError if there is none."""
    found = [entry for name, entry in sorted(entries().items()) if fnmatchcase(name, pattern)]
    if not found:
        raise ValueError(f"expected a pattern that matches a model. Received: {pattern!r}")
    return found


def entry(name: str) -> Entry:
    """Returns the network of the zoo with this name. If there is none, raises ValueError, which suggests the nearest match."""
    check_known("model", name, sorted(entries()))
    return entries()[name]


def total(costs: list[int | None]) -> int | None:
    """Returns the sum, or None if one of the numbers is not known."""
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None


def _entry(told: dict[str, Any]) -> Entry:
    described = told["description"]
    levels = tuple(LevelInfo(**level | _tuples(level, "grid", "channels")) for level in described["levels"])
    return Entry(**told | {"description": Description(**described | {"levels": levels})})


def _tuples(level: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: level[name] and tuple(level[name]) for name in names}


def _mega(count: int | None) -> str:
    return "?" if count is None else f"{count / 1e6:,.1f} M"
