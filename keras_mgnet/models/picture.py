"""What a diagram of a family shows, as data: the states of a level, the edges of one iteration, the links between levels."""

from typing import NamedTuple

Place = tuple[str, float]  # a state and a time, counted in iterations from the one that an edge belongs to


class Edge(NamedTuple):
    """One arrow of an iteration.

    Attributes:
        start, end: an edge from time 0 to time 0 is drawn at each state, any other once per iteration.
        label: the map; "" if the state is carried over.
        bend: how far the arrow bows out, in distances of two states; positive is upwards.
    """

    start: Place
    end: Place
    label: str = ""
    bend: float = 0.0


class Link(NamedTuple):
    """One arrow between segments, from the end of one to the beginning of another."""

    start: tuple[int, str]
    end: tuple[int, str]
    label: str = ""
    bend: float = 0.0


class Picture(NamedTuple):
    """The diagram of a family.

    Attributes:
        states: states of a level, from top to bottom.
        step: the edges of one iteration.
        links: the links between the segments.
        segments: (level, iterations) in the order in which they are passed.
        stretch: length of an iteration, 1 for the usual one.
        drop: how much lower the next level lies, in distances of two states.
    """

    states: tuple[str, ...]
    step: tuple[Edge, ...]
    links: tuple[Link, ...] = ()
    segments: tuple[tuple[int, int], ...] = ((1, 2), (2, 1))
    stretch: float = 1.0
    drop: float = 0.4


def carried(state: str, label: str = "") -> Edge:
    """Returns the edge from a state to itself one iteration later."""
    return Edge((state, 0), (state, 1), label)


def added(label: str, bend: float = 0.55) -> Edge:
    """Returns the edge of a map of x that is added to the next x."""
    return Edge(("x", 0), ("x", 1), label, bend)


def one_state(*step: Edge, kept: str = "") -> Picture:
    """Returns the picture of a family with one state x. `kept` is the factor of x in the next x."""
    return Picture(("x",), (carried("x", kept), *step), (Link((0, "x"), (1, "x"), "R"),))


def two_states(first: str, second: str, *step: Edge) -> Picture:
    """Returns the picture of a family that updates two states in turn."""
    keeps = (carried(first), carried(second))
    return Picture((first, second), keeps + step, tuple(Link((0, s), (1, s), "R") for s in (first, second)))


def smoothing(A: str, B: str) -> Picture:
    """Returns the picture of u <- u + B(f - A u) on each level."""
    step = (
        Edge(("u", 0), ("r", 0), A),
        Edge(("f", 0), ("r", 0)),
        carried("u"),
        Edge(("r", 0), ("u", 1), B),
        carried("f"),
    )
    return Picture(("u", "r", "f"), step, (Link((0, "u"), (1, "u"), "Π"), Link((0, "r"), (1, "f"), "R")))
