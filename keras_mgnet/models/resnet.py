"""ResNet and pre-activation ResNet, with shared data-feature maps A and smoothers B (He2019, sections 2, 3, 5)."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Unpack

import keras

from keras_mgnet.annotations import Tensor
from keras_mgnet.errors import check_known, is_known, unknown
from keras_mgnet.layers import Blocks, Branch, Conv, shortcut
from keras_mgnet.layers.sharing import PUBLISHED_SIZE, RESTRICTION_FIRST, check_share, sharing_A, sharing_B
from keras_mgnet.models.datasets import CIFAR10, CIFAR100, DATASETS, IMAGENET
from keras_mgnet.models.family import EITHER, Family, Published, Row, Space, errors
from keras_mgnet.models.frame import Frame, FrameArguments
from keras_mgnet.models.layout import Layout, Stage, layout
from keras_mgnet.models.network import Network
from keras_mgnet.models.picture import added, one_state
from keras_mgnet.models.stepping import SCHEMES, iterated
from keras_mgnet.serialization import serializable

SHORTCUTS = ("projection", "padding")
FORMS = ("released", "printed")

# depth, what is shared, table, exact parameters as the text shares and as "published_size" does, printed size, accuracies
RESNET_HE2019 = (
    (18, "", 2, 11_172_810, None, "11M", {"mnist": 99.56}),
    (18, "a", 2, 8_039_370, 8_076_234, "8.0M", {"mnist": 99.58}),
    (18, "", 3, 11_173_962, None, "11M", {"cifar10": 93.45, "cifar100": 74.45}),
    (18, "a", 3, 8_040_522, 8_077_386, "8.1M", {"cifar10": 93.54, "cifar100": 74.46}),
    (18, "b", 3, 11_137_098, 9_625_674, "9.7M", {"cifar10": 93.35, "cifar100": 72.78}),
    (18, "ab", 3, 8_003_658, 6_529_098, "6.6M", {"cifar10": 93.32, "cifar100": 72.56}),
    (34, "", 3, 21_282_122, None, "21M", {"cifar10": 94.71, "cifar100": 77.20}),
    (34, "a", 3, 13_098_314, 13_172_042, "13M", {"cifar10": 94.84, "cifar100": 77.24}),
    (34, "b", 3, 16_194_890, 14_720_330, "15M", {"cifar10": 93.94, "cifar100": 75.31}),
    (34, "ab", 3, 8_011_082, 6_610_250, "6.7M", {"cifar10": 93.79, "cifar100": 74.79}),
    (18, "", 4, 11_689_512, None, "11.7M", {"imagenet": 70.23}),
    (18, "a", 4, 8_556_072, 8_592_936, "8.6M", {"imagenet": 69.45}),
)
PREACT_HE2019 = (
    (18, "", 2, 11_169_994, None, "11M", {"mnist": 99.61}),
    (18, "a", 2, 8_036_554, 8_073_418, "8.0M", {"mnist": 99.64}),
    (18, "", 3, 11_171_146, None, "11M", {"cifar10": 93.75, "cifar100": 74.33}),
    (18, "a", 3, 8_037_706, 8_074_570, "8.1M", {"cifar10": 93.83, "cifar100": 74.51}),
    (18, "b", 3, 11_134_282, 9_622_858, "9.7M", {"cifar10": 93.80, "cifar100": 72.67}),
    (18, "ab", 3, 8_000_842, 6_526_282, "6.6M", {"cifar10": 93.45, "cifar100": 72.81}),
    (34, "", 3, 21_279_306, None, "21M", {"cifar10": 94.76, "cifar100": 77.25}),
    (34, "a", 3, 13_095_498, 13_169_226, "13M", {"cifar10": 94.84, "cifar100": 77.40}),
    (34, "b", 3, 16_192_074, 14_717_514, "15M", {"cifar10": 93.94, "cifar100": 75.36}),
    (34, "ab", 3, 8_008_266, 6_607_434, "6.7M", {"cifar10": 93.75, "cifar100": 75.82}),
    (18, "", 4, 11_686_824, None, "11.7M", {"imagenet": 70.46}),
    (18, "a", 4, 8_553_384, 8_590_248, "8.6M", {"imagenet": 69.78}),
)
HUNDRED = 90 * (512 + 1)  # parameters that 100 classes need beyond those of 10; Table 3 prints the sizes of 100
OTHER_RULE = "the table prints the size of the network ..._published_size"
README = "XuTeam README"
QUOTED = {  # figures in that README
    "resnet18": (
        Published(README, CIFAR10, "11.2M", 95.28, recipe="xuteam"),
        Published(README, CIFAR100, "11.2M", 77.54, recipe="xuteam"),
    ),
    "resnet18_imagenet": (Published(README, IMAGENET, "11.2M", 72.12, note="should read 11.7M", recipe="xuteam"),),
}


def he2019_rows(prefix: str, lines: Sequence[tuple[Any, ...]]) -> Iterator[Row]:
    """Yields the networks of He2019's tables.

    A network that shares A or B comes twice: with the sharing that the text of He2019 describes, and with "published_size", the
    sharing that gives the printed sizes.
    """
    for depth, shared, table, as_text, as_printed, size, figures in lines:
        dataset = DATASETS[next(iter(figures))]
        on_cifar = dataset is CIFAR10
        for rule, params in ((True, as_text), (PUBLISHED_SIZE, as_printed)):
            if params is None:
                continue
            words = [f"{prefix}{depth}", shared and f"shared_{shared}", "" if on_cifar else dataset.name]
            name = "_".join(filter(None, [*words, "" if rule is True else PUBLISHED_SIZE]))
            kwargs = {"depth": depth, "share_A": "a" in shared and rule, "share_B": "b" in shared and rule}
            note = OTHER_RULE if rule is True and "b" in shared else None
            exact = params + HUNDRED if on_cifar else None
            printed = (
                Published(f"He2019 Table {table}", DATASETS[key], size, accuracy, exact=exact, note=note)
                for key, accuracy in figures.items()
            )
            recipe = f"he2019_resnet{depth}" if on_cifar else f"he2019_{dataset.name}"
            yield Row(name, kwargs, params, (*printed, *QUOTED.get(name, ())), dataset=dataset, recipe=recipe)


TABLE2, TABLE4 = "Lu2018 Table 2", "Lu2018 Table 4"
SCALED = "1.7M (ResNet110) times 27/18; a ResNet164 of bottlenecks has 1.7M"
RESNET1001 = "a pre-activation ResNet1001 has 10.3M"
cifar100_row = partial(Row, recipe="lu2018_cifar100")
imagenet_row = partial(Row, dataset=IMAGENET, recipe="lu2018_imagenet")
by_chance = partial(Row, recipe="stochastic_depth")


def table3(error: float, top5_error: float) -> tuple[Published]:
    """Returns the errors on ImageNet, in percent, as Lu2018 Table 3 prints them."""
    return (Published("Lu2018 Table 3", IMAGENET, error=error, top5_error=top5_error),)


OPTION_B = {20: 272_474, 32: 466_906, 44: 661_338, 56: 855_770, 110: 1_730_714}
RESNET_ROWS = (
    *he2019_rows("resnet", RESNET_HE2019),
    Row("resnet20", {"depth": 20}, 269_722, errors(TABLE2, "0.27M", cifar10=8.75)),
    Row("resnet32", {"depth": 32}, 464_154, errors(TABLE2, "0.46M", cifar10=7.51)),
    Row("resnet44", {"depth": 44}, 658_586, errors(TABLE2, "0.66M", cifar10=7.17)),
    Row("resnet56", {"depth": 56}, 853_018, errors(TABLE2, "0.85M", cifar10=6.97)),
    Row("resnet110", {"depth": 110}, 1_727_962, errors(TABLE4, cifar10=6.61)),
    Row("resnet1202", {"depth": 1202}, 19_421_274, source="He et al. 2015"),
    *(
        Row(f"resnet{n}_projection", {"depth": n, "shortcut": "projection"}, params, source="He et al. 2015, option B")
        for n, params in OPTION_B.items()
    ),
    by_chance("resnet56_stochastic_depth", {"depth": 56, "survival": 0.8}, 853_018, errors(TABLE4, cifar10=5.66)),
    by_chance("resnet110_stochastic_depth", {"depth": 110, "survival": 0.5}, 1_727_962, errors(TABLE4, cifar10=5.25)),
    by_chance(
        "resnet1202_stochastic_depth", {"depth": 1202, "survival": 0.5}, 19_421_274, errors(TABLE4, cifar10=4.91)
    ),
    imagenet_row("resnet34_imagenet", {"depth": 34}, 21_797_672, source="He et al. 2015"),
    imagenet_row("resnet50", {"depth": 50}, 25_557_032, table3(24.7, 7.8)),
    imagenet_row("resnet101", {"depth": 101}, 44_549_160, table3(23.6, 7.1)),
    imagenet_row("resnet152", {"depth": 152}, 60_192_808, table3(23.0, 6.7)),
)
PREACT110 = (
    *errors(TABLE2, "1.7M", cifar10=6.37),
    Published(TABLE2, CIFAR100, "1.7M", error=27.76, recipe="lu2018_cifar100"),
    *errors(TABLE4, cifar10=6.37),
)
PREACT164 = (Published(TABLE2, CIFAR100, "2.55M", error=24.33, note=SCALED),)
PREACT1001 = (
    Published(TABLE2, CIFAR100, "18.88M", error=22.71, note=RESNET1001),
    Published(README, CIFAR10, "10.2M", 95.08, note=RESNET1001, recipe="xuteam"),
    Published(README, CIFAR100, "10.2M", 77.29, note=RESNET1001, recipe="xuteam"),
)
PREACT56 = errors(TABLE4, cifar10=5.55)
PREACT_ROWS = (
    *he2019_rows("preact_resnet", PREACT_HE2019),
    Row("preact_resnet110", {"depth": 110}, 1_727_962, PREACT110),
    Row("preact_resnet110_projection", {"depth": 110, "shortcut": "projection"}, 1_730_522, source="He et al. 2016"),
    cifar100_row("preact_resnet164", {"depth": 164}, 1_703_258, PREACT164),
    cifar100_row("preact_resnet1001", {"depth": 1001}, 10_327_706, PREACT1001),
    by_chance("preact_resnet56_stochastic_depth", {"depth": 56, "survival": 0.8}, 853_018, PREACT56),
    imagenet_row("preact_resnet50", {"depth": 50}, 25_549_352, source="fb.resnet.torch"),
    imagenet_row("preact_resnet101", {"depth": 101}, 44_541_480, source="fb.resnet.torch"),
)


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
    blocks = Blocks(
        branch,
        R=make(stage.channels, stage.strides, options) if stage.changes_shape else None,
        R_activated=preactivation and R_activated and not padding,
        survival=survival,
        inverted=inverted,
        name="blocks",
        dtype=options["dtype"],
    )
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
