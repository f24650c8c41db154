"""Draws a `Picture` as SVG, by itself legible on light and on dark pages."""

import math
from collections.abc import Iterable, Iterator
from itertools import accumulate, chain
from typing import NamedTuple
from xml.sax.saxutils import escape

from keras_mgnet.models.picture import Picture

UNIT = 104  # pixels between two states of a level
ROW = 80  # pixels between two states of a time
LETTER = 8  # pixels, about
RADIUS, DOT = 17, 6
MARGIN, PADDING, CAPTION = 10, 16, 18
POWERS = "⁰¹²³⁴⁵⁶⁷⁸⁹"

STYLE = """
.page { fill: #ffffff } .level { fill: #f1f3f7 } .state { fill: #ffffff; stroke: #24292f } .ink { fill: #24292f }
.quiet { fill: #59636e }
.kept { stroke: #59636e } .kept-tip { fill: #59636e } .map { stroke: #0063a3 } .map-tip { fill: #0063a3 }
.link { stroke: #a04900 } .link-tip { fill: #a04900 }
@media (prefers-color-scheme: dark) {
.page { fill: #161b22 } .level { fill: #262c36 } .state { fill: #161b22; stroke: #e6edf3 } .ink { fill: #e6edf3 }
.quiet { fill: #9da7b3 }
.kept { stroke: #9da7b3 } .kept-tip { fill: #9da7b3 } .map { stroke: #5ab8f5 } .map-tip { fill: #5ab8f5 }
.link { stroke: #f0a04b } .link-tip { fill: #f0a04b }
}
.arrow { fill: none; stroke-width: 2 }
text { font: 15px system-ui, sans-serif; text-anchor: middle; dominant-baseline: central }
.caption { font-size: 13px; text-anchor: start }
"""


class Point(NamedTuple):
    """Pixels, y downwards."""

    x: float
    y: float


class Arrow(NamedTuple):
    """A curve from one circle to another, whose radius is `target`; `kind` is kept, map or link."""

    start: Point
    end: Point
    label: str
    bend: float
    kind: str
    target: int = RADIUS

    @property
    def control(self) -> Point:
        """Of the quadratic curve, whose middle bows out by `bend`."""
        dx, dy = self.end.x - self.start.x, self.end.y - self.start.y
        length = math.hypot(dx, dy)
        away = 2 * self.bend * UNIT / length
        return Point((self.start.x + self.end.x) / 2 + away * dy, (self.start.y + self.end.y) / 2 - away * dx)

    @property
    def middle(self) -> Point:
        """Where the label stands."""
        c = self.control
        return Point((self.start.x + 2 * c.x + self.end.x) / 4, (self.start.y + 2 * c.y + self.end.y) / 4)


def draw(picture: Picture, title: str, description: str) -> str:
    """Returns the SVG of a picture."""
    inside = arrows(picture)
    every = [*chain.from_iterable(inside), *links(picture)]
    boxes = [_box(picture, segment, inside[segment]) for segment in range(len(picture.segments))]
    lowest = min(y for _, y, _, _ in boxes)
    width = max(x + w for x, _, w, _ in boxes) + MARGIN
    height = max(y + h for _, y, _, h in boxes) - lowest + 2 * MARGIN
    parts = [
        *(_level(box, picture.segments[segment][0]) for segment, box in enumerate(boxes)),
        *(_curve(arrow) for arrow in every),
        *_states(picture),
        *(_label(arrow) for arrow in every if arrow.label),
    ]
    left = boxes[0][0] - MARGIN
    return svg((left, lowest - MARGIN, width - left, height), title, description, parts)


def svg(view: tuple[float, float, float, float], title: str, description: str, parts: Iterable[str]) -> str:
    """Returns a picture of parts in a view (left, top, width, height), with the styles and the tips of arrows."""
    left, top, width, height = view
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left:g} {top:g} {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" aria-labelledby="title description">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="description">{escape(description)}</desc>',
        f"<style>{STYLE}</style>",
        f"<defs>{''.join(map(_tip, ('kept', 'map', 'link')))}</defs>",
        f'<rect class="page" x="{left:g}" y="{top:g}" width="100%" height="100%" rx="8"/>',
        *parts,
        "</svg>",
        "",
    ])  # fmt: skip


