"""MgNO: multigrid as a linear operator between functions (He, Liu, Xu 2024, with the authors' code)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Unpack

import keras

from keras_mgnet.annotations import Tensor
from keras_mgnet.errors import check_known
from keras_mgnet.layers import Affine, Conv, DataCorrection, DataSystem, GridTransfer, Level, Prolongation, Residual
from keras_mgnet.layers.operators.conv import PADDINGS
from keras_mgnet.layers.operators.grid_norm import NORMALIZERS, GridNorm, Normalizer
from keras_mgnet.models.checks import is_integer, positive_integer, positive_integers
from keras_mgnet.models.datasets import DARCY_ROUGH, DARCY_SMOOTH, HELMHOLTZ, NAVIER_STOKES, PIPE
from keras_mgnet.models.family import Family, Published, Row
from keras_mgnet.models.frame import MOST_GRIDS
from keras_mgnet.models.function_frame import FunctionFrame, FunctionFrameArguments
from keras_mgnet.models.network import Network
from keras_mgnet.models.picture import Edge, Link, Picture, carried
from keras_mgnet.serialization import serializable

Steps = Sequence[Sequence[int]]

CODE = "xlliu2017/MgNO code"
PAPER = "He, Liu, Xu 2024, tables 1-4, as quoted by others"
SIX = ((1, 0),) * 5 + ((2, 0),)
GROWING = {"channels": (20, 40, 60, 80, 100), "steps": ((1, 0),) * 4 + ((2, 0),)}
ROWS = (
    Row(
        "mgno_darcy_rough",
        {"channels": 24, "layers": 4, "steps": SIX, "normalize_y": "scalar"},
        572_661,
        (Published(PAPER, DARCY_ROUGH, "0.57M"),),
        dataset=DARCY_ROUGH,
    ),
    Row(
        "mgno_darcy_smooth",
        {"channels": 24, "layers": 5, "steps": SIX, "normalize_x": "pointwise", "normalize_y": "pointwise"},
        678_093,
        (Published(PAPER, DARCY_SMOOTH, "0.57M", note="the table prints one size for three networks"),),
        dataset=DARCY_SMOOTH,
    ),
    Row(
        "mgno_pipe",
        {"channels": 24, "layers": 5, "steps": ((1, 0),) * 4 + ((1, 1), (2, 0))},
        783_876,
        source=CODE,
        dataset=PIPE,
    ),
    Row(
        "mgno_navier_stokes",
        {
            "channels": 32,
            "layers": 5,
            "steps": ((1, 0),) * 3 + ((2, 0),) * 2,
            "variant": "navier_stokes",
            "padding": "periodic",
        },
        2_885_194,
        (Published(PAPER, NAVIER_STOKES, "2.89M"),),
        dataset=NAVIER_STOKES,
    ),
    Row(
        "mgno_helmholtz",
        {**GROWING, "layers": 4, "variant": "helmholtz", "padding": "reflect", "coarse_points": "odd"}
        | {"normalize_x": "scalar", "normalize_y": "scalar"},
        5_340_565,
        (Published(PAPER, HELMHOLTZ, "7.58M", note="no configuration of the authors' code has this size"),),
        dataset=HELMHOLTZ,
    ),
)
PICTURE = Picture(
    ("u", "f"),
    (carried("u"), Edge(("u", 0), ("u", 1), "−B A", 0.55), Edge(("f", 0), ("u", 1), "B"), carried("f")),
    (
        Link((0, "u"), (1, "u"), "Π"),
        Link((0, "f"), (1, "f"), "R"),
        Link((1, "u"), (2, "u"), "T"),
        Link((0, "u"), (2, "u")),
        Link((0, "f"), (2, "f")),
    ),
    segments=((1, 1), (2, 1), (1, 1)),
    drop=1.4,
)


class Variant(NamedTuple):
    """What distinguishes the published networks, apart from their sizes.

    Attributes:
        bias: whether A and B have a bias.
        norms: where layer normalisations are: after each "correction" from a coarser grid, after each "cycle", or nowhere.
        pointwise: whether each layer adds K u + b with a 1x1 convolution K.
        ends_in_cycle: whether the last map is a V-cycle. If not, it is a 1x1 convolution.
        adds_input: whether the network adds its input to the output of the last map.
    """

    bias: bool = False
    norms: str | None = None
    pointwise: bool = False
    ends_in_cycle: bool = False
    adds_input: bool = False


VARIANTS = {
    "darcy": Variant(pointwise=True),
    "navier_stokes": Variant(bias=True, norms="correction", adds_input=True),
    "helmholtz": Variant(bias=True, norms="cycle", ends_in_cycle=True),
}
RESTRICTED = ("data", "residual")
COARSE_POINTS = ("even", "odd")


@serializable
class MgNO(Network):
    """MgNO: a network from functions to functions whose linear maps are V-cycles W of learned convolutions.

    Each layer computes u <- sigma(W u + K u + b) with a 1x1 convolution K. The last map is a 1x1 convolution. On grid l of a
    V-cycle, iteration i computes

        u <- u + B_i (f - A_i u)

    and each iteration has an A and a B of its own. On the way down, u <- Pi u and f <- R f are the start and the data of the next
    grid. On the way up, u <- u + T u', where u' is the u of the coarser grid. The input of the V-cycle is the data f of the
    first grid, and its output is u on the first grid. With `variant="darcy"` W is linear.

    The published networks restrict the data f. With restrict="residual" a transfer restricts f - A u, as in multigrid. If then
    also Pi = 0 and all kernels are those of multigrid, a V-cycle of this network is a V-cycle of `keras_mgnet.multigrid.solver`.

    Source: He, Liu, Xu 2024 (MgNO), with the details of the authors' code, xlliu2017/MgNO.

    Args:
        channels: channels of u, an integer or one per grid. Then each is a multiple of the first, and the data f of the first
            layer has as many times the input channels.
        layers: number of layers.
        steps: (before, after) for each grid: iterations on the way down and on the way up. The first grid needs one on the way
            down. The coarsest grid has no way up.
        variant: "darcy" for the network above. The other two have no K, and A and B have biases. With "navier_stokes" a layer
            normalisation follows each u + T u', and the network adds its input to its output. With "helmholtz" a layer
            normalisation follows each V-cycle, and the last map is a V-cycle.
        out_channels: channels of the output functions.
        padding: the boundary condition, by which convolutions continue a grid: "zeros", "periodic" or "reflect". T always
            continues by zeros.
        restrict: "data" or "residual".
        coarse_points: the points of the next grid. "even" stands for the points 0, 2, 4 and so on of this grid, and transfers
            continue the grid. "odd" stands for the points 1, 3, 5 and so on, and transfers do not continue the grid.
        normalize_x, normalize_y: "scalar" or "pointwise", so that the network standardises its input, or its target, with the
            statistics of `keras_mgnet.adapt_normalizers`; None to leave the functions as they are.

    Example:
        >>> model = MgNO(4, 2, ((1, 0), (1, 1), (2, 0)), input_shape=(8, 8, 1))
        >>> model.output_shape
        (None, 8, 8, 1)
    """

    frame = FunctionFrame

    family = Family(
        recipe="mgno",
        small={"channels": 2, "layers": 1, "steps": ((1, 0), (1, 0)), "input_shape": (8, 8, 1)},
        picture=PICTURE,
        rows=ROWS,
    )

    def __init__(
        self,
        channels: int | Sequence[int] = 24,
        layers: int = 4,
        steps: Steps = SIX,
        *,
        variant: str = "darcy",
        out_channels: int = 1,
        padding: str = "zeros",
        restrict: str = "data",
        coarse_points: str = "even",
        normalize_x: str | None = None,
        normalize_y: str | None = None,
        **arguments: Unpack[FunctionFrameArguments],
    ) -> None:
        layers, out_channels = positive_integer("layers", layers), positive_integer("out_channels", out_channels)
        steps = check_steps(steps)
        growth = check_growth(positive_integers("channels", channels, len(steps)))
        width = positive_integers("channels", channels, len(steps))[0]
        choices = {"variant": (variant, VARIANTS), "padding": (padding, PADDINGS), "restrict": (restrict, RESTRICTED)}
        choices["coarse_points"] = (coarse_points, COARSE_POINTS)
        choices |= {"normalize_x": (normalize_x or "scalar", NORMALIZERS)}
        choices |= {"normalize_y": (normalize_y or "scalar", NORMALIZERS)}
        for name, (value, known) in choices.items():
            check_known(name, value, known)
        kind = VARIANTS[variant]

        with FunctionFrame(**arguments) as frame:
            x = image = frame.image()
            check_grids(image.shape[1:3], len(steps), coarse_points, padding)
            if kind.norms and None in image.shape[1:3]:
                raise ValueError(
                    f"expected a fixed input_shape for the layer normalisations. Received: {tuple(image.shape[1:])}"
                )
            if kind.adds_input and out_channels != image.shape[-1]:
                raise ValueError(
                    f"expected out_channels={image.shape[-1]}, like the input that is added. Received: {out_channels}"
                )
            cycle = Cycle(steps, growth, kind, padding, restrict, coarse_points, frame.common)
            dtype = frame.common["dtype"]
            u = x if normalize_x is None else Normalizer(normalize_x, name="encode", dtype=dtype)(x)
            for k in range(1, layers + 1):
                w = cycle(k, width, u)
                if kind.pointwise:
                    K = Affine(width, 1, bias=None, name=f"K{k}", **frame.common)
                    w = keras.layers.Add(name=f"sum{k}", dtype=dtype)([w, K(u)])
                if kind.norms == "cycle":
                    w = GridNorm(name=f"norm{k}", dtype=dtype)(w)
                u = keras.layers.Activation(frame.activation, name=f"sigma{k}", dtype=dtype)(w)
            q = (
                partial(cycle, layers + 1, out_channels)
                if kind.ends_in_cycle
                else Conv(out_channels, 1, name="q", **frame.last)
            )
            y = q(u)
            if kind.adds_input:
                y = keras.layers.Add(name="sum", dtype=frame.last["dtype"])([x, y])
            if normalize_y is not None:
                y = Normalizer(normalize_y, inverse=True, name="decode", dtype=frame.last["dtype"])(y)
        super().__init__(frame, y, name="mgno", image=image)


@dataclass(frozen=True)
class Cycle:
    """Makes the V-cycles of a network. Attributes as the arguments of `MgNO`; `growth` has channels in units of the first grid.

    Layers of grid l of V-cycle k are named by (k, l), counted from 1, such as "level1_2".
    """

    steps: Steps
    growth: Sequence[int]
    kind: Variant
    padding: str
    restrict: str
    coarse_points: str
    common: dict[str, Any]

    def __call__(self, k: int, channels: int, f: Tensor) -> Tensor:
        """Returns u of the first grid for the data f (N, H, W, c_f), as (N, H, W, channels)."""
        return self._from_grid(k, 0, channels, f.shape[-1], f, None)

    def _from_grid(self, k: int, l: int, c_u: int, c_f: int, f: Tensor, u: Tensor | None) -> Tensor:  # noqa: E741
        """Returns u of grid l after the part of the V-cycle on this grid and on all coarser ones."""
        place, down = f"{k}_{l + 1}", self.steps[l][0]
        u = self._smooth(f"level{place}", down, c_u * self.growth[l], f, u)
        if l + 1 == len(self.steps):
            return u
        e, g = self._restricted(f"{k}_{l + 2}", c_u * self.growth[l + 1], c_f * self.growth[l + 1], f, u)
        e = self._from_grid(k, l + 1, c_u, c_f, g, e)
        up = Prolongation(padded=self.coarse_points == "even", name=f"up{place}", **self.common)
        u = up(u, e)
        if self.kind.norms == "correction":
            u = GridNorm(name=f"norm{place}", dtype=self.common["dtype"])(u)
        return self._smooth(f"level{place}_up", self.steps[l][1], c_u * self.growth[l], f, u)

    def _smooth(self, name: str, count: int, channels: int, f: Tensor, u: Tensor | None) -> Tensor:
        if not count:
            return u
        dtype, options = self.common["dtype"], {"padded": self.padding, "bias": self.kind.bias, **self.common}
        system = DataSystem(channels, f.shape[-1], count, from_zero=u is None, name="system", **options)
        level = Level(DataCorrection(dtype=dtype), system, name=name, dtype=dtype)
        return (level(f) if u is None else level(f, u))[0]

    def _restricted(self, place: str, c_u: int, c_f: int, f: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the start u and the data f of the next grid."""
        if self.restrict == "residual":
            A = Conv(f.shape[-1], padded=self.padding, name="A", **self.common)
            f = Residual(A, name=f"residual{place}", dtype=self.common["dtype"])(f, u)
        padded = self.padding if self.coarse_points == "even" else False
        options = {"normalize": False, "padded": padded, "name": f"transfer{place}", **self.common}
        return GridTransfer(c_u, c_f, **options)(u, f)


