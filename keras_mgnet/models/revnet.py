"""RevNet: reversible residual networks (Gomez, Ren, Urtasun, Grosse 2017)."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras

from keras_mgnet.errors import check_known, is_known, unknown
from keras_mgnet.layers import (
    Branch,
    Conv,
    CoupledMultistep,
    Coupling,
    CouplingTransfer,
    Halves,
    InTurn,
    Level,
    ZeroPadding,
    basic,
    bottleneck,
)
from keras_mgnet.models.checks import even_integers, positive_integers
from keras_mgnet.models.family import Family, Row, Space
from keras_mgnet.models.frame import Frame, FrameArguments
from keras_mgnet.models.network import Network
from keras_mgnet.models.picture import Edge, two_states
from keras_mgnet.serialization import serializable

DEPTHS = {  # blocks and channels per grid, and whether blocks are bottlenecks
    38: ((3, 3, 3), (32, 64, 112), False),
    110: ((9, 9, 9), (32, 64, 128), False),
    164: ((9, 9, 9), (32, 64, 128), True),
}


SCHEMES = ("coupling", "linear_multistep")
SIZES = {38: 464_890, 110: 1_729_194, 164: 1_748_778}
ROWS = tuple(
    Row(f"revnet{depth}", {"depth": depth}, params, source="renmengye/revnet-public") for depth, params in SIZES.items()
)


@serializable
class RevNet(Network):
    """RevNet: a reversible residual network on two halves x_1, x_2 of the channels.

    A block with the pre-activation branches F and G computes

        y_1 = x_1 + F(x_2)
        y_2 = x_2 + G(y_1)

    The first block of a coarser grid is a transfer. With bottlenecks the first block of the first grid is a transfer, too. In a
    transfer F has stride 2 (1 on the first grid), and shortcuts are applied to x_1 and x_2. A shortcut averages over 2x2 pixels
    and adds zero channels on both sides. With bottlenecks a shortcut is a 1x1 convolution. `get_layer("level1").inverse(y1, y2)`
    undoes all blocks of a grid except the transfer. With `memory_free` the memory of training does not grow with the number of
    these blocks.

    Lu2018, Table 1, calls the block forward Euler for x_1' = F(x_2), x_2' = G(x_1). Since G reads the new x_1, the block is
    semi-implicit Euler. The block is reversible and preserves volume. It would be symplectic if F and G were gradients. They
    are not.

    Source: Gomez et al. 2017. Two details differ from renmengye/revnet-public. The norms have other constants, and in a
    bottleneck the 3x3 convolution has the stride.

    Args:
        depth: 38, 110 or 164 (bottlenecks).
        blocks: number of blocks on each grid; None for those of `depth`. A grid that begins with a transfer needs at least 2.
        channels: number of channels of both halves together, an even integer or one per grid; None for those of `depth`. The stem
            has as many channels as the first grid. With bottlenecks this is the number inside the blocks, and the state has four
            times as many.
        bottleneck: whether branches are 1x1 - 3x3 - 1x1 instead of two 3x3 convolutions. None lets `depth` decide.
        scheme: "coupling" as above, or "linear_multistep": x_1 and x_2 each take the two-step method of Lu2018 (1), such as
            y_1 = (1 - k) x_1 + k x_1^- + F(x_2), where x_1^- is x_1 before the last block. k is trainable. The first block
            of a grid after the transfer has no k. This scheme is not reversible.
        memory_free: whether training stores only the last state of a grid and recovers the earlier states, see
            `keras_mgnet.layers.Level`. This option has no effect on "linear_multistep".

    Example:
        >>> model = RevNet(38)
        >>> [half.shape for half in model.get_layer("level3").output]
        [(None, 8, 8, 56), (None, 8, 8, 56)]
    """

    family = Family(
        recipe="revnet",
        small={"blocks": (2,), "channels": (4,)},
        picture=two_states("x₁", "x₂", Edge(("x₂", 0), ("x₁", 1), "F"), Edge(("x₁", 1), ("x₂", 1), "G")),
        space=Space("channels", "blocks", (2, 4), multiple=2),
        rows=ROWS,
    )

    def __init__(
        self,
        depth: int = 38,
        *,
        blocks: Sequence[int] | None = None,
        channels: int | Sequence[int] | None = None,
        bottleneck: bool | None = None,
        scheme: str = "coupling",
        memory_free: bool = True,
        **arguments: Unpack[FrameArguments],
    ) -> None:
        if not is_known(depth, DEPTHS):
            raise unknown("depth", depth, map(str, DEPTHS))
        named = blocks is None
        default_blocks, default_channels, default_deep = DEPTHS[depth]
        deep = default_deep if bottleneck is None else bottleneck
        if not isinstance(deep, bool):
            raise unknown("bottleneck", deep, ["True", "False", "None"])
        blocks = positive_integers("blocks", default_blocks if blocks is None else blocks)
        channels = even_integers("channels", default_channels if channels is None else channels, len(blocks))
        check_known("scheme", scheme, SCHEMES)
        if any(n == 1 and (deep or level > 1) for level, n in enumerate(blocks, start=1)):
            raise ValueError(
                f"expected at least 2 blocks on a grid that begins with a transfer. Received: blocks={blocks}"
            )

        with Frame(**arguments) as frame:
            policy, coupled = frame.common["dtype"], scheme == "coupling"
            state = Halves(name="halves", dtype=policy)(frame.begin(channels[0], len(blocks)))
            for level, (n, c) in enumerate(zip(blocks, channels, strict=True), start=1):
                half = 2 * c if deep else c // 2
                first = {"lead": "none"} if level == 1 else {}  # the stem's norm and sigma serve the first F
                if deep or level > 1:
                    state = _transfer(level, half, deep, frame, **first)(*state)
                    n, first = n - 1, {}
                branches = [_branch(i, half, deep, frame, **(first if i == 0 else {})) for i in range(n)]
                rule = Coupling(dtype=policy) if coupled else CoupledMultistep(2 * n, dtype=policy)
                field, free = InTurn(branches, name="f", dtype=policy), memory_free and coupled
                state = Level(rule, field, memory_free=free, name=f"level{level}", dtype=policy)(*state)
            x = keras.layers.Concatenate(name="state", dtype=policy)(list(state))
            x = frame.end(x)
        super().__init__(frame, x, name=f"revnet{depth if named else 'x'.join(map(str, blocks))}")


def _branch(i: int, half: int, deep: bool, frame: Frame, **options: Any) -> Branch:
    """Returns one `Branch` with both functions of a block: F is iteration 0 of the branch, and G is iteration 1."""
    return (bottleneck if deep else basic)(half, uses=2, name=f"f{i}", **options, **frame.common)


def _transfer(level: int, half: int, deep: bool, frame: Frame, **options: Any) -> CouplingTransfer:
    strides = 1 if level == 1 else 2
    init, policy = frame.common["init"], frame.common["dtype"]

    def shortcut(name: str) -> Conv | ZeroPadding:
        if deep:
            return Conv(half, 1, strides=strides, init=init, name=name, dtype=policy)
        return ZeroPadding(half, strides, sampling="average", centered=True, name=name, dtype=policy)

    branch = _branch(0, half, deep, frame, strides=strides, **options)
    return CouplingTransfer(branch, shortcut("R1"), shortcut("R2"), name=f"transfer{level}", dtype=policy)
