"""Shake-shake: residual networks with two branches mixed by chance (Gastaldi 2017; Lu2018, section 3)."""

from dataclasses import replace

import keras

from keras_mgnet.layers import Blocks, Euler, Level, Shake, ShiftedProjection, Stem
from keras_mgnet.models.layout import aggregated, layout
from keras_mgnet.models.network import Graph, Network, family


@family
class ShakeShake(Network):
    """Shake-shake: x_{n+1} = x_n + eta f_1(x_n) + (1 - eta) f_2(x_n), eta ~ U(0, 1), an independent eta' in the gradient.

    Source: xgastaldi/shake-shake, net 26 2xNd: branches sigma-conv-norm-sigma-conv-norm on three grids.

    Args:
        depth: 6n + 2 (basic blocks) or, with a cardinality, 9n + 2 (bottlenecks).
        width: channels of a branch on the first grid (per group, with a cardinality).
        cardinality: number of groups of the bottlenecks; None for basic blocks.
        mode: one eta per "image" or per "batch".

    The other arguments are those of every network, see `keras_mgnet.models.Frame`.

    Example:
        >>> ShakeShake(8, 4, input_shape=(8, 8, 1)).name
        'shake_shake_8_2x4d'
    """

    @classmethod
    def graph(cls, frame, depth=26, width=32, *, cardinality=None, mode="image"):
        basic = cardinality is None
        plan = replace(layout(depth, base_width=width), stem=16) if basic else aggregated(depth, cardinality, width)
        options = frame.common
        x = Stem(plan.stem, frame.stem, name="stem", **options | {"activation": None})(frame.image(len(plan.blocks)))
        for stage in plan.stages():
            branch = {"strides": stage.strides, "order": "postactivation", "lead": "activation", **options}
            f1, f2 = (plan.branch(stage, name=name, **branch) for name in ("f1", "f2"))
            R = ShiftedProjection(stage.channels, stage.strides, name="R", **options) if stage.changes_shape else None
            shake = Shake(f1, f2, mode=mode, name="shake", dtype=options["dtype"])
            blocks = Blocks(shake, R=R, name="blocks", dtype=options["dtype"])
            x = Level(Euler(dtype=options["dtype"]), blocks, name=f"level{stage.level}", dtype=options["dtype"])(x)
        x = keras.layers.Activation(frame.activation, name="sigma", dtype=options["dtype"])(x)
        kind = f"{width}d" if basic else f"{cardinality}x{width}d"
        return Graph(x, f"shake_shake_{depth}_2x{kind}", "shake_shake")
