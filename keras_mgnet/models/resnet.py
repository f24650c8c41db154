"""ResNet and pre-activation ResNet, with shared data-feature maps A and smoothers B (He2019, sections 2, 3, 5)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Unpack

import keras

from keras_mgnet.annotations import Tensor
from keras_mgnet.errors import check_known, is_known, unknown
from keras_mgnet.layers import Branch, Conv, shortcut
from keras_mgnet.layers.sharing import PUBLISHED_SIZE, RESTRICTION_FIRST, check_share, sharing_A, sharing_B
from keras_mgnet.models.family import EITHER, Family, Space
from keras_mgnet.models.frame import Frame, FrameArguments
from keras_mgnet.models.layout import Layout, Stage, layout
from keras_mgnet.models.network import Network
from keras_mgnet.models.picture import added, one_state
from keras_mgnet.models.resnet_rows import PREACT_ROWS, RESNET_ROWS
from keras_mgnet.models.stepping import SCHEMES, iterated
from keras_mgnet.serialization import serializable

SHORTCUTS = ("projection", "padding")
FORMS = ("released", "printed")


@serializable
class ResNet(Network):
    """ResNet: residual blocks with the activation s after the sum, r^{l,i} = s(r^{l,i-1} + A^{l,i} * s(B^{l,i} * r^{l,i-1})).

    Block i on grid l maps r^{l,i-1} to r^{l,i}, He2019 (2.3), (2.4). A and B are 3x3 convolutions, each followed by a norm. As a
    method ResNet is forward Euler. The first block of a coarser grid is the pooling block, which has stride 2. Structure and
    norms follow kuangliu/pytorch-cifar at depths 18 and 34, torchvision with the "imagenet" stem, and He et al. 2015 on three
    grids.

    Args:
        depth: number of layers. 18 and 34 (basic blocks) or 50, 101 and 152 (bottlenecks) have four grids. 6n + 2 (basic blocks)
            or 164 and 1001 (bottlenecks) have three grids.
        share_A: whether all blocks on a grid share one A. With False every block has its own A.
        share_B: whether all blocks on a grid except the pooling block share one B. With False every block has its own B. Sharing
            needs basic blocks. share_A and share_B can also be "published_size", which gives the sizes in the tables of He2019.
            This rule shares nothing on the first grid. With share_B="published_size" the pooling block restricts r first and then
            uses the shared B, He2019 (6.4). share_B="restriction_first" does so, and shares B on the first grid as well.
        base_width: number of channels inside the blocks of the first grid. Each coarser grid has twice as many. None for 64 on
            four grids and 16 on any other number.
        blocks: number of blocks on each grid; None for those that `depth` gives.
        bottleneck: whether each block is 1x1 - 3x3 - 1x1 with c channels inside and 4 c outside. None lets `depth` decide.
        shortcut: the shortcut of a block that changes the shape: "projection" (1x1 convolution, option B of He et al. 2015) or
            "padding" (zero channels, option A). None for "padding" with basic blocks on three grids, and for "projection" in all
            other cases.
        survival: probability that the branch of the last block is kept in a training step (stochastic depth, Huang et al. 2016).
        survival_schedule: how this probability depends on the depth, "huang" or "lm_release", see
            `keras_mgnet.layers.stochastic`.
        scheme: "euler"; "heun" for Heun's method of order 2 with the same branches, which needs survival=1; or
            "linear_multistep" for the two-step method x_{n+1} = (1 - k_n) x_n + k_n x_{n-1} + f_n(x_n) of Lu2018 (1), with s
            after the sum in `ResNet`. The first block of a grid has no k_n.
        form: the activations of `PreActResNet`; `ResNet` is the same network in both forms. "released" follows the released code.
            "printed" follows He2019: the stem ends with a norm and s, every block begins with both, shortcuts act on r itself,
            and nothing comes between the last r and the pooling.

    Raises:
        ValueError: if an argument is invalid. The error is raised before anything is built.

    Example:
        >>> ResNet(18, share_A=True, base_width=8).count_params() < ResNet(18, base_width=8).count_params()
        True
    """

    preactivation = False
    family = Family(
        recipe="lu2018_cifar10",
        small={"blocks": (1,), "base_width": 2},
        picture=one_state(added("A σ B")),
        space=Space("base_width", "blocks", choices={"share_A": EITHER, "share_B": EITHER}),
        rows=RESNET_ROWS,
    )

    def __init__(
        self,
        depth: int = 18,
        *,
        share_A: bool | str = False,
        share_B: bool | str = False,
        base_width: int | None = None,
        blocks: Sequence[int] | None = None,
        bottleneck: bool | None = None,
        shortcut: str | None = None,
        survival: float = 1.0,
        survival_schedule: str = "huang",
        scheme: str = "euler",
        form: str = "released",
        **arguments: Unpack[FrameArguments],
    ) -> None:
        plan = layout(depth, blocks, bottleneck, base_width)
        check_sharing(share_A, share_B, plan)
        check_known("scheme", scheme, SCHEMES)
        if scheme == "heun" and survival != 1:
            raise ValueError(f"expected survival=1 with scheme={scheme!r}. Received: survival={survival!r}")
        check_known("form", form, FORMS)
        padding = pads(shortcut, plan)
        survivals = plan.survivals(survival, survival_schedule)
        classic = blocks is None and depth in (18, 34)  # kuangliu's pre-activation form has no norm at the end
        released = self.preactivation and form == "released"

        with Frame(**arguments) as frame:
            r = frame.begin(plan.stem, len(plan.blocks), normalize=not released or frame.stem == "imagenet")
            for stage, survives in zip(plan.stages(), survivals, strict=True):
                coarse = stage.level > 1
                options: dict[str, Any] = {
                    "survival": survives,
                    "inverted": survival_schedule == "lm_release",
                    "preactivation": self.preactivation,
                    "R_activated": released,
                    "padding": padding,
                    "scheme": scheme,
                }
                if not plan.bottleneck:
                    options["sharing"] = (
                        sharing_B(share_B, stage.blocks, coarse),
                        sharing_A(share_A, stage.blocks, coarse),
                    )
                if coarse and share_B in (PUBLISHED_SIZE, RESTRICTION_FIRST):
                    r, stage = restrict_first(r, stage, frame, self.preactivation, released)
                    options["lead"] = "activation" if released else None
                elif not coarse and frame.stem == "imagenet" and not classic and released:
                    options["lead"] = "none"  # the stem's norm and sigma serve the first block
                r = residual_level(plan, stage, frame, r, **options)
            if released and not classic:
                r = frame.end(r)
        name = ("preact_" if self.preactivation else "") + "resnet" + plan.label(depth if blocks is None else None)
        super().__init__(frame, r, name=name, recipe=recipe_of(frame, depth if classic else None))


@serializable
class PreActResNet(ResNet):
    """Pre-activation ResNet: forward Euler, r^{l,i} = r^{l,i-1} + A^{l,i} * s(B^{l,i} * s(r^{l,i-1})), He2019 (2.1), (2.2).

    s is a norm followed by the activation. With share_A=True a block is a smoothing iteration of MgNet, written for the residual
    r (He2019, Theorem 1). As in kuangliu/pytorch-cifar, the CIFAR stem has no norm, and the shortcut of a pooling block acts on
    s(r). With form="printed" the shortcut acts on r, as in He2019 (2.2) and (6.4). The depths 18 and 34 have no norm before the
    classifier. Networks of other depths have one, as in fb.resnet.torch, unless form="printed". Arguments as in `ResNet`.

    Example:
        >>> PreActResNet(18, base_width=8, share_A=True, share_B="published_size").output_shape
        (None, 10)
    """

    preactivation = True
    family = replace(ResNet.family, picture=one_state(added("A σ B σ")), rows=PREACT_ROWS)


def residual_level(
    plan: Layout,
    stage: Stage,
    frame: Frame,
    x: Tensor,
    *,
    preactivation: bool,
    R_activated: bool = True,
    padding: bool = False,
    lead: str | None = None,
    sharing: Sequence[Sequence[int]] | None = None,
    survival: Sequence[float] | None = None,
    inverted: bool = False,
    scheme: str = "euler",
) -> Tensor:
    """Applies the level of one grid to x. The level has a branch and, if its first block changes the shape, a shortcut."""
    options = frame.common
    order = "preactivation" if preactivation else "postactivation"
    branch = plan.branch(stage, strides=stage.strides, order=order, lead=lead, sharing=sharing, name="f", **options)
    make = shortcut.padding if padding else shortcut.projection if preactivation else shortcut.projection_norm
    activated = preactivation and R_activated and not padding
    blocks = stage.residual(branch, make, options, R_activated=activated, survival=survival, inverted=inverted)
    return iterated(scheme, blocks, x, f"level{stage.level}", None if preactivation else frame.activation)


def restrict_first(r: Tensor, stage: Stage, frame: Frame, preactivation: bool, activated: bool) -> tuple[Tensor, Stage]:
    """Restricts r before the level, He2019 (6.4). Returns the restricted r, and the stage without its change of shape."""
    options = {"name": f"transfer{stage.level}", "strides": 2, **frame.common}
    if preactivation and not activated:
        r = Conv(stage.channels, 1, strides=2, init=frame.init, name=options["name"], dtype=options["dtype"])(r)
    elif preactivation:
        r = Branch((stage.channels,), (1,), **options)(r)
    else:
        r = Branch((stage.channels,), (1,), order="postactivation", **options)(r)
        r = keras.layers.Activation(frame.activation, name=f"sigma{stage.level}", dtype=options["dtype"])(r)
    return r, stage._replace(strides=1, changes_shape=False)


def recipe_of(frame: Frame, depth: int | None) -> str:
    """Returns the key of the recipe for the stem of the frame. `depth` is 18 or 34 for a network of He2019, None for others."""
    if frame.stem == "imagenet":
        return "lu2018_imagenet" if depth is None else "he2019_imagenet"
    return "lu2018_cifar10" if depth is None else f"he2019_resnet{depth}"


def pads(shortcut: str | None, plan: Layout) -> bool:
    """Returns whether the shortcut adds zero channels (option A). With None, only for basic blocks on three grids."""
    if shortcut is None:
        return len(plan.blocks) == 3 and not plan.bottleneck
    if not is_known(shortcut, SHORTCUTS):
        raise unknown("shortcut", shortcut, [*SHORTCUTS, "None"])
    return shortcut == "padding"


def check_sharing(share_A: bool | str, share_B: bool | str, plan: Layout) -> None:
    """Raises ValueError for an unknown value, and for bottlenecks that share A or B."""
    check_share("share_A", share_A, PUBLISHED_SIZE)
    check_share("share_B", share_B, PUBLISHED_SIZE, RESTRICTION_FIRST)
    if (share_A or share_B) and plan.bottleneck:
        raise ValueError(
            f"expected share_A=False and share_B=False with bottlenecks. Received: share_A={share_A!r}, share_B={share_B!r}"
        )
