"""LM-ResNet and LM-ResNeXt: pre-activation residual networks as a linear two-step method (Lu, Zhong, Li, Dong 2018)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Unpack

import keras
import numpy as np

from keras_mgnet.annotations import Tensor
from keras_mgnet.errors import check_known
from keras_mgnet.layers import Conv, Level, LinearMultistep, shortcut
from keras_mgnet.layers.schemes.two_step import TwoStep
from keras_mgnet.models.datasets import CIFAR100
from keras_mgnet.models.family import Family, Published, Row, Space, errors
from keras_mgnet.models.frame import Frame, FrameArguments
from keras_mgnet.models.layout import Layout, Stage, aggregated, layout
from keras_mgnet.models.network import Network
from keras_mgnet.models.picture import Edge, added, one_state
from keras_mgnet.models.resnet_rows import SCALED, TABLE2, TABLE4, by_chance, cifar100_row, imagenet_row, table3
from keras_mgnet.models.resnext import ResNeXt
from keras_mgnet.serialization import serializable

TRANSITIONS = ("plain", "project")
LM164 = (Published(TABLE2, CIFAR100, "2.55M", error=22.90, note=SCALED),)
ROWS = (
    Row("lm_resnet20", {"depth": 20}, 272_384, errors(TABLE2, "0.27M", cifar10=8.33)),
    Row("lm_resnet32", {"depth": 32}, 466_822, errors(TABLE2, "0.46M", cifar10=7.18)),
    Row("lm_resnet44", {"depth": 44}, 661_260, errors(TABLE2, "0.66M", cifar10=6.66)),
    Row("lm_resnet56", {"depth": 56}, 855_698, errors(TABLE2, "0.85M", cifar10=6.31)),
    cifar100_row("lm_resnet110", {"depth": 110}, 1_730_669, errors(TABLE2, "1.7M", cifar100=25.87)),
    cifar100_row("lm_resnet164", {"depth": 164}, 1_703_725, LM164),
    by_chance("lm_resnet56_stochastic_depth", {"depth": 56, "survival": 0.8}, 855_698, errors(TABLE4, cifar10=5.14)),
    by_chance(
        "lm_resnet110_stochastic_depth", {"depth": 110, "survival": 0.5}, 1_730_669, errors(TABLE4, cifar10=4.80)
    ),
    imagenet_row("lm_resnet50", {"depth": 50}, 25_549_364, table3(23.8, 7.0)),
    imagenet_row("lm_resnet101", {"depth": 101}, 44_541_509, table3(22.6, 6.4)),
)
NEXT_ROWS = (
    Row("lm_resnext29_8x64d", {"cardinality": 8}, 35_078_483, errors(TABLE2, "35.1M", cifar100=17.49)),
    Row("lm_resnext29_16x64d", {"cardinality": 16}, 68_806_995, errors(TABLE2, "68.8M", cifar100=16.79)),
)
BEFORE = Edge(("x", -1), ("x", 1), "k", -0.75)


@serializable
class LMResNet(Network):
    """LM-ResNet: a linear two-step method, x_{n+1} = (1 - k_n) x_n + k_n x_{n-1} + f_n(x_n), Lu2018 (1).

    f_n is a pre-activation residual branch. k_n is a trainable scalar, drawn initially from U[-0.1, 0]. As in the released code,
    2prime/LM-ResNet, the first block of each grid has no k_n. A first block that changes the shape computes R x_n + f_n(x_n), and
    R x_n replaces x_{n-1} in the next block. R is a norm, the activation and a 1x1 convolution. On four grids R shares the norm
    and the activation of the branch.

    Args:
        depth, blocks, bottleneck, base_width, survival, survival_schedule: as in `ResNet`. Only f is dropped.
        lm_transition: "plain" as above. "project" gives the first block of each grid a k_n, too. On coarser grids a separate 1x1
            convolution then projects x_{n-1}. Before the first block of the network x_{-1} = 0.

    Example:
        >>> model = LMResNet(20)
        >>> k_values(model).shape
        (6,)
    """

    family = Family(
        recipe="lu2018_cifar10",
        small={"blocks": (1,), "base_width": 2},
        picture=one_state(added("f"), BEFORE, kept="1 − k"),
        space=Space("base_width", "blocks", choices={"lm_transition": TRANSITIONS}),
        rows=ROWS,
    )

    def __init__(
        self,
        depth: int = 20,
        *,
        blocks: Sequence[int] | None = None,
        bottleneck: bool | None = None,
        lm_transition: str = "plain",
        base_width: int | None = None,
        survival: float = 1.0,
        survival_schedule: str = "huang",
        **arguments: Unpack[FrameArguments],
    ) -> None:
        plan = layout(depth, blocks, bottleneck, base_width)
        survivals = plan.survivals(survival, survival_schedule)
        # the published size of the ImageNet networks is that of fb.resnet.torch's pre-activation layout plus the k
        released = len(plan.blocks) != 4

        with Frame(**arguments) as frame:
            x = linear_multistep(frame, plan, lm_transition, survivals, survival_schedule, released)
        name = f"lm_resnet{plan.label(depth if blocks is None else None)}"
        recipe = "lu2018_imagenet" if frame.stem == "imagenet" else None
        super().__init__(frame, x, name=name, recipe=recipe)


@serializable
class LMResNeXt(Network):
    """LM-ResNeXt: the two-step method of `LMResNet` with pre-activation bottlenecks of `cardinality` groups.

    Source: Lu2018, Table 2. Only lm_transition="project" gives the published size.

    Args:
        depth, blocks, cardinality, group_width: as in `ResNeXt`.
        lm_transition: "project" gives the first block of each grid a k_n and, on coarser grids, a projection of x_{n-1}. "plain"
            gives this block neither.

    Example:
        >>> LMResNeXt(11, cardinality=2, group_width=4, input_shape=(8, 8, 1)).name
        'lm_resnext11_2x4d'
    """

    family = replace(ResNeXt.family, picture=one_state(added("Σ T"), BEFORE, kept="1 − k"), rows=NEXT_ROWS)

    def __init__(
        self,
        depth: int = 29,
        *,
        blocks: Sequence[int] | None = None,
        cardinality: int = 8,
        group_width: int = 64,
        lm_transition: str = "project",
        **arguments: Unpack[FrameArguments],
    ) -> None:
        plan = aggregated(depth, cardinality, group_width, blocks)

        with Frame(**arguments) as frame:
            x = linear_multistep(frame, plan, lm_transition, [None] * len(plan.blocks), "huang", released=False)
            recipe = "lu2018_imagenet" if frame.stem == "imagenet" else None
        label = plan.label(depth if blocks is None else None)
        super().__init__(frame, x, name=f"lm_resnext{label}_{cardinality}x{group_width}d", recipe=recipe)


def linear_multistep(
    frame: Frame,
    plan: Layout,
    lm_transition: str,
    survivals: Sequence[Sequence[float] | None],
    schedule: str,
    released: bool,
) -> Tensor:
    """Runs the two-step method on all grids, and returns the last state after a norm and the activation.

    Args:
        released: whether shortcuts have a separate norm, as in the released code. If not, they share the norm of the branch.
    """
    check_known("lm_transition", lm_transition, TRANSITIONS)
    projects, imagenet = lm_transition == "project", frame.stem == "imagenet"
    options = frame.common
    project = shortcut.norm_projection if released else shortcut.projection
    x, previous = frame.begin(plan.stem, len(plan.blocks), normalize=imagenet), None
    for stage, survives in zip(plan.stages(), survivals, strict=True):
        lead = "none" if imagenet and stage.level == 1 else None
        branch = plan.branch(stage, strides=stage.strides, lead=lead, name="f", **options)
        chance: dict[str, Any] = {"survival": survives, "inverted": schedule == "lm_release"}
        blocks = stage.residual(branch, project, options, R_activated=not released, **chance)
        scheme = LinearMultistep(stage.blocks, k_first=projects, dtype=options["dtype"])
        level = Level(scheme, blocks, name=f"level{stage.level}", dtype=options["dtype"])
        given = [_restriction(stage, options)(previous)] if projects and stage.level > 1 else []
        x, previous = level(x, *given)
    return frame.end(x)


def k_values(model: keras.Model) -> np.ndarray:
    """Returns the k_n of an LM network in the order of its blocks. Raises ValueError for a network without k_n.

    Example:
        >>> bool(np.all(k_values(LMResNet(14)) <= 0))
        True
    """
    schemes = [layer.scheme for layer in model.layers if isinstance(getattr(layer, "scheme", None), TwoStep)]
    if not schemes:
        raise ValueError(f"expected a network with k, such as LMResNet. Received: {type(model).__name__}")
    return np.array([float(keras.ops.convert_to_numpy(k)) for scheme in schemes for k in scheme.k])


def _restriction(stage: Stage, options: dict[str, Any]) -> Conv:
    """Returns the 1x1 convolution that projects x_{n-1} to the grid and the channels of a stage."""
    name, policy = f"transfer{stage.level}", options["dtype"]
    return Conv(stage.channels, 1, strides=stage.strides, init=options["init"], name=name, dtype=policy)
