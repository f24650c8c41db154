"""Which batches a leg of a run sees."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from keras_mgnet.configuration import Count, check


@dataclass(frozen=True)
class Plan:
    """The batches of several epochs, one after the other, perhaps from within the first.

    Example:
        >>> plan = Plan(seed=0, count=10, batch_size=4, first_epoch=2, first_step=1, epochs=2)
        >>> plan.steps, len(plan), plan.place(1), plan.place(2)
        (3, 5, (2, 2), (3, 0))
    """

    seed: int  # of the whole run
    count: int  # images of an epoch
    batch_size: Count  # images of a batch; the last one of an epoch holds what is left
    first_epoch: int  # its number
    first_step: int  # batches of the first epoch that are left out
    epochs: int  # how many, the first one included

    def __post_init__(self):
        check(self)
        if not 0 <= self.first_step < self.steps:
            raise ValueError(f"expected first_step in 0..{self.steps - 1}. Received: {self.first_step}")

    @property
    def steps(self) -> int:
        """Batches of a whole epoch."""
        return -(-self.count // self.batch_size)

    def __len__(self) -> int:
        return self.steps * self.epochs - self.first_step

    def place(self, number: int) -> tuple[int, int]:
        """Returns (epoch, step) of a batch, counted from 0."""
        epoch, step = divmod(self.first_step + number, self.steps)
        return self.first_epoch + epoch, step


class Batches(keras.utils.PyDataset):
    """So many batches, each made by its number."""

    def __init__(self, make: Callable[[int], tuple[Any, ...]], count: int):
        super().__init__()
        self.make, self.count = make, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> tuple[Any, ...]:
        return self.make(number)
