"""The architecture: the folders of the package and the imports between them, read from the sources."""

import ast
from functools import cache

import grimp
from diagram import Point, svg
from marked import DOCS

from keras_mgnet.reporting import table

COLUMN, ROW = 128, 76  # pixels
HEIGHT, LETTER = 34, 8.2

NAMED = ("registry", "description", "loading")
PLACES = {  # column and row of the middle of a box; what has no place here is a single file of the ground floor
    "cli": (3, 0),
    "explorer": (1.5, 1),
    "benchmarks": (2.9, 1),
    "serving": (0, 2),
    "training.tables": (4.3, 2),
    "training.search": (5.2, 2),
    "export": (1, 3),
    "training.loop": (4.6, 3),
    "analysis": (2.2, 4),
    "training.runs": (4.6, 4),
    "multigrid": (2.6, 5.4),
    "training.data": (4.7, 4.8),
    "interop": (6, 5),
    "tuner": (7, 5),
    ", ".join(NAMED): (2.9, 6),
    "models": (3.6, 7),
    "layers": (3.6, 8),
    "trained": (5.2, 8),
    "errors, files, compat and the other single files": (3.5, 9),
}
GROUND = [*PLACES][-1]
TITLE = "The folders of keras_mgnet and their imports"
DESCRIPTION = "An arrow leads to what a folder imports. Imports that follow from others are left out."


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph("keras_mgnet", cache_dir=None)


def folders() -> str:
    """Returns a row for each folder of the package: what its `__init__` says that it holds."""
    packages = sorted(module for module in _graph().modules - {"keras_mgnet"} if _graph().find_children(module))
    return table(("folder", "holds"), [(f"`{name.replace('.', '/')}`", _holds(name)) for name in packages])


def _holds(package: str) -> str:
    source = DOCS.parent.joinpath(*package.split("."), "__init__.py").read_text()
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def architecture() -> str:
    """Returns an SVG of the folders and their imports, without those that follow from others."""
    imports = reduced(folder_imports())
    arrows = [_arrow(above, below) for above in PLACES for below in PLACES if below in imports[above]]
    left, right = (function(column for column, _ in PLACES.values()) for function in (min, max))
    view = (left - 0.6) * COLUMN, -0.4 * ROW, (right - left + 1.2) * COLUMN, (PLACES[GROUND][1] + 0.8) * ROW
    return svg(view, TITLE, DESCRIPTION, [_frame("training"), *arrows, *map(_box, PLACES)])


def folder_imports() -> dict[str, set[str]]:
    """Returns the boxes that each box imports from."""
    imports = {box: set() for box in PLACES}
    for module in _graph().modules - {"keras_mgnet", "keras_mgnet.__main__"}:
        imported = _graph().find_modules_directly_imported_by(module) - {"keras_mgnet"}
        imports[box_of(module)].update(map(box_of, imported))
    return {above: below - {above} for above, below in imports.items()}


def box_of(module: str) -> str:
    """Returns the box that a module is in."""
    _, *names = module.split(".")
    places = ".".join(names[:2]), names[0], ", ".join(NAMED) if names[0] in NAMED else GROUND
    return next(place for place in places if place in PLACES)


def reduced(imports: dict[str, set[str]]) -> dict[str, set[str]]:
    """Returns the imports for which no chain of others stands: the transitive reduction."""
    return {
        above: {box for box in below if not any(box in _reached(other, imports) for other in below)}
        for above, below in imports.items()
    }


def _reached(box: str, imports: dict[str, set[str]]) -> set[str]:
    return imports[box].union(*(_reached(below, imports) for below in imports[box]))


def _width(box: str) -> float:
    if box == GROUND:
        return 7.6 * COLUMN
    return LETTER * len(box.rpartition(".")[2]) + 24


def _arrow(above: str, below: str) -> str:
    (x, y), (to_x, to_y) = (Point(column * COLUMN, row * ROW) for column, row in (PLACES[above], PLACES[below]))
    room = _width(below) / 2 - 12
    end = to_x + max(-room, min(room, 0.2 * (x - to_x))) if below != GROUND else x
    return f'<path class="arrow map" d="M{x:g} {y + HEIGHT / 2:g}L{end:g} {to_y - HEIGHT / 2 - 3:g}" marker-end="url(#map)"/>'


def _box(box: str) -> str:
    (column, row), width = PLACES[box], _width(box)
    x, y = column * COLUMN, row * ROW
    return (
        f'<rect class="state" x="{x - width / 2:g}" y="{y - HEIGHT / 2:g}" width="{width:g}" height="{HEIGHT}" rx="6"/>'
        f'<text class="ink" x="{x:g}" y="{y:g}">{box.rpartition(".")[2]}</text>'
    )


def _frame(folder: str) -> str:
    """Draws what surrounds the subfolders of a folder."""
    inside = [
        (Point(c * COLUMN, r * ROW), _width(box) / 2) for box, (c, r) in PLACES.items() if box.startswith(f"{folder}.")
    ]
    left, right = min(p.x - half for p, half in inside) - 14, max(p.x + half for p, half in inside) + 14
    top, bottom = min(p.y for p, _ in inside) - 36, max(p.y for p, _ in inside) + 30
    return (
        f'<rect class="level" x="{left:g}" y="{top:g}" width="{right - left:g}" height="{bottom - top:g}" rx="8"/>'
        f'<text class="caption quiet" x="{left + 10:g}" y="{bottom - 14:g}">{folder}</text>'
    )
