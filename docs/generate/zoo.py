"""The zoo: a section for each family, with its diagram, its schemes and all of its published rows."""

import inspect
import re
from functools import cache

from diagram import draw
from picture import PICTURES

import keras_mgnet
from keras_mgnet.markdown import table
from keras_mgnet.models import FAMILIES, Network
from keras_mgnet.models.methods import METHODS
from keras_mgnet.registry import ModelInfo, list_models, model_info

FOLDER = "zoo"  # of the diagrams
MEASURES = {
    "mnist": "MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "imagenet": "ImageNet",
    "bsd68": "BSD68, dB",
}
MARKS = {None: "", True: " ✓", False: " ✗"}

BLOCKS, LEVELS = {"blocks": (1,), "base_width": 2}, {"nu": (1,), "channels": 2}
SMALL = {  # sizes under which the scheme of a family is quickly looked up
    "DenseNet": {"blocks": (1,), "growth": 2},
    "FractalNet": {"columns": 1, "channels": (2,)},
    "HamiltonianNet": {"blocks": (1,), "channels": (4,)},
    "RecurrentResNet": {"steps": 1, "base_width": 2},
    "ResNeXt": {"depth": 11, "cardinality": 1, "group_width": 1},
    "LMResNeXt": {"depth": 11, "cardinality": 1, "group_width": 1},
    "RevNet": {"blocks": (2,), "channels": (4,)},
    "ReactionDiffusion": {"stages": 1, "filter_size": 3},
    "ShakeShake": {"depth": 8, "width": 2, "cardinality": None},
    "VeryDeepPolyNet": {"modules": (1, 1, 1), "width": 1 / 64},
    **dict.fromkeys(("FBResNet", "HighwayNet", "MgNet", "PolyMgNet", "VCycleMgNet"), LEVELS),
    **dict.fromkeys(("LMResNet", "MultiResNet", "PolyNet", "PreActResNet", "ResNet"), BLOCKS),
}


def zoo() -> str:
    """Returns the sections of all families."""
    return "\n\n".join(_section(family) for family in FAMILIES)


def diagrams() -> dict[str, str]:
    """Returns the diagram of each family: its path below docs, and its SVG."""
    return {f"{FOLDER}/{family.__name__}.svg": _diagram(family) for family in FAMILIES}


def method_of(info: ModelInfo) -> str:
    """Returns the key in METHODS of a row, which does not depend on the network's size."""
    family = getattr(keras_mgnet, info.family)
    own = inspect.signature(family.graph).parameters
    kwargs = {name: value for name, value in info.kwargs.items() if name in own} | SMALL[info.family]
    return _method(family, tuple(sorted(kwargs.items())))


@cache
def _method(family: type[Network], kwargs) -> str:
    return family.graph(family.frame(), **dict(kwargs)).method


def _rows(family: type[Network]) -> list[ModelInfo]:
    return [info for info in map(model_info, list_models()) if info.family == family.__name__]


def _methods(family: type[Network]) -> list[str]:
    """Keys in METHODS: the default's, which the diagram shows, and those of the rows."""
    default = _method(family, tuple(sorted(SMALL[family.__name__].items())))
    return list(dict.fromkeys([default, *map(method_of, _rows(family))]))


def _section(family: type[Network]) -> str:
    name, methods = family.__name__, _methods(family)
    schemes = [(f"`{m.step}`", m.name, m.order, f"`{m.equation}`") for m in map(METHODS.get, methods)]
    parts = [
        f"## {name}",
        escaped(inspect.getdoc(family).partition("\n")[0]),
        f"![{name}: {METHODS[methods[0]].step}]({FOLDER}/{name}.svg)",
        table(("one iteration", "as a method", "order", "solves"), schemes),
    ]
    return "\n\n".join([*parts, *_tables(_rows(family), several=len(methods) > 1)])


def escaped(text: str) -> str:
    """Returns text whose stars, brackets and underscores Markdown leaves as they are."""
    return re.sub(r"([*_<>\[\]])", r"\\\1", text)


def _tables(rows: list[ModelInfo], several: bool) -> list[str]:
    if not rows:
        return ["No row of its own was found."]
    measured = [key for key in MEASURES if any(key in info.reported for info in rows)]
    headings = ["name", "parameters", "printed", *(MEASURES[key] for key in measured), *["method"][:several], "source"]
    cells = [
        [
            f"`{info.name}`",
            f"{info.params:,}",
            info.reported.get("params", "") + MARKS[info.size_matches],
            *(f"{info.reported[key]:.2f}" if key in info.reported else "" for key in measured),
            *[METHODS[method_of(info)].name][:several],
            info.source,
        ]
        for info in rows
    ]
    notes = [f"`{info.name}`: {info.reported['params_note']}." for info in rows if info.size_matches is False]
    return [table(headings, cells), *(["✗ " + " ".join(notes)] if notes else [])]


def _diagram(family: type[Network]) -> str:
    picture, method = PICTURES[family.__name__], METHODS[_methods(family)[0]]
    iterations = ", ".join(f"{nu} iteration{'s'[: nu > 1]} on level {level}" for level, nu in picture.segments)
    return draw(picture, f"{family.__name__}: {method.name}", f"{method.step}; {iterations}.")
