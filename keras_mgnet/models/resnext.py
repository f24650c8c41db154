"""ResNeXt: residual bottlenecks of aggregated transformations (Xie, Girshick, Dollar, Tu, He 2017)."""

from collections.abc import Sequence
from typing import Unpack

from keras_mgnet.errors import check_known
from keras_mgnet.models.family import Family, Row, Space, errors
from keras_mgnet.models.frame import Frame, FrameArguments
from keras_mgnet.models.layout import aggregated
from keras_mgnet.models.network import Network
from keras_mgnet.models.picture import added, one_state
from keras_mgnet.models.resnet import residual_level
from keras_mgnet.models.stepping import SCHEMES
from keras_mgnet.serialization import serializable

TABLE = "Lu2018 Table 2"
PREACT = {"preactivation": True}
ROWS = (
    Row("resnext29_8x64d", {"cardinality": 8}, 34_426_698, errors(TABLE, "34.4M", cifar100=17.77)),
    Row("resnext29_16x64d", {"cardinality": 16}, 68_155_210, errors(TABLE, "68.1M", cifar100=17.31)),
    Row("preact_resnext29_8x64d", PREACT | {"cardinality": 8}, 34_423_114, source="Lu2018"),
    Row("preact_resnext29_16x64d", PREACT | {"cardinality": 16}, 68_151_626, errors(TABLE, "68.1M", cifar100=17.65)),
)


@serializable
class ResNeXt(Network):
    """ResNeXt for small images: each block adds C transformations, x_{n+1} = s(x_n + sum_{g=1}^C T_g(x_n)).

    T_g is a bottleneck and s is the activation. A grouped convolution computes all T_g at once (form C of the paper), which
    equals the explicit sum (form B). As a method ResNeXt is forward Euler. Source: facebookresearch/ResNeXt resnext.lua.

    Args:
        depth: number of layers, 9n + 2 for n blocks on each of three grids.
        blocks: number of blocks on each grid in place of `depth`, such as (3, 4, 6, 3) for the 50 layers of ImageNet.
        cardinality: number C of groups.
        group_width: channels of a group on the first grid.
        preactivation: whether a norm and the activation come before each convolution, and no activation follows the sum. Lu2018
            compares LM-ResNeXt with this form.
        scheme: "euler", "heun" or "linear_multistep", as in `ResNet`.

    Example:
        >>> ResNeXt(11, cardinality=2, group_width=4, input_shape=(8, 8, 1)).name
        'resnext11_2x4d'
    """

    family = Family(
        recipe="lu2018_resnext",
        small={"depth": 11, "cardinality": 1, "group_width": 1},
        picture=one_state(added("T₁", 0.45), added("T₂", 0.8), added("T₃, ...", -0.55)),
        space=Space("group_width", None, choices={"depth": (11, 20, 29), "cardinality": (2, 4, 8)}),
        rows=ROWS,
    )

    def __init__(
        self,
        depth: int = 29,
        *,
        blocks: Sequence[int] | None = None,
        cardinality: int = 8,
        group_width: int = 64,
        preactivation: bool = False,
        scheme: str = "euler",
        **arguments: Unpack[FrameArguments],
    ) -> None:
        plan = aggregated(depth, cardinality, group_width, blocks)
        check_known("scheme", scheme, SCHEMES)

        with Frame(**arguments) as frame:
            imagenet = frame.stem == "imagenet"
            x = frame.begin(plan.stem, len(plan.blocks), normalize=imagenet or not preactivation)
            for stage in plan.stages():
                lead = (
                    "none" if preactivation and imagenet and stage.level == 1 else None
                )  # the stem has norm and sigma
                x = residual_level(plan, stage, frame, x, preactivation=preactivation, lead=lead, scheme=scheme)
            if preactivation:
                x = frame.end(x)
        label = plan.label(depth if blocks is None else None)
        name = f"{'preact_' if preactivation else ''}resnext{label}_{cardinality}x{group_width}d"
        super().__init__(frame, x, name=name, recipe="lu2018_imagenet" if imagenet else None)
