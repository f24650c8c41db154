"""Sharing tables. Entry i of a table is the index of the kernel that iteration i of a level uses."""

from collections.abc import Sequence
from typing import Any

from keras_mgnet.errors import is_known, unknown

PUBLISHED_SIZE, RESTRICTION_FIRST = "published_size", "restriction_first"


def instance(convs: Sequence[Any], i: int) -> Any:
    """Returns the convolution of iteration i, counted from 0. The last convolution serves all later iterations as well."""
    return convs[min(i, len(convs) - 1)]


def check_share(argument: str, value: bool | str, *rules: str) -> None:
    """Raises ValueError unless `value` is True, False or one of `rules`."""
    if not isinstance(value, bool) and not is_known(value, rules):
        raise unknown(argument, value, ["True", "False", *rules])


def own(uses: int) -> tuple[int, ...]:
    """Returns the table that gives every iteration its own kernel."""
    return tuple(range(uses))


def shared(uses: int) -> tuple[int, ...]:
    """Returns the table with one kernel for all iterations."""
    return (0,) * uses


def sharing_A(share: bool | str, blocks: int, pooling: bool) -> tuple[int, ...]:
    """Returns the table of the kernels A for the blocks of a ResNet level.

    - `share` True, the text of He2019: all blocks share one A.
    - "published_size", which gives the sizes in the tables of He2019: on coarser grids all blocks share one A. On the first
      grid each block has its own A.
    - False: each block has its own A.

    `pooling` says whether the level has a pooling block, the block that changes the grid. Only the first grid has none.
    """
    return shared(blocks) if share is True or (share == PUBLISHED_SIZE and pooling) else own(blocks)


def sharing_B(share: bool | str, blocks: int, pooling: bool) -> tuple[int, ...]:
    """Returns the table of the kernels B for the blocks of a ResNet level. `pooling` as in `sharing_A`.

    - `share` True, the text of He2019: the pooling block has its own B^{l,0}. The other blocks share one B.
    - "published_size": on coarser grids all blocks share one B, and the pooling block restricts x first, He2019 (6.4). On the
      first grid each block has its own B.
    - "restriction_first", He2019 (6.4): on every grid all blocks share one B, and the pooling block restricts x first.
    - False: each block has its own B.
    """
    if share is True:
        return (0,) + (1,) * (blocks - 1) if pooling else shared(blocks)
    return shared(blocks) if share == RESTRICTION_FIRST or (share == PUBLISHED_SIZE and pooling) else own(blocks)
