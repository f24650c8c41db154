"""Shake-shake: residual networks with two branches mixed at random (Gastaldi 2017; Lu2018, section 3)."""

import math
from dataclasses import replace
from typing import Unpack

import keras

from keras_mgnet.layers import Euler, Level, Shake, Stem, shortcut
from keras_mgnet.models.checks import within
from keras_mgnet.models.datasets import CIFAR100
from keras_mgnet.models.family import Family, Row, Space, errors
from keras_mgnet.models.frame import Frame, FrameArguments
from keras_mgnet.models.layout import aggregated, layout
from keras_mgnet.models.network import Network
from keras_mgnet.models.picture import added, one_state
from keras_mgnet.serialization import serializable

CODE = "xgastaldi/shake-shake"
DEEPER = {"depth": 29, "width": 64, "cardinality": 4}
ROWS = (
    Row("shake_shake_26_2x32d", {"width": 32}, 2_923_162, errors(CODE, cifar10=3.55)),
    Row("shake_shake_26_2x64d", {"width": 64}, 11_653_978, errors(CODE, cifar10=2.98)),
    Row("shake_shake_26_2x96d", {"width": 96}, 26_192_922, errors(CODE, cifar10=2.86)),
    Row("shake_shake_26_2x112d", {"width": 112}, 35_640_442, source=CODE),
    Row("shake_shake_29_2x4x64d", DEEPER, 34_529_700, errors(CODE, cifar100=15.85), dataset=CIFAR100),
)


@serializable
class ShakeShake(Network):
    """Shake-shake: mixes two branches at random, x_{n+1} = x_n + eta f_1(x_n) + (1 - eta) f_2(x_n), eta ~ U(0, 1).

    The backward pass draws an independent eta'. In inference eta is 1/2. Source: xgastaldi/shake-shake, net 26 2xNd. A basic
    branch is activation, convolution, norm, activation, convolution, norm.

    Args:
        depth: number of layers, 6n + 2 for n basic blocks on each of three grids. With a cardinality, 9n + 2.
        width: number of channels of a branch on the first grid. With a cardinality, the number of channels of a group.
        cardinality: number of groups of the bottlenecks; None for basic blocks.
        mode: "image" draws one eta for each image, "batch" draws one eta for each batch.
        dt: step size. The weights of f_1 and f_2 are dt/2 + d and dt/2 - d with d = dt^(1/2) (eta - 1/2), Lu2018 (4). With dt = 1
            these are eta and 1 - eta.

    Example:
        >>> ShakeShake(8, 4, input_shape=(8, 8, 1)).name
        'shake_shake_8_2x4d'
    """

    family = Family(
        recipe="shake_shake",
        small={"depth": 8, "width": 2, "cardinality": None},
        picture=one_state(added("η f₁"), added("(1 − η) f₂", -0.55)),
        space=Space("width", None, choices={"depth": (8, 14, 20, 26)}, multiple=2),
        rows=ROWS,
    )

    def __init__(
        self,
        depth: int = 26,
        width: int = 32,
        *,
        cardinality: int | None = None,
        mode: str = "image",
        dt: float = 1.0,
        **arguments: Unpack[FrameArguments],
    ) -> None:
        dt = within("dt", dt, 0, math.inf)
        plan = (
            replace(layout(depth, base_width=width), stem=16)
            if cardinality is None
            else aggregated(depth, cardinality, width)
        )

        with Frame(**arguments) as frame:
            options = frame.common
            stem = Stem(plan.stem, frame.stem, name="stem", **options | {"activation": None})
            x = stem(frame.image(len(plan.blocks)))
            for stage in plan.stages():
                branch = {"strides": stage.strides, "order": "postactivation", "lead": "activation", **options}
                f1, f2 = (plan.branch(stage, name=name, **branch) for name in ("f1", "f2"))
                shake = Shake(f1, f2, mode=mode, dt=dt, name="shake", dtype=options["dtype"])
                blocks = stage.residual(shake, shortcut.shifted, options)
                x = Level(Euler(dtype=options["dtype"]), blocks, name=f"level{stage.level}", dtype=options["dtype"])(x)
            x = keras.layers.Activation(frame.activation, name="sigma", dtype=options["dtype"])(x)
        kind = f"{width}d" if cardinality is None else f"{cardinality}x{width}d"
        super().__init__(frame, x, name=f"shake_shake_{depth}_2x{kind}")
