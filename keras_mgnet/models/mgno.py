"""MgNO: multigrid as a linear operator between functions (He, Liu, Xu 2024, with the authors' code)."""

from collections.abc import Sequence
from functools import partial
from typing import Unpack

import keras

from keras_mgnet.errors import check_known
from keras_mgnet.layers import Affine, Conv
from keras_mgnet.layers.operators.conv import PADDINGS
from keras_mgnet.layers.operators.grid_norm import NORMALIZERS, GridNorm, Normalizer
from keras_mgnet.models.checks import positive_integer, positive_integers
from keras_mgnet.models.datasets import DARCY_ROUGH, DARCY_SMOOTH, HELMHOLTZ, NAVIER_STOKES, PIPE
from keras_mgnet.models.family import Family, Published, Row
from keras_mgnet.models.function_frame import FunctionFrame, FunctionFrameArguments
from keras_mgnet.models.network import Network
from keras_mgnet.models.operator_cycle import Cycle, Steps, Variant, check_grids, check_growth, check_steps
from keras_mgnet.models.picture import Edge, Link, Picture, carried
from keras_mgnet.serialization import serializable

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
