"""What a diagram of a family shows, as data: the states of a level, the edges of one iteration, and the ways between levels."""

# ruff: noqa: RUF001  (labels in Greek, with a minus sign)

from typing import NamedTuple

Place = tuple[str, float]  # a state and a time, counted in iterations from the one that an edge belongs to


class Edge(NamedTuple):
    """One arrow of an iteration.

    Attributes:
        start, end: an edge from time 0 to time 0 is drawn at each state, any other once an iteration.
        label: the map; "" where the state is carried over.
        bend: how far the arrow bows out, in distances of two states, upwards where positive.
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
    """A family.

    Attributes:
        states: of a level, from top to bottom.
        step: the edges of one iteration.
        links: between the segments.
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


def one_state(*step: Edge, restriction: str = "R") -> Picture:
    """Returns the picture of a family with the one state x."""
    return Picture(("x",), step, (Link((0, "x"), (1, "x"), restriction),))


def two_states(first: str, second: str, *step: Edge) -> Picture:
    """Returns the picture of a family that updates two states in turn."""
    keeps = (carried(first), carried(second))
    return Picture((first, second), keeps + step, tuple(Link((0, s), (1, s), "R") for s in (first, second)))


def carried(state: str, label: str = "") -> Edge:
    """Returns the edge from a state to itself one iteration later."""
    return Edge((state, 0), (state, 1), label)


def branch(label: str, bend: float = 0.55, start: float = 0) -> Edge:
    """Returns the edge of a map of x that is added to the next x."""
    return Edge(("x", start), ("x", 1), label, bend)


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


CYCLE = Picture(
    ("u", "r"),
    (carried("u"), Edge(("r", 0), ("u", 1), "B"), Edge(("u", 1), ("r", 1), "A")),
    (Link((0, "r"), (1, "r"), "R"), Link((1, "u"), (2, "u"), "Rᵀ"), Link((0, "u"), (2, "u")), Link((0, "r"), (2, "r"))),
    segments=((1, 1), (2, 1), (1, 1)),
    drop=1.4,
)

PICTURES = {
    "MgNet": smoothing("A", "B"),
    "VCycleMgNet": CYCLE,
    "PolyMgNet": smoothing("A", "q(A)"),
    "FBResNet": smoothing("A(·)", "B(·)"),
    "ResNet": one_state(carried("x"), branch("A σ B")),
    "PreActResNet": one_state(carried("x"), branch("A σ B σ")),
    "ResNeXt": one_state(carried("x"), branch("T₁", 0.45), branch("T₂", 0.8), branch("T₃, ...", -0.55)),
    "MultiResNet": one_state(carried("x"), branch("f₁", 0.45), branch("f₂", 0.8), branch("f₃, ...", -0.55)),
    "LMResNet": one_state(carried("x", "1 − k"), branch("f"), Edge(("x", -1), ("x", 1), "k", -0.75)),
    "LMResNeXt": one_state(carried("x", "1 − k"), branch("Σ T"), Edge(("x", -1), ("x", 1), "k", -0.75)),
    "ShakeShake": one_state(carried("x"), branch("η f₁"), branch("(1 − η) f₂", -0.55)),
    "RecurrentResNet": one_state(carried("x"), branch("K")),
    "PolyNet": one_state(carried("x"), branch("F"), branch("F F", -0.55)),
    "VeryDeepPolyNet": one_state(carried("x"), branch("F", 0.45), branch("F σ F", 0.8), branch("F σ F σ F", -0.55)),
    "HighwayNet": one_state(carried("x", "1 − T"), branch("T · H")),
    "DenseNet": Picture(
        ("x",),
        (Edge(("x", 0), ("x", 1), "f"), Edge(("x", -1), ("x", 1), "", 0.6), Edge(("x", -2), ("x", 1), "", 1.0)),
        (Link((0, "x"), (1, "x"), "R"),),
        segments=((1, 3), (2, 1)),
    ),
    "FractalNet": Picture(
        ("x",),
        (
            *(Edge(("x", t / 4), ("x", (t + 1) / 4), "K") for t in range(4)),
            *(Edge(("x", t / 2), ("x", (t + 1) / 2), "K", 0.5) for t in range(2)),
            Edge(("x", 0), ("x", 1), "K", 1.0),
        ),
        segments=((1, 1),),
        stretch=3.6,
    ),
    "RevNet": two_states("x₁", "x₂", Edge(("x₂", 0), ("x₁", 1), "F"), Edge(("x₁", 1), ("x₂", 1), "G")),
    "HamiltonianNet": two_states(
        "Y", "Z", Edge(("Z", 0), ("Y", 1), "K₁ᵀσK₁"), Edge(("Y", 1), ("Z", 1), "−K₂ᵀσK₂")
    )._replace(stretch=1.6),
    "ReactionDiffusion": Picture(
        ("u", "f"),
        (carried("u"), Edge(("u", 0), ("u", 1), "−Kᵀ ψ(K u)", 0.55), Edge(("f", 0), ("u", 1), "λ"), carried("f")),
        segments=((1, 3),),
    ),
}
