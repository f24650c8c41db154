"""Estimates what a reproduction costs: parameters, multiply-adds, and hours from training steps timed on this machine.

The hours are for one device on batches of noise, without the input pipeline and without evaluation.
"""

import statistics
import timeit
from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np

from keras_mgnet.description import count_params, level_table
from keras_mgnet.models.datasets import DATASETS
from keras_mgnet.recipes import recipe
from keras_mgnet.registry import create_model
from keras_mgnet.training.tables.request import Reproduction
from keras_mgnet.training.tables.tables import Row

WARM_UP, TIMED = 2, 3  # steps: warm-up steps trace, compile and fill caches


@dataclass(frozen=True)
class RowCost:
    """The cost of one row."""

    row: Row
    params: int  # trainable parameters
    multiply_adds: int  # per image, forward
    epochs: int  # per run
    steps: int  # per epoch
    seconds_per_step: float  # median of the timed steps
    runs: int  # runs still to do

    @property
    def hours(self) -> float:
        """Hours of training alone, for all runs one after the other.

        Example:
            >>> RowCost(None, 0, 0, epochs=10, steps=360, seconds_per_step=0.5, runs=2).hours
            1.0
        """
        return self.runs * self.epochs * self.steps * self.seconds_per_step / 3600


def estimate(asked: Reproduction, runs: dict[str, int]) -> Iterator[RowCost]:
    """Yields the cost of every selected row, on images of the published size. Needs no data.

    `runs` maps the key of a row to the number of its runs still to do.
    """
    for row in asked.selected:
        data = DATASETS[row.dataset]
        config = asked.config(row, 1).resolve(recipe(row.recipe), data.input_shape[-1])
        model = create_model(row.model, **{"classes": data.classes, "dtype": config.dtype, **config.set})
        yield RowCost(
            row=row,
            params=count_params(model),
            multiply_adds=sum(level.multiply_adds for level in level_table(model)),
            epochs=config.epochs,
            steps=-(-data.train // config.batch_size),
            seconds_per_step=seconds_per_step(model, config.batch_size),
            runs=runs[row.key],
        )


def seconds_per_step(model: keras.Model, batch_size: int) -> float:
    """Times training steps of a compiled classifier on a batch of noise, after warm-up, and returns the median."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(batch_size, *model.input_shape[1:])).astype("float32")
    labels = rng.integers(0, model.output_shape[-1], batch_size)
    seconds = timeit.repeat(lambda: model.train_on_batch(images, labels), number=1, repeat=WARM_UP + TIMED)
    return statistics.median(seconds[WARM_UP:])
