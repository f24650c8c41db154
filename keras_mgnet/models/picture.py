"""Diagrams of the families as data: the states of a level, the arrows of one iteration, and the arrows between levels."""

from typing import NamedTuple

Place = tuple[str, float]  # a state and a time in iterations, where 0 is the start of the drawn iteration


class Edge(NamedTuple):
    """One arrow of an iteration.

    Attributes:
        start, end: (state, time) of both ends. Time 0 is before the iteration, and time 1 is after the iteration.
        label: name of the map; "" if the state is carried over.
        bend: how far the arrow bows out, in units of the distance between two states. A positive bend is upwards.
    """

    start: Place
    end: Place
    label: str = ""
    bend: float = 0.0


class Link(NamedTuple):
    """One arrow from the end of a segment to the beginning of another segment. A segment is a run of iterations on one level.

    Attributes:
        start, end: (index of the segment, state) of both ends.
        label, bend: as in `Edge`.
    """

    start: tuple[int, str]
    end: tuple[int, str]
    label: str = ""
    bend: float = 0.0


class Picture(NamedTuple):
    """The diagram of a family.

    Attributes:
        states: states of a level, from top to bottom.
        step: arrows of one iteration.
        links: arrows between segments.
        segments: the segments in the order of computation, each as (level, number of iterations). A segment is a run of
            iterations on one level.
        stretch: length of an iteration in units of the usual length.
        drop: how far a level lies below the finer level, in units of the distance between two states.
    """

    states: tuple[str, ...]
    step: tuple[Edge, ...]
    links: tuple[Link, ...] = ()
    segments: tuple[tuple[int, int], ...] = ((1, 2), (2, 1))
    stretch: float = 1.0
    drop: float = 0.4


def carried(state: str, label: str = "") -> Edge:
    """Returns the arrow from a state to its value after the iteration."""
    return Edge((state, 0), (state, 1), label)


def added(label: str, bend: float = 0.55) -> Edge:
    """Returns the arrow of a map f(x) that the iteration adds to x."""
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
