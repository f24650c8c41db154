"""The sharing rules: which kernel each iteration of a level uses, as a table iteration -> kernel."""

from collections.abc import Sequence
from typing import Any

from keras_mgnet.errors import is_known, unknown

PUBLISHED_SIZE = "published_size"


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
    """Returns which A each block of a ResNet level uses.

    - Rule P (`True`, the text of He2019): one A for all blocks, the pooling block included.
    - Rule F ("published_size", the rule that gives the sizes of its tables): the same, but nothing is shared on the first grid,
      which has no pooling block.
    """
    return shared(blocks) if share is True or (share == PUBLISHED_SIZE and pooling) else own(blocks)


def sharing_B(share: bool | str, blocks: int, pooling: bool) -> tuple[int, ...]:
    """Returns which B each block of a ResNet level uses.

    - Rule P: the pooling block keeps its own B^{l,0}. The other blocks share one B.
    - Rule F: the pooling block restricts first and then uses the shared B, He2019 (6.4). Nothing is shared on the first grid.
    """
    if share is True:
        return (0,) + (1,) * (blocks - 1) if pooling else shared(blocks)
    return shared(blocks) if share == PUBLISHED_SIZE and pooling else own(blocks)
