"""The request for a reproduction: a table, its rows, the seeds and the budget. Gives the configuration of every run."""

import inspect
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from keras_mgnet import models
from keras_mgnet.configuration import Count, check
from keras_mgnet.errors import check_known, unknown
from keras_mgnet.models.datasets import DATASETS, IMAGENET, of_tfds
from keras_mgnet.recipes import recipe
from keras_mgnet.registry import model_info
from keras_mgnet.training.data.dataset import ARRAYS, form_of
from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.tables.tables import Row, table, table_rows

BUDGET = ("epochs", "batch_size", "learning_rate", "schedule", "dtype")


@dataclass(frozen=True)
class Reproduction:
    """Which rows of a table to reproduce, and how their training differs from the published one.

    Example:
        >>> Reproduction("he2019:2", Path("out"), budget={"epoch": 2})
        Traceback (most recent call last):
            ...
        ValueError: unknown budget 'epoch'; did you mean 'epochs'? Expected one of: epochs, batch_size, ...
    """

    table: str  # a key of `TABLES`
    out: Path  # directory of the runs and of the report
    rows: tuple[str, ...] = ()  # numbers from 1, keys or shell patterns; empty for all rows
    budget: dict[str, Any] = field(default_factory=dict)  # fields of `BUDGET` that replace those of the recipe
    set: dict[str, Any] = field(default_factory=dict)  # arguments that replace those of the models
    data: dict[str, str] = field(default_factory=dict)  # key of `DATASETS` -> name of the data set for `load`
    seeds: Count = 1  # runs per row, with the seeds 1, 2, ...

    def __post_init__(self):
        check(self)
        known = table(self.table).datasets
        for kind, names, choices in (("budget", self.budget, BUDGET), (f"data set of {self.table}", self.data, known)):
            for name in names:
                check_known(kind, name, choices)
        for row in self.selected:
            self.config(row, 1)
            family = model_info(row.model).family
            arguments = inspect.signature(getattr(models, family)).parameters
            for name in self.set:
                check_known(f"argument of {family}", name, arguments)

    @property
    def selected(self) -> list[Row]:
        """The selected rows, in the order of the table."""
        rows = table_rows(self.table)
        matching = {
            pattern: [row for number, row in enumerate(rows, 1) if pattern == str(number) or _matches(row, pattern)]
            for pattern in self.rows or ("*",)
        }
        for pattern, found in matching.items():
            if not found:
                raise unknown(f"row of {self.table}", pattern, [row.key for row in rows])
        return [row for row in rows if any(row in found for found in matching.values())]

    @property
    def headline(self) -> str:
        """How all rows are trained: the changes to the published training, and the data. Read this before you compare accuracies.

        Example:
            >>> Reproduction("he2019:2", Path("out"), budget={"epochs": 2}, data={"mnist": "digits"}).headline
            'Every row is trained with changes: epochs=2. Data: digits instead of mnist.'
        """
        changes = ", ".join(f"{key}={value}" for part in (self.budget, self.set) for key, value in part.items())
        training = (
            f"Every row is trained with changes: {changes}."
            if changes
            else "Every row is trained with its full recipe."
        )
        data = ", ".join(f"{source} instead of {name}" for name, source in self.data.items())
        return f"{training} Data: {data}." if data else training

    def directory(self, row: Row, seed: int) -> Path:
        """Returns the directory for the run of a row and seed."""
        return self.out / row.key / f"seed-{seed}"

    def config(self, row: Row, seed: int) -> TrainConfig:
        """Returns the configuration for the run of a row and seed."""
        dataset = self.data.get(row.dataset, DATASETS[row.dataset].tfds)
        square = {"image_size": model_info(row.model).input_shape[0]} if _has_several_sizes(row, dataset) else {}
        return TrainConfig(
            dataset=dataset,
            model=row.model,
            recipe=row.recipe,
            set=self.set,
            out=str(self.directory(row, seed)),
            seed=seed,
            resume=True,
            **square,
            **self.budget,
        )

    def training(self, row: Row) -> str:
        """Returns the recipe of a row, and the changes to it, in words."""
        published = recipe(row.recipe)
        run = published.scaled(self.budget.get("epochs"))
        curve = None if run.curve == published.curve else run.curve
        changes = {"schedule": curve, **self.budget, **self.set, row.dataset: self.data.get(row.dataset)}
        length = f"{run.epochs} epochs" if run is published else f"{run.epochs} of {published.epochs} epochs"
        named = [f"{key}={value}" for key, value in changes.items() if key != "epochs" and value is not None]
        return ", ".join([row.recipe, length, *named])


def _has_several_sizes(row: Row, dataset: str) -> bool:
    """Returns whether the images of a data set may have several sizes, as those of ImageNet and what takes its place."""
    form = form_of(dataset)
    in_place = row.dataset == IMAGENET.name and form not in ARRAYS and of_tfds(dataset) in (None, IMAGENET)
    return in_place or form in ("folder", "tfrecord")


def _matches(row: Row, pattern: str) -> bool:
    return fnmatchcase(row.key, pattern) or fnmatchcase(row.model, pattern)
