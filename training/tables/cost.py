"""Estimates what a reproduction costs: parameters, multiply-adds, and hours from the arithmetic and one rate of this machine.

The hours are those of training steps, without evaluation. A network of the zoo is not built for it.
"""

import statistics
import timeit
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from keras_mgnet import zoo
from keras_mgnet.description import description
from keras_mgnet.models import MgNet
from keras_mgnet.models.datasets import DATASETS, DatasetInfo
from keras_mgnet.recipes import recipe
from keras_mgnet.registry import create_model
from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.tables.request import Reproduction
from keras_mgnet.training.tables.scaling import FORWARD_PASSES, Cluster
from keras_mgnet.training.tables.tables import Row

WARM_UP, TIMED, BATCH = 2, 3, 32  # steps, and images per step: warm-up steps trace, compile and fill caches


@dataclass(frozen=True)
class RowCost:
    """The cost of one row."""

    row: Row
    params: int  # trainable parameters
    multiply_adds: int  # per image, forward
    epochs: int  # per run
    steps: int  # per epoch
    batch_size: int
    seconds_per_step: float  # see `Cluster`
    runs: int  # runs still to do

    @property
    def hours(self) -> float:
        """Hours of training alone, for all runs one after the other.

        Example:
            >>> RowCost(None, 0, 0, epochs=10, steps=360, batch_size=100, seconds_per_step=0.5, runs=2).hours
            1.0
        """
        return self.runs * self.epochs * self.steps * self.seconds_per_step / 3600

    @property
    def petaflop(self) -> float:
        """The arithmetic of all runs in 10^15 operations, two for each multiply-add.

        Example:
            >>> RowCost(None, 0, 10**9, epochs=10, steps=100, batch_size=100, seconds_per_step=0.5, runs=1).petaflop
            0.6
        """
        images = self.runs * self.epochs * self.steps * self.batch_size
        return 2 * FORWARD_PASSES * self.multiply_adds * images / 1e15


def estimate(asked: Reproduction, runs: dict[str, int], cluster: Cluster | None = None) -> Iterator[RowCost]:
    """Yields the cost of every selected row, on images of the published size. Needs no data.

    Args:
        asked: the request.
        runs: number of runs still to do, by the key of the row.
        cluster: the machines, by default one device of this machine. Without a rate, they have that of this machine.
    """
    cluster = cluster or Cluster()
    for row in asked.selected:
        data = DATASETS[row.dataset]
        config = asked.config(row, 1).resolve(recipe(row.recipe), data.input_shape[-1])
        params, multiply_adds = _size(row, data, config)
        machines = cluster if cluster.rate else replace(cluster, rate=training_rate(config.dtype))
        yield RowCost(
            row=row,
            params=params,
            multiply_adds=multiply_adds,
            epochs=config.epochs,
            steps=-(-data.train // config.batch_size),
            batch_size=config.batch_size,
            seconds_per_step=machines.step(multiply_adds, params, config.batch_size),
            runs=runs[row.key],
        )


def _size(row: Row, data: DatasetInfo, config: TrainConfig) -> tuple[int, int]:
    """Returns the parameters and the multiply-adds of a row. Changes to the arguments need the network itself."""
    if config.set:
        found = description(create_model(row.model, **{"classes": data.classes, **config.set}))
        return found.params, found.multiply_adds
    entry = zoo.entry(row.model)
    found, classifier = entry.description, entry.description.levels[-1]
    more = data.classes / entry.kwargs["classes"] - 1  # the classifier grows with the number of classes
    return found.params + round(more * classifier.params), found.multiply_adds + round(more * classifier.multiply_adds)


@cache
def training_rate(dtype: str) -> float:
    """Returns the multiply-adds per second of training steps of one small MgNet, after warm-up, as the median of three steps."""
    model = MgNet((1, 1), 64, dtype=dtype, recipe="xuteam")
    images = np.random.default_rng(0).normal(size=(BATCH, *model.input_shape[1:])).astype("float32")
    labels = np.arange(BATCH) % model.output_shape[-1]
    seconds = timeit.repeat(lambda: model.train_on_batch(images, labels), number=1, repeat=WARM_UP + TIMED)
    return FORWARD_PASSES * BATCH * description(model).multiply_adds / statistics.median(seconds[WARM_UP:])
