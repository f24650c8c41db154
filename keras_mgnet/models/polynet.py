"""PolyNet on small images: polynomials of residual branches as truncated Neumann series (Zhang, Li, Loy, Lin 2017; Lu2018)."""

from collections.abc import Sequence
from typing import Any, Unpack

from keras_mgnet.errors import check_known
from keras_mgnet.layers import Blocks, Poly, shortcut
from keras_mgnet.layers.fields.poly import KINDS, module_kernels
from keras_mgnet.models.checks import positive_integers
from keras_mgnet.models.family import Family, Row, Space
from keras_mgnet.models.frame import Frame, FrameArguments
from keras_mgnet.models.layout import Layout, Stage, layout
from keras_mgnet.models.network import Network
from keras_mgnet.models.picture import added, one_state
from keras_mgnet.models.stepping import SCHEMES, iterated
from keras_mgnet.serialization import serializable

SIZES = {"poly2": 270_682, "poly3": 271_642, "mpoly2": 468_826, "2way": 468_826}
ROWS = tuple(
    Row(f"polynet_{kind}", {"kind": kind}, params, source="Lu2018 section 2.1") for kind, params in SIZES.items()
)


@serializable
class PolyNet(Network):
    """PolyNet: each block is a polynomial of residual branches, such as x_{n+1} = (I + F + F^2) x_n.

    This polynomial is the beginning of the Neumann series of (I - F)^{-1}, so for small F a block approximates a step of backward
    Euler (Lu2018, section 2.1). For large F the block is not stable as backward Euler is, see `keras_mgnet.layers.Poly`.

    F is the branch of `PreActResNet`, on the same grids with the same channels. The powers of F share the kernels of F and have
    separate norms. G and H are further branches with their own kernels. The first block of a coarser grid is
    x_{n+1} = R x_n + F x_n with a shortcut R, because F changes the shape there and has no square.

    Args:
        kind: the polynomial. "poly2" is I + F + F^2, "poly3" is I + F + F^2 + F^3, "mpoly2" is I + F + GF, "mpoly3" is
            I + F + GF + HGF, "2way" is I + F + G, "3way" is I + F + G + H, and "plain" is I + F.
        blocks: number of blocks on each grid.
        base_width: number of channels of the first grid. Each coarser grid has twice as many.
        scheme: "euler", "heun" or "linear_multistep", as in `ResNet`.

    Example:
        >>> sizes = {kind: PolyNet(kind, (2, 2), base_width=4).count_params() for kind in ("poly2", "mpoly2", "2way")}
        >>> sizes["poly2"] < sizes["mpoly2"] == sizes["2way"]
        True
    """

    family = Family(
        recipe="lu2018_cifar10",
        small={"blocks": (1,), "base_width": 2},
        picture=one_state(added("F"), added("F F", -0.55)),
        space=Space("base_width", "blocks", choices={"kind": ("poly2", "poly3", "mpoly2", "2way", "mpoly3")}),
        rows=ROWS,
    )

    def __init__(
        self,
        kind: str = "poly2",
        blocks: Sequence[int] = (3, 3, 3),
        *,
        base_width: int = 16,
        scheme: str = "euler",
        **arguments: Unpack[FrameArguments],
    ) -> None:
        check_known("kind", kind, KINDS)
        check_known("scheme", scheme, SCHEMES)
        plan = layout(0, positive_integers("blocks", blocks), bottleneck=False, base_width=base_width)

        with Frame(**arguments) as frame:
            x = frame.begin(plan.stem, len(plan.blocks), normalize=False)
            for stage in plan.stages():
                x = iterated(scheme, poly_blocks(plan, stage, kind, frame.common), x, f"level{stage.level}")
            x = frame.end(x)
        super().__init__(frame, x, name=f"polynet_{kind}_{plan.label(None)}")


def poly_blocks(plan: Layout, stage: Stage, kind: str, options: dict[str, Any]) -> Blocks:
    """Returns the blocks of one grid. They have the given kind, but a first block that changes the shape is "plain"."""
    kinds = ["plain" if stage.changes_shape and n == 0 else kind for n in range(stage.blocks)]
    table = module_kernels(kinds)
    F = plan.branch(stage, uses=len(table), sharing=(table, table), strides=stage.strides, name="F", **options)
    return stage.residual(Poly(F, kinds, name="f", dtype=options["dtype"]), shortcut.padding, options)
