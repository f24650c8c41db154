"""Layouts of residual networks: the grids, blocks, channels and kind of block that belong to a depth."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import keras

from keras_mgnet.errors import unknown
from keras_mgnet.layers.fields.branch import Branch, basic, bottleneck
from keras_mgnet.layers.fields.field import Blocks, Field
from keras_mgnet.layers.stochastic import survival_probabilities
from keras_mgnet.models.checks import is_integer, positive_integer, positive_integers, within

IMAGENET = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
DEEP_CIFAR = (164, 1001)  # bottlenecks by default; 164 is 6n + 2 as well


class Stage(NamedTuple):
    """One grid of a layout.

    Attributes:
        level: number of the grid, from 1.
        blocks: number of blocks.
        inner, channels: numbers of channels inside the blocks and of the state.
        strides: stride of the first block.
        changes_shape: whether the first block changes the shape of the state.
    """

    level: int
    blocks: int
    inner: int
    channels: int
    strides: int
    changes_shape: bool

    def residual(
        self, f: Field, shortcut: Callable[..., keras.Layer], options: dict[str, Any], **further: Any
    ) -> Blocks:
        """Returns `Blocks` with the field f and, if the first block changes the shape, a shortcut of `layers.shortcut`."""
        R = shortcut(self.channels, self.strides, options) if self.changes_shape else None
        return Blocks(f, R=R, name="blocks", dtype=options["dtype"], **further)


@dataclass(frozen=True)
class Layout:
    """The layout of a residual network."""

    blocks: tuple[int, ...]  # per grid
    bottleneck: bool  # 1x1 - 3x3 - 1x1 blocks, else two 3x3
    stem: int  # channels of the stem
    inner: tuple[int, ...]  # channels inside the blocks, per grid
    channels: tuple[int, ...]  # channels of the state, per grid
    groups: int = 1  # of the 3x3 convolutions of bottlenecks

    def stages(self) -> Iterator[Stage]:
        """Yields the grids, finest first."""
        before = self.stem
        for level, (n, inner, channels) in enumerate(zip(self.blocks, self.inner, self.channels, strict=True), start=1):
            strides = 2 if level > 1 else 1
            yield Stage(level, n, inner, channels, strides, strides > 1 or before != channels)
            before = channels

    def branch(self, stage: Stage, **options: Any) -> Branch:
        """Returns the residual branch of the blocks on one grid. Options as in `Branch`."""
        options = {"uses": stage.blocks, **options}
        if self.bottleneck:
            return bottleneck(stage.channels, stage.inner, groups=self.groups, **options)
        return basic(stage.channels, **options)

    def label(self, depth: int | None) -> str:
        """Returns the part of a network's name that stands for the layout: the depth, or the blocks if the depth is None."""
        return "x".join(map(str, self.blocks)) if depth is None else str(depth)

    def survivals(self, survival: float, schedule: str) -> list[tuple[float, ...] | None]:
        """Returns for each grid the survival probabilities of its blocks (see `keras_mgnet.layers.stochastic`).

        With a survival of 1, the entry of every grid is None.
        """
        within("survival", survival, 0, 1)
        p = survival_probabilities(sum(self.blocks), survival, schedule)
        starts = [sum(self.blocks[:level]) for level in range(len(self.blocks))]
        return [None if survival == 1 else p[i : i + n] for i, n in zip(starts, self.blocks, strict=True)]


def layout(
    depth: int, blocks: Sequence[int] | None = None, bottleneck: bool | None = None, base_width: int | None = None
) -> Layout:
    """Returns the layout of a residual network.

    The depths of `IMAGENET` (18, 34, 50, 101, 152) have four grids. Any other depth has three grids of n blocks each: 6n + 2 with
    basic blocks, and 9n + 2 with bottlenecks.

    Args:
        depth: number of layers with weights; ignored if `blocks` is given.
        blocks: number of blocks on each grid; None for those that `depth` gives.
        bottleneck: whether the blocks are bottlenecks. With None the depths 50, 101, 152, 164 and 1001 have bottlenecks. Other
            depths, and layouts with given `blocks`, have basic blocks.
        base_width: number of channels inside the blocks of the first grid. None for 64 on four grids and 16 on any other number.

    Example:
        >>> layout(164).blocks, layout(164).channels
        ((18, 18, 18), (64, 128, 256))
    """
    imagenet = blocks is None and is_integer(depth) and depth in IMAGENET
    if bottleneck is None:
        bottleneck = blocks is None and (depth >= 50 if imagenet else depth in DEEP_CIFAR)
    if not isinstance(bottleneck, bool):
        raise unknown("bottleneck", bottleneck, ["True", "False", "None"])
    blocks = IMAGENET[depth] if imagenet else _cifar_blocks(depth, bottleneck) if blocks is None else blocks
    blocks = positive_integers("blocks", blocks)
    width = positive_integer("base_width", (64 if len(blocks) == 4 else 16) if base_width is None else base_width)
    inner = tuple(width * 2**level for level in range(len(blocks)))
    channels = tuple(4 * c for c in inner) if bottleneck else inner
    return Layout(blocks, bottleneck, width, inner, channels)


def aggregated(depth: int, cardinality: int, group_width: int, blocks: Sequence[int] | None = None) -> Layout:
    """Returns the layout of a ResNeXt of depth 9n + 2, which has n bottlenecks on each of three grids, or `blocks` bottlenecks.

    The grids have 256, 512, 1024, ... channels. The 3x3 convolutions have `cardinality` groups, each of `group_width` channels on
    the first grid and twice as many on each coarser grid.

    Example:
        >>> aggregated(29, 8, 64).inner, aggregated(29, 8, 64).channels
        ((512, 1024, 2048), (256, 512, 1024))
    """
    known = _cifar_blocks(depth, bottleneck=True, known=()) if blocks is None else positive_integers("blocks", blocks)
    base = layout(depth, bottleneck=True, base_width=64, blocks=known)
    width = positive_integer("cardinality", cardinality) * positive_integer("group_width", group_width)
    return replace(base, inner=tuple(width * 2**level for level in range(len(known))), groups=cardinality)


def _cifar_blocks(depth: int, bottleneck: bool, known: tuple[int, ...] = tuple(IMAGENET)) -> tuple[int, ...]:
    per_block = 9 if bottleneck else 6
    if positive_integer("depth", depth) <= 2 or (depth - 2) % per_block:
        others = f"one of {', '.join(map(str, known))} or " if known else ""
        raise ValueError(f"expected depth to be {others}{per_block}n + 2. Received: depth={depth!r}")
    return ((depth - 2) // per_block,) * 3