def check_steps(steps: Any) -> tuple[tuple[int, int], ...]:
    """Returns `steps` as pairs of integers. Raises ValueError unless they make a V-cycle.

    Example:
        >>> check_steps([[1, 0], [2, 1]])
        Traceback (most recent call last):
            ...
        ValueError: expected (before, 0) as the steps of the coarsest grid, ... Received: steps=[[1, 0], [2, 1]]
    """
    pairs: Sequence[Any] = steps if isinstance(steps, (tuple, list)) and steps else [()]
    for pair in pairs:
        is_pair = isinstance(pair, (tuple, list)) and len(pair) == 2
        if not is_pair or not all(is_integer(count) and 0 <= count <= 1_000 for count in pair):
            raise ValueError(
                f"expected steps to be pairs (before, after) of integers >= 0, one per grid. Received: steps={steps!r}"
            )
    if len(pairs) > MOST_GRIDS:
        raise ValueError(f"expected at most {MOST_GRIDS} grids. Received: {len(pairs)}")
    if pairs[0][0] < 1:
        raise ValueError(f"expected at least one step on the way down of the first grid. Received: steps={steps!r}")
    if pairs[-1][1]:
        raise ValueError(
            f"expected (before, 0) as the steps of the coarsest grid, which has no way up. Received: steps={steps!r}"
        )
    return tuple((int(before), int(after)) for before, after in pairs)


