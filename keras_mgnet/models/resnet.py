"""ResNet and pre-activation ResNet, with shared data-feature maps A and smoothers B (He2019, sections 2, 3, 5)."""

import keras

from keras_mgnet.errors import unknown
from keras_mgnet.layers import Blocks, Branch, Euler, Level, Norm, shortcut
from keras_mgnet.layers.sharing import PUBLISHED_SIZE, check_share, sharing_A, sharing_B
from keras_mgnet.models.layout import Layout, Stage, layout
from keras_mgnet.models.network import Graph, Network, family

SHORTCUTS = ("projection", "padding")


@family
class ResNet(Network):
    """ResNet: r^{l,i} = s(r^{l,i-1} + A^{l,i} * s(B^{l,i} * r^{l,i-1})), He2019 (2.3), (2.4): forward Euler with s behind it.

    Structure and norms are those of kuangliu/pytorch-cifar (18, 34), torchvision (the "imagenet" stem) and He et al. 2015
    (6n + 2 layers on three grids).

    Args:
        depth: 18, 34 (basic blocks), 50, 101, 152 (bottlenecks) on four grids; 6n + 2 (basic), 164, 1001 (bottlenecks) on three.
        share_A: one A per grid, the pooling block's included (A^l); False for A^{l,i}.
        share_B: one B per grid (B^l), the pooling block's excluded; False for B^{l,i}. Both need basic blocks, and both also
            take "published_size", the rule that reproduces the sizes of He2019's tables: nothing is shared on the first grid,
            and with share_B the pooling block restricts first and then uses the shared B, (6.4).
        base_width: channels of the first grid; each coarser one has twice as many. None for 64 on four grids, else 16.
        blocks: blocks per grid, in place of the depth's.
        bottleneck: 1x1 - 3x3 - 1x1 blocks with four times the channels; None for what the depth says.
        shortcut: where the shape changes, "projection" (1x1 convolution, option B) or "padding" (zero channels, option A); None
            for "padding" with basic blocks on three grids, else "projection".
        survival: stochastic depth, the probability that the last block survives a training step (Huang et al. 2016).
        survival_schedule: "huang" or "lm_release", see `keras_mgnet.layers.stochastic`.

    The other arguments are those of every network, see `keras_mgnet.models.Frame`.

    Raises:
        ValueError: for arguments that do not make a network, before anything is built.

    Example:
        >>> ResNet(18, share_A=True, base_width=8).count_params() < ResNet(18, base_width=8).count_params()
        True
    """

    preactivation = False

    @classmethod
    def graph(
        cls,
        frame,
        depth=18,
        *,
        share_A=False,
        share_B=False,
        base_width=None,
        blocks=None,
        bottleneck=None,
        shortcut=None,
        survival=1.0,
        survival_schedule="huang",
    ):
        plan = layout(depth, blocks, bottleneck, base_width)
        check_sharing(share_A, share_B, plan)
        padding = pads(shortcut, plan)
        survivals = plan.survivals(survival, survival_schedule)
        classic = blocks is None and depth in (18, 34)  # kuangliu's pre-activation form has no norm at the end

        r = frame.begin(plan.stem, len(plan.blocks), normalize=not cls.preactivation or frame.stem == "imagenet")
        for stage, survives in zip(plan.stages(), survivals, strict=True):
            coarse = stage.level > 1
            options = {
                "survival": survives,
                "inverted": survival_schedule == "lm_release",
                "preactivation": cls.preactivation,
                "padding": padding,
            }
            if not plan.bottleneck:
                options["sharing"] = (
                    sharing_B(share_B, stage.blocks, coarse),
                    sharing_A(share_A, stage.blocks, coarse),
                )
            if coarse and share_B == PUBLISHED_SIZE:
                r, stage = restrict_first(r, stage, frame, cls.preactivation)
                options["lead"] = "activation" if cls.preactivation else None
            elif not coarse and frame.stem == "imagenet" and not classic and cls.preactivation:
                options["lead"] = "none"  # the stem's norm and sigma are those of the first block
            r = residual_level(plan, stage, frame, **options)(r)
        if cls.preactivation and not classic:
            r = Norm(frame.activation, name="s", dtype=frame.common["dtype"])(r)
        name = ("preact_" if cls.preactivation else "") + "resnet" + plan.label(depth if blocks is None else None)
        return Graph(r, name, recipe_of(frame, depth if classic else None))


