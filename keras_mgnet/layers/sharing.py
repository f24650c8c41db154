"""The sharing rules: how many instances of a convolution a level owns, and which iteration uses which."""

from keras_mgnet.errors import unknown

PUBLISHED_SIZE = "published_size"


def instance(convs, i: int):
    """Returns the convolution of iteration i (from 0): the last instance serves all iterations that have none of their own."""
    return convs[min(i, len(convs) - 1)]


def check_share(argument: str, value: bool | str, *rules: str) -> None:
    """Raises unless `value` is True, False or one of `rules`."""
    if not isinstance(value, bool) and value not in rules:
        raise unknown(argument, value, ["True", "False", *rules])


def count_A(share: bool | str, blocks: int, pooling: bool) -> int:
    """Returns how many A a ResNet level owns.

    Rule P (`True`, the text of He2019): one, used by the pooling block too. Rule F ("published_size", the rule that gives
    the sizes of its tables): the same, but nothing is shared on the first grid, which has no pooling block.
    """
    shared = share is True or (share == PUBLISHED_SIZE and pooling)
    return 1 if shared else blocks


def count_B(share: bool | str, blocks: int, pooling: bool) -> int:
    """Returns how many B a ResNet level owns.

    Rule P: the pooling block keeps its own B^{l,0}, the others share one. Rule F: the pooling block restricts first and
    then uses the shared one, He2019 (6.4); nothing is shared on the first grid.
    """
    if share is True:
        return min(blocks, 2) if pooling else 1
    return 1 if share == PUBLISHED_SIZE and pooling else blocks
