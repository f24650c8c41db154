"""Multi-ResNet: several residual functions in each block (Abdi & Nahavandi 2016)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Unpack

from keras_mgnet.errors import check_known
from keras_mgnet.layers import Blocks, Sum, shortcut
from keras_mgnet.models.checks import positive_integer
from keras_mgnet.models.datasets import CIFAR10, CIFAR100
from keras_mgnet.models.family import Family, Published, Row, Space
from keras_mgnet.models.frame import Frame, FrameArguments
from keras_mgnet.models.layout import Layout, Stage, layout
from keras_mgnet.models.network import Network
from keras_mgnet.models.picture import added, one_state
from keras_mgnet.models.resnet import pads
from keras_mgnet.models.stepping import SCHEMES, iterated
from keras_mgnet.serialization import serializable

TRANSPOSED = "the published layout has 144.9M; 154M may have two digits exchanged"


def _printed(size: str, ten: float, hundred: float, note: str | None = None) -> tuple[Published, ...]:
    """Returns the errors that masabdi/multi-resnet prints for CIFAR-10 (`ten`) and CIFAR-100 (`hundred`), in percent."""
    table = "masabdi/multi-resnet README"
    return (
        Published(table, CIFAR10, size, error=ten, note=note),
        Published(table, CIFAR100, size, error=hundred, note=note, recipe="lu2018_cifar100"),
    )


DEEP = {"branches": 5, "bottleneck": True}
ROWS = (
    Row("multi_resnet200_k5", {"depth": 200} | DEEP, 10_187_354, _printed("10.2M", 4.35, 20.42)),
    Row("multi_resnet398_k5", {"depth": 398} | DEEP, 20_388_314, _printed("20.4M", 3.92, 20.59)),
    Row(
        *("multi_resnet26_k2_w10", {"depth": 26, "branches": 2, "widen": 10}, 72_433_146), _printed("72M", 3.96, 19.45)
    ),
    Row(
        *("multi_resnet26_k4_w10", {"depth": 26, "branches": 4, "widen": 10}, 144_858_170),
        _printed("154M", 3.73, 19.60, TRANSPOSED),
    ),
)


@serializable
class MultiResNet(Network):
    """Multi-ResNet: each block adds the sum of k pre-activation branches, x_{n+1} = x_n + sum_{j=1}^k f_n^j(x_n).

    As a method Multi-ResNet is forward Euler. Source: Lu2017; the layout is that of masabdi/multi-resnet. With k = 1 the network
    is the `PreActResNet` of the same depth, with one exception. At the depths 18 and 34 this network has a norm before the
    classifier, and `PreActResNet` has none.

    Args:
        depth, blocks, bottleneck, scheme: as in `ResNet`.
        branches: number k of branches in each block.
        widen: factor that multiplies all numbers of channels except the stem's.
        base_width: number of channels of the stem. Before widening, the 3x3 convolutions of the first grid have the same
            number, and those of each coarser grid have twice as many. None for 64 on four grids and 16 on any other number.
        shortcut: the shortcut of a block that changes the shape. "projection" is a 1x1 convolution. All branches and
            this convolution share one norm and activation. "padding" adds zero channels. None for "padding" with basic
            blocks on three grids, and for "projection" in all other cases.

    Example:
        >>> MultiResNet(20, 3).name
        'multi_resnet20_k3'
    """

    family = Family(
        recipe="lu2018_cifar10",
        small={"blocks": (1,), "base_width": 2},
        picture=one_state(added("f₁", 0.45), added("f₂", 0.8), added("f₃, ...", -0.55)),
        space=Space("base_width", "blocks", choices={"branches": (2, 3, 4)}),
        rows=ROWS,
    )

    def __init__(
        self,
        depth: int = 20,
        branches: int = 2,
        *,
        widen: int = 1,
        base_width: int | None = None,
        blocks: Sequence[int] | None = None,
        bottleneck: bool | None = None,
        shortcut: str | None = None,
        scheme: str = "euler",
        **arguments: Unpack[FrameArguments],
    ) -> None:
        plan = layout(depth, blocks, bottleneck, base_width)
        k, w = positive_integer("branches", branches), positive_integer("widen", widen)
        padding = pads(shortcut, plan)
        check_known("scheme", scheme, SCHEMES)
        plan = replace(plan, inner=tuple(w * c for c in plan.inner), channels=tuple(w * c for c in plan.channels))

        with Frame(**arguments) as frame:
            imagenet = frame.stem == "imagenet"
            x = frame.begin(plan.stem, len(plan.blocks), normalize=imagenet)
            for stage in plan.stages():
                x = iterated(scheme, multi_blocks(plan, stage, frame, k, padding), x, f"level{stage.level}")
            x = frame.end(x)
        wide = f"_w{w}" if w > 1 else ""
        name = f"multi_resnet{plan.label(depth if blocks is None else None)}_k{k}{wide}"
        super().__init__(frame, x, name=name, recipe="lu2018_imagenet" if imagenet else None)


def multi_blocks(plan: Layout, stage: Stage, frame: Frame, k: int, padding: bool) -> Blocks:
    """Returns the blocks of one grid. Each block adds the sum of k branches."""
    options = frame.common
    normalized = frame.stem == "imagenet" and stage.level == 1  # by the stem
    common = stage.changes_shape and not padding
    leads = ["none" if normalized or (common and j > 0) else None for j in range(k)]
    fs = [plan.branch(stage, strides=stage.strides, lead=lead, name=f"f{j}", **options) for j, lead in enumerate(leads)]
    make = shortcut.padding if padding else shortcut.projection
    return stage.residual(Sum(fs, name="f", dtype=options["dtype"]), make, options, R_activated=not padding)