@family
class PreActResNet(ResNet):
    """Pre-activation ResNet: r^{l,i} = r^{l,i-1} + A^{l,i} * s(B^{l,i} * s(r^{l,i-1})), He2019 (2.1), (2.2): forward Euler.

    With share_A it is MgNet's smoothing seen in the residual, Theorem 1 of He2019. As in kuangliu/pytorch-cifar the CIFAR
    stem has no norm, and a pooling block restricts s(r), not r as (2.2) and (6.4) print. Depths 18 and 34 have no norm before
    the classifier; all others do, as in fb.resnet.torch. Arguments as `ResNet`.

    Example:
        >>> PreActResNet(18, base_width=8, share_A=True, share_B="published_size").output_shape
        (None, 10)
    """

    preactivation = True


def residual_level(
    plan: Layout,
    stage: Stage,
    frame,
    *,
    preactivation,
    padding=False,
    lead=None,
    sharing=None,
    survival=None,
    inverted=False,
) -> Level:
    """Returns the level of a grid, with its branch and, where the shape changes, its shortcut."""
    options = frame.common
    order = "preactivation" if preactivation else "postactivation"
    branch = plan.branch(stage, strides=stage.strides, order=order, lead=lead, sharing=sharing, name="f", **options)
    make = shortcut.padding if padding else shortcut.projection if preactivation else shortcut.projection_norm
    blocks = Blocks(
        branch,
        R=make(stage.channels, stage.strides, options) if stage.changes_shape else None,
        R_activated=preactivation and not padding,
        survival=survival,
        inverted=inverted,
        name="blocks",
        dtype=options["dtype"],
    )
    scheme = Euler(None if preactivation else frame.activation, dtype=options["dtype"])
    return Level(scheme, blocks, name=f"level{stage.level}", dtype=options["dtype"])


def restrict_first(r, stage: Stage, frame, preactivation: bool):
    """Restricts before the level, He2019 (6.4); returns the restricted r and the stage that is left."""
    options = {"name": f"transfer{stage.level}", "strides": 2, **frame.common}
    if preactivation:
        r = Branch((stage.channels,), (1,), **options)(r)
    else:
        r = Branch((stage.channels,), (1,), order="postactivation", **options)(r)
        r = keras.layers.Activation(frame.activation, name=f"sigma{stage.level}", dtype=options["dtype"])(r)
    return r, stage._replace(strides=1, changes_shape=False)


def recipe_of(frame, depth: int | None) -> str:
    """Returns the recipe of the images and, for the networks of He2019, of the depth."""
    if frame.stem == "imagenet":
        return "lu2018_imagenet" if depth is None else "he2019_imagenet"
    return "lu2018_cifar10" if depth is None else f"he2019_resnet{depth}"


def pads(shortcut: str | None, plan: Layout) -> bool:
    """Whether the shortcut adds zero channels (option A): by name or, for None, on CIFAR's three grids with basic blocks."""
    if shortcut is None:
        return len(plan.blocks) == 3 and not plan.bottleneck
    if shortcut not in SHORTCUTS:
        raise unknown("shortcut", shortcut, [*SHORTCUTS, "None"])
    return shortcut == "padding"


def check_sharing(share_A, share_B, plan: Layout) -> None:
    """Raises unless both are sharing rules and, where they share, the blocks are basic."""
    check_share("share_A", share_A, PUBLISHED_SIZE)
    check_share("share_B", share_B, PUBLISHED_SIZE)
    if (share_A or share_B) and plan.bottleneck:
        raise ValueError(f"expected basic blocks to share A or B. Received: share_A={share_A!r}, share_B={share_B!r}")