def place(picture: Picture, segment: int, state: str, time: float) -> Point:
    """Returns where a state of a segment lies after a number of iterations."""
    lengths = [nu * picture.stretch + 1 for _, nu in picture.segments]
    column = [0.0, *accumulate(lengths)][segment] + time * picture.stretch
    row = picture.states.index(state) + picture.drop * (picture.segments[segment][0] - 1)
    return Point(column * UNIT, row * ROW)


def arrows(picture: Picture) -> list[list[Arrow]]:
    """Returns the arrows of each segment: edges are repeated as often as the level iterates."""
    return [list(_repeated(picture, segment, nu)) for segment, (_, nu) in enumerate(picture.segments)]


def _repeated(picture: Picture, segment: int, nu: int) -> Iterator[Arrow]:
    for (first, start), (last, end), label, bend in picture.step:
        for i in range(nu + (end == 0)):
            if start + i >= 0:
                ends = place(picture, segment, first, start + i), place(picture, segment, last, end + i)
                yield Arrow(*ends, label, bend, "map" if label else "kept", _radius(end + i))


def links(picture: Picture) -> Iterator[Arrow]:
    """Yields the arrows between segments."""
    for (one, first), (other, last), label, bend in picture.links:
        start = place(picture, one, first, picture.segments[one][1])
        yield Arrow(start, place(picture, other, last, 0), label, bend, "link" if label else "kept")


def _box(picture: Picture, segment: int, inside: list[Arrow]) -> tuple[float, float, float, float]:
    nu = picture.segments[segment][1]
    corners = [place(picture, segment, state, time) for state in picture.states for time in (0, nu)]
    ys = [y for _, y in corners] + [arrow.middle.y for arrow in inside]
    left, right = min(x for x, _ in corners) - RADIUS - PADDING, max(x for x, _ in corners) + RADIUS + PADDING
    top, bottom = min(ys) - RADIUS - PADDING, max(ys) + RADIUS + PADDING + CAPTION
    return left, top, right - left, bottom - top


def _level(box: tuple[float, float, float, float], level: int) -> str:
    x, y, width, height = box
    return (
        f'<rect class="level" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8"/>'
        f'<text class="caption quiet" x="{x + 10:g}" y="{y + height - 14:g}">level {level}</text>'
    )


def _states(picture: Picture) -> Iterator[str]:
    for segment, (_, nu) in enumerate(picture.segments):
        times = {t + i for edge in picture.step for _, t in (edge.start, edge.end) for i in range(nu + 1)}
        for time in sorted(t for t in times if 0 <= t <= nu):
            for state in picture.states:
                x, y = place(picture, segment, state, time)
                yield f'<circle class="state" cx="{x:g}" cy="{y:g}" r="{_radius(time)}"/>'
                if _radius(time) == RADIUS:
                    yield f'<text class="ink" x="{x:g}" y="{y:g}">{state}{POWERS[int(time)]}</text>'


def _radius(time: float) -> int:
    return RADIUS if time == int(time) else DOT


def _curve(arrow: Arrow) -> str:
    start, control, end = arrow.start, arrow.control, _towards(arrow.end, arrow.control, arrow.target + 3)
    path = f"M{start.x:.1f} {start.y:.1f}Q{control.x:.1f} {control.y:.1f} {end.x:.1f} {end.y:.1f}"
    return f'<path class="arrow {arrow.kind}" d="{path}" marker-end="url(#{arrow.kind})"/>'


def _label(arrow: Arrow) -> str:
    x, y = arrow.middle
    width = LETTER * len(arrow.label) + 4
    ground = "page" if arrow.kind == "link" else "level"
    return (
        f'<rect class="{ground}" x="{x - width / 2:.1f}" y="{y - 9:.1f}" width="{width}" height="18"/>'
        f'<text class="ink" x="{x:.1f}" y="{y:.1f}">{escape(arrow.label)}</text>'
    )


def _towards(start: Point, end: Point, distance: float) -> Point:
    share = distance / math.dist(start, end)
    return Point(start.x + share * (end.x - start.x), start.y + share * (end.y - start.y))


def _tip(kind: str) -> str:
    return (
        f'<marker id="{kind}" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="5" markerHeight="5" orient="auto">'
        f'<path class="{kind}-tip" d="M0 0L8 4L0 8z"/></marker>'
    )
