"""Defines which batches a part of a run uses."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from keras_mgnet.configuration import Count, check


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
    """A sequence of `count` batches. `make(number)` returns one batch. With `ahead`, threads make the next batches in advance."""

    def __init__(self, make: Callable[[int], tuple[Any, ...]], count: int, ahead: bool = False):
        super().__init__(workers=2 if ahead else 1, max_queue_size=4)
        self.make, self.count = make, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> tuple[Any, ...]:
        return self.make(number)
