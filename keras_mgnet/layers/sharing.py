"""The sharing rules: which kernel each iteration of a level uses, as a table iteration -> kernel."""

from collections.abc import Sequence
from typing import Any

from keras_mgnet.errors import unknown

PUBLISHED_SIZE = "published_size"


def instance(convs: Sequence[Any], i: int) -> Any:
    """Returns the convolution of iteration i (from 0): the last instance serves all iterations that have none of their own."""
    return convs[min(i, len(convs) - 1)]


def check_share(argument: str, value: bool | str, *rules: str) -> None:
    """Raises unless `value` is True, False or one of `rules`."""
    if not isinstance(value, bool) and value not in rules:
        raise unknown(argument, value, ["True", "False", *rules])


def own(uses: int) -> tuple[int, ...]:
    """Every iteration has its own kernel."""
    return tuple(range(uses))


def shared(uses: int) -> tuple[int, ...]:
    """One kernel for all iterations."""
    return (0,) * uses


def sharing_A(share: bool | str, blocks: int, pooling: bool) -> tuple[int, ...]:
    """Which A each block of a ResNet level uses.

    Rule P (`True`, the text of He2019): one A, used by the pooling block too. Rule F ("published_size", the rule that gives
    the sizes of its tables): the same, but nothing is shared on the first grid, which has no pooling block.
    """
    return shared(blocks) if share is True or (share == PUBLISHED_SIZE and pooling) else own(blocks)


def sharing_B(share: bool | str, blocks: int, pooling: bool) -> tuple[int, ...]:
    """Which B each block of a ResNet level uses.

    Rule P: the pooling block keeps its own B^{l,0}, the others share one. Rule F: the pooling block restricts first and
    then uses the shared one, He2019 (6.4); nothing is shared on the first grid.
    """
    if share is True:
        return (0,) + (1,) * (blocks - 1) if pooling else shared(blocks)
    return shared(blocks) if share == PUBLISHED_SIZE and pooling else own(blocks)
