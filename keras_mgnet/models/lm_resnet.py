"""LM-ResNet and LM-ResNeXt: pre-activation residual networks as a linear two-step method (Lu, Zhong, Li, Dong 2018)."""

import keras
import numpy as np

from keras_mgnet.errors import check_known
from keras_mgnet.layers import Blocks, Conv, Level, LinearMultistep, Norm, shortcut
from keras_mgnet.models.layout import Layout, aggregated, layout
from keras_mgnet.models.network import Graph, Network, family

TRANSITIONS = ("plain", "project")


@family
class LMResNet(Network):
    """LM-ResNet: x_{n+1} = (1 - k_n) x_n + k_n x_{n-1} + f_n(x_n), one trainable scalar k_n per block, initially U[-0.1, 0].

    Source: Lu2018 (1); on three grids the layout of the released code, 2prime/LM-ResNet: blocks that change shape have no k,
    their shortcut is norm, sigma and a 1x1 convolution, and the projected state is x_{n-1} of the next block.

    Args:
        depth: 6n + 2 (basic), 164 or 1001 (bottlenecks) on three grids; 18, 34, 50, 101, 152 on four.
        blocks: blocks per grid, in place of the depth's.
        bottleneck: 1x1 - 3x3 - 1x1 blocks with four times the channels; None for what the depth says.
        lm_transition: "plain" as above; "project": blocks that change shape have a k too, with a projection of x_{n-1} of
            its own, and x_{-1} = 0 before the first block.
        base_width: channels of the first grid; None for 64 on four grids, else 16.
        survival: stochastic depth, the probability that the last block's f survives a training step; the rest never drops.
        survival_schedule: "huang" or "lm_release", see `keras_mgnet.layers.stochastic`.

    The other arguments are those of every network, see `keras_mgnet.models.Frame`.

    Example:
        >>> model = LMResNet(20)
        >>> k_values(model).shape
        (6,)
    """

    @classmethod
    def graph(
        cls,
        frame,
        depth=20,
        *,
        blocks=None,
        bottleneck=None,
        lm_transition="plain",
        base_width=None,
        survival=1.0,
        survival_schedule="huang",
    ):
        plan = layout(depth, blocks, bottleneck, base_width)
        survivals = plan.survivals(survival, survival_schedule)
        # the published size of the ImageNet networks is that of fb.resnet.torch's pre-activation layout and the k
        released = len(plan.blocks) != 4
        x = linear_multistep(frame, plan, lm_transition, survivals, survival_schedule, released)
        name = f"lm_resnet{plan.label(depth if blocks is None else None)}"
        return Graph(x, name, "lu2018_imagenet" if frame.stem == "imagenet" else "lu2018_cifar10")


@family
class LMResNeXt(Network):
    """LM-ResNeXt: the two-step method of `LMResNet` over bottlenecks of `cardinality` groups, pre-activation.

    Source: Lu2018, Table 2. Its size follows with a projection of x_{n-1} at each transition ("project").

    Args:
        depth: 9n + 2.
        cardinality: number of groups.
        group_width: channels of a group on the first grid.
        lm_transition: as `LMResNet`.

    The other arguments are those of every network, see `keras_mgnet.models.Frame`.

    Example:
        >>> LMResNeXt(11, cardinality=2, group_width=4, input_shape=(8, 8, 1)).name
        'lm_resnext11_2x4d'
    """

    @classmethod
    def graph(cls, frame, depth=29, *, cardinality=8, group_width=64, lm_transition="project"):
        plan = aggregated(depth, cardinality, group_width)
        x = linear_multistep(frame, plan, lm_transition, [None] * 3, "huang", released=False)
        return Graph(x, f"lm_resnext{depth}_{cardinality}x{group_width}d", "lu2018_resnext")


def linear_multistep(frame, plan: Layout, lm_transition: str, survivals, schedule: str, released: bool):
    """Returns the last state of the two-step method on all grids, normalised.

    Args:
        released: whether shortcuts have a norm of their own, as in the released code; else they take the branch's.
    """
    check_known("lm_transition", lm_transition, TRANSITIONS)
    projects, imagenet = lm_transition == "project", frame.stem == "imagenet"
    options = frame.common
    project = shortcut.norm_projection if released else shortcut.projection
    x, previous = frame.begin(plan.stem, len(plan.blocks), normalize=imagenet), None
    for stage, survives in zip(plan.stages(), survivals, strict=True):
        shape = (stage.channels, stage.strides, options)
        lead = "none" if imagenet and stage.level == 1 else None
        blocks = Blocks(
            plan.branch(stage, strides=stage.strides, lead=lead, name="f", **options),
            R=project(*shape) if stage.changes_shape else None,
            R_activated=not released,
            survival=survives,
            inverted=schedule == "lm_release",
            name="blocks",
            dtype=options["dtype"],
        )
        scheme = LinearMultistep(stage.blocks, k_first=projects, dtype=options["dtype"])
        level = Level(scheme, blocks, name=f"level{stage.level}", dtype=options["dtype"])
        given = [_restriction(stage, options)(previous)] if projects and stage.level > 1 else []
        x, previous = level(x, *given)
    return Norm(frame.activation, name="s", dtype=options["dtype"])(x)


def k_values(model: keras.Model) -> np.ndarray:
    """Returns the trained k_n of an LM network, block by block.

    Example:
        >>> bool(np.all(k_values(LMResNet(14)) <= 0))
        True
    """
    schemes = [layer.scheme for layer in model.layers if isinstance(getattr(layer, "scheme", None), LinearMultistep)]
    if not schemes:
        raise ValueError(f"expected a network with k, such as LMResNet. Received: {type(model).__name__}")
    return np.array([float(keras.ops.convert_to_numpy(k)) for scheme in schemes for k in scheme.k])


def _restriction(stage, options) -> Conv:
    """Of the state before the last one, to the grid of a stage."""
    place = {"strides": stage.strides, "name": f"transfer{stage.level}"}
    return Conv(stage.channels, 1, init=options["init"], dtype=options["dtype"], **place)
