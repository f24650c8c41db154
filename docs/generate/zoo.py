"""The zoo: a section for each family, with its diagram, its schemes and all of its rows."""

import inspect
from collections import Counter
from functools import cache

from diagram import draw
from tex import inline, sentence

from keras_mgnet import layers
from keras_mgnet.layers import Method
from keras_mgnet.models import FAMILIES, Network
from keras_mgnet.models.datasets import DATASETS
from keras_mgnet.registry import ModelInfo, list_models, model_info
from keras_mgnet.reporting import table
from keras_mgnet.zoo import entry

FOLDER = "zoo"  # of the diagrams
COUNTS = """\
The zoo has {all} networks. For {sizes} of them the source prints their size; {size_second_reading} of these networks are a
second reading of a row of the source's table. For {another_size} the source prints another size. For {accuracy} it prints an
accuracy and no size. For {layout} it gives only the layout, and for {family} only the family: their layout is ours. {ours}
networks are ours altogether."""
MARKS = {None: "", True: " ✓", False: " ✗"}


def zoo() -> str:
    """Returns the number of rows of each kind, and the sections of all families."""
    return "\n\n".join([counts(), *(_section(family) for family in FAMILIES)])


def counts() -> str:
    """Returns the sentences that count the rows by what their source prints."""
    kinds = Counter(kind(info) for info in map(model_info, list_models()))
    return COUNTS.format(all=kinds.total(), sizes=kinds["size"] + kinds["size, second reading"], **_words(kinds))


def _words(kinds: Counter) -> dict[str, int]:
    return {name.replace(" ", "_").replace(",", ""): number for name, number in kinds.items()}


def kind(info: ModelInfo) -> str:
    """Returns what the source of a row prints."""
    if info.size_matches:
        return "size, second reading" if info.name.endswith("_published_size") else "size"
    if info.size_matches is False:
        return "another size"
    if info.own and any(printed.figure for printed in info.own.values()):
        return "accuracy"
    if info.source == "this package":
        return "ours"
    return "family" if "ours" in info.source else "layout"


def reference() -> str:
    """Returns the directives that show the class of each family."""
    return "\n\n".join(f"::: {family.__module__}.{family.__name__}" for family in FAMILIES)


def layer_reference() -> str:
    """Returns the directives that show each layer, scheme and field."""
    found = sorted(layers.__all__, key=lambda name: (not name[0].isupper(), name))
    return "\n\n".join(f"::: {getattr(layers, name).__module__}.{name}" for name in found)


def diagrams() -> dict[str, str]:
    """Returns the diagram of each family: its path below docs, and its SVG."""
    return {f"{FOLDER}/{family.__name__}.svg": _diagram(family) for family in FAMILIES}


def method_of(info: ModelInfo) -> Method:
    """Returns the scheme of a row."""
    return Method(**entry(info.name).description.method)


def _rows(family: type[Network]) -> list[ModelInfo]:
    return [info for info in map(model_info, list_models()) if info.family == family.__name__]


@cache
def _methods(family: type[Network]) -> list[Method]:
    """The default's, which the diagram shows, and those of the rows."""
    default = family(**family.family.small).method
    return list(dict.fromkeys([default, *map(method_of, _rows(family))]))


def _section(family: type[Network]) -> str:
    name, methods = family.__name__, _methods(family)
    schemes = [(inline(m.step), m.name, m.order, inline(m.equation)) for m in methods]
    parts = [
        f"## {name}",
        sentence(inspect.getdoc(family).partition("\n")[0]),
        f"![{name}: {methods[0].step}]({FOLDER}/{name}.svg)",
        table(("one iteration", "as a method", "order", "solves"), schemes),
    ]
    return "\n\n".join([*parts, *_tables(_rows(family), several=len(methods) > 1)])


def _tables(rows: list[ModelInfo], several: bool) -> list[str]:
    if not rows:
        return ["No published network of this family was found."]
    printed = {info.name: {name: f"{p.figure:.2f}" for name, p in info.own.items() if p.figure} for info in rows}
    measured = [
        dataset for dataset in DATASETS.values() if any(dataset.name in figures for figures in printed.values())
    ]
    titles = [dataset.title if dataset.classes else f"{dataset.title}, dB" for dataset in measured]
    headings = ["name", "parameters", "printed", "the source prints", *titles, *["method"][:several], "source"]
    cells = [
        [
            f"`{info.name}`",
            f"{info.params:,}",
            (info.published[0].size or "") + MARKS[info.size_matches],
            kind(info),
            *(printed[info.name].get(dataset.name, "") for dataset in measured),
            *[method_of(info).name][:several],
            info.source,
        ]
        for info in rows
    ]
    notes = [f"`{info.name}`: {info.published[0].note}." for info in rows if info.size_matches is False]
    return [table(headings, cells), *(["✗ " + " ".join(notes)] if notes else [])]


def _diagram(family: type[Network]) -> str:
    picture, method = family.family.picture, _methods(family)[0]
    iterations = ", ".join(f"{nu} iteration{'s'[: nu > 1]} on level {level}" for level, nu in picture.segments)
    return draw(picture, f"{family.__name__}: {method.name}", f"{method.step}; {iterations}.")
