"""Defines which batches a part of a run uses."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import keras

from keras_mgnet.configuration import Count, check

AHEAD = 2  # batches


@dataclass(frozen=True)
class Share:
    """The part of each batch that one of several workers makes."""

    worker: int = 0
    workers: int = 1
    full: bool = False  # whether each batch must keep its size; see `fill` of `streaming.Pictures.read`

    def of(self, start: int, stop: int) -> tuple[int, int]:
        """Returns the part of the places start to stop - 1, as (first, last + 1). The arguments may be tensors.

        Example:
            >>> Share(1, 2).of(4, 9)
            (6, 9)
        """
        count = stop - start
        return start + self.worker * count // self.workers, start + (self.worker + 1) * count // self.workers


WHOLE = Share()


@dataclass(frozen=True)
class Plan:
    """The batches of several epochs in sequence. The first epoch may begin at a later step.

    Example:
        >>> plan = Plan(seed=0, count=10, batch_size=4, first_epoch=2, first_step=1, epochs=2)
        >>> plan.steps, len(plan), plan.place(1), plan.place(2)
        (3, 5, (2, 2), (3, 0))
    """

    seed: int  # of the whole run
    count: int  # images per epoch
    batch_size: Count  # images per batch; the last batch of an epoch holds the rest
    first_epoch: int  # number of the first epoch
    first_step: int  # batches to skip in the first epoch
    epochs: int  # number of epochs, the first one included

    def __post_init__(self):
        check(self)
        if not 0 <= self.first_step < self.steps:
            raise ValueError(f"expected first_step in 0..{self.steps - 1}. Received: {self.first_step}")

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return -(-self.count // self.batch_size)

    def __len__(self) -> int:
        return self.steps * self.epochs - self.first_step

    def place(self, number: int) -> tuple[int, int]:
        """Returns (epoch, step) of batch `number`. All three numbers count from 0."""
        epoch, step = divmod(self.first_step + number, self.steps)
        return self.first_epoch + epoch, step


class Batches(keras.utils.PyDataset):
    """A sequence of `count` batches. `make(number)` returns one batch. With `ahead`, threads make the next batches in advance.

    Keras' own threads lose the batch from which `fit` reads the shapes. `share` says which part of the global batches they are.
    """

    def __init__(self, make: Callable[[int], tuple[Any, ...]], count: int, ahead: bool = False, share: Share = WHOLE):
        super().__init__()
        self.make, self.count, self.ahead, self.share = make, count, AHEAD if ahead else 0, share
        self._coming: dict[int, Future] = {}  # number -> batch

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> tuple[Any, ...]:
        if not self.ahead:
            return self.make(number)
        wanted = range(number, min(number + 1 + self.ahead, self.count))
        self._coming = {n: self._coming.get(n) or _pool().submit(self.make, n) for n in wanted}
        return self._coming[number].result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(AHEAD, thread_name_prefix="batch")
