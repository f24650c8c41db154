"""Multi-ResNet: several residual functions a block (Abdi & Nahavandi 2016)."""

from dataclasses import replace

from keras_mgnet.layers import Blocks, Euler, Level, Norm, Sum, shortcut
from keras_mgnet.models.checks import positive_integer
from keras_mgnet.models.layout import Layout, Stage, layout
from keras_mgnet.models.network import Graph, Network, family
from keras_mgnet.models.resnet import pads


@family
class MultiResNet(Network):
    """Multi-ResNet: x_{n+1} = x_n + sum_{j=1}^k f_n^j(x_n), pre-activation: forward Euler on a sum of k fields.

    Source: Lu2017; layout of masabdi/multi-resnet. With k = 1 it is the `PreActResNet` of the same depth; depths 18 and 34 have
    a norm before the classifier here as all others do.

    Args:
        depth: as `ResNet`.
        branches: k.
        widen: w, the factor on all channels but the stem's.
        base_width, blocks, bottleneck: as `ResNet`.
        shortcut: as `ResNet`. With "projection" the branches and the shortcut of a block that changes shape share one norm.

    The other arguments are those of every network, see `keras_mgnet.models.Frame`.

    Example:
        >>> MultiResNet(20, 3).name
        'multi_resnet20_k3'
    """

    @classmethod
    def graph(
        cls, frame, depth=20, branches=2, *, widen=1, base_width=None, blocks=None, bottleneck=None, shortcut=None
    ):
        plan = layout(depth, blocks, bottleneck, base_width)
        k, w = positive_integer("branches", branches), positive_integer("widen", widen)
        padding = pads(shortcut, plan)
        plan = replace(plan, inner=tuple(w * c for c in plan.inner), channels=tuple(w * c for c in plan.channels))

        imagenet = frame.stem == "imagenet"
        x = frame.begin(plan.stem, len(plan.blocks), normalize=imagenet)
        for stage in plan.stages():
            x = multi_level(plan, stage, frame, k, padding)(x)
        x = Norm(frame.activation, name="s", dtype=frame.common["dtype"])(x)
        wide = f"_w{w}" if w > 1 else ""
        name = f"multi_resnet{plan.label(depth if blocks is None else None)}_k{k}{wide}"
        return Graph(x, name, "lu2018_imagenet" if imagenet else "lu2018_cifar10")


def multi_level(plan: Layout, stage: Stage, frame, k: int, padding: bool) -> Level:
    """Returns the level of a grid, its branch the sum of k."""
    options = frame.common
    normalized = frame.stem == "imagenet" and stage.level == 1  # by the stem
    common = stage.changes_shape and not padding
    leads = ["none" if normalized or (common and j > 0) else None for j in range(k)]
    fs = [plan.branch(stage, strides=stage.strides, lead=lead, name=f"f{j}", **options) for j, lead in enumerate(leads)]
    make = shortcut.padding if padding else shortcut.projection
    policy = options["dtype"]
    R = make(stage.channels, stage.strides, options) if stage.changes_shape else None
    blocks = Blocks(Sum(fs, name="f", dtype=policy), R=R, R_activated=not padding, name="blocks", dtype=policy)
    return Level(Euler(dtype=policy), blocks, name=f"level{stage.level}", dtype=policy)