def check_growth(channels: Sequence[int]) -> tuple[int, ...]:
    """Returns channels in units of those of the first grid. Raises ValueError unless they are multiples.

    Example:
        >>> check_growth((20, 40, 60))
        (1, 2, 3)
    """
    if any(c % channels[0] for c in channels):
        raise ValueError(f"expected channels to be multiples of the first. Received: channels={tuple(channels)}")
    return tuple(c // channels[0] for c in channels)


def check_grids(sides: Sequence[int | None], grids: int, coarse_points: str, padding: str) -> None:
    """Raises ValueError unless all transfers fit the grids below a grid of these sides. Sides of None stand for any.

    Example:
        >>> check_grids((8, 9), 3, "even", "zeros")
        Traceback (most recent call last):
            ...
        ValueError: expected a height and width that are both even or both odd on each grid. Received: 8 x 9 points on grid 1
    """
    if None in sides:
        return
    now = [int(side) for side in sides if side is not None]
    for grid in range(1, grids + 1):
        is_last = grid == grids
        least = (1 if is_last and padding != "reflect" else 2) + (coarse_points == "odd" and not is_last)
        if min(now) < least:
            raise ValueError(
                f"expected an input_shape that leaves at least {least} x {least} points on grid {grid} of {grids}. "
                f"Received: {sides[0]} x {sides[1]} points, of which {now[0]} x {now[1]} are left"
            )
        if not is_last and sum(now) % 2:
            received = f"{now[0]} x {now[1]} points on grid {grid}"
            raise ValueError(
                f"expected a height and width that are both even or both odd on each grid. Received: {received}"
            )
        now = [(n + 1) // 2 if coarse_points == "even" else (n - 1) // 2 for n in now]
