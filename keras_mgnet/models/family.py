"""Data about a family of networks: its recipe, search space, published networks and diagram."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from keras_mgnet.models.datasets import CIFAR10, DATASETS, DatasetInfo
from keras_mgnet.models.picture import Picture

EITHER = (True, False)


@dataclass(frozen=True)
class Published:
    """The figures that a source prints for one network on one data set. Figures that the source does not print are None.

    Attributes:
        table: the source, such as "Lu2018 Table 2".
        dataset: the data set.
        size: number of parameters as printed, such as "0.27M" or "10,565".
        accuracy, error: top-1 accuracy and top-1 error in percent. A source prints one of the two.
        top5_error: top-5 error in percent.
        psnr: peak signal-to-noise ratio in dB.
        exact: exact number of parameters for the source's number of classes; None if `Row.params` is this number.
        note: why the printed size differs from the exact one.
        recipe: key of `recipes.RECIPES` for this data set; None for the recipe of the `Row`.

    Example:
        >>> Published("Lu2018 Table 2", CIFAR10, "0.27M", error=8.33).figure
        91.67
    """

    table: str
    dataset: DatasetInfo
    size: str | None = None
    accuracy: float | None = None
    error: float | None = None
    top5_error: float | None = None
    psnr: float | None = None
    exact: int | None = None
    note: str | None = None
    recipe: str | None = None

    @property
    def figure(self) -> float | None:
        """The top-1 accuracy in percent, or the PSNR in dB; None if the source prints neither."""
        if self.error is not None:
            return round(100 - self.error, 2)
        return self.psnr if self.accuracy is None else self.accuracy

    @property
    def top5(self) -> float | None:
        """The top-5 accuracy in percent; None if the source does not print it."""
        return None if self.top5_error is None else round(100 - self.top5_error, 2)

    def size_matches(self, params: int) -> bool | None:
        """Returns whether the printed size is the exact size, rounded or truncated; None if no size is printed.

        The exact size is `exact`, or `params` if `exact` is None.
        """
        if self.size is None:
            return None
        if not self.size.endswith("M"):
            return int(self.size.replace(",", "")) == (self.exact or params)
        printed = self.size.removesuffix("M")
        digits = len(printed.partition(".")[2])
        exact = (self.exact or params) / 1e6
        return float(printed) in (round(exact, digits), math.floor(exact * 10**digits) / 10**digits)


def accuracies(table: str, size: str | None = None, **percent: float) -> tuple[Published, ...]:
    """Returns a `Published` for each data set, with the top-1 accuracy that a source prints. Keywords are keys of `DATASETS`."""
    return tuple(Published(table, DATASETS[name], size, accuracy=value) for name, value in percent.items())


def errors(table: str, size: str | None = None, **percent: float) -> tuple[Published, ...]:
    """Returns a `Published` for each data set, with the top-1 error that a source prints. Keywords are keys of `DATASETS`.

    Example:
        >>> [printed.figure for printed in errors("DenseNet README", "1.0M", cifar10=5.24, cifar100=24.42)]
        [94.76, 75.58]
    """
    return tuple(Published(table, DATASETS[name], size, error=value) for name, value in percent.items())


@dataclass(frozen=True)
class Row:
    """One published network of a family.

    Attributes:
        name: name in `keras_mgnet.list_models`.
        kwargs: constructor arguments, except those that depend on the data set.
        params: exact number of trainable parameters. A shared tensor counts once.
        published: the figures that sources print for the network, beginning with those of `source`.
        source: where the network is published. By default this is the table of the first entry of `published`.
        dataset: data set on which the network is trained.
        recipe: key of `recipes.RECIPES`; None for the recipe of the family.
    """

    name: str
    kwargs: Mapping[str, Any]
    params: int
    published: tuple[Published, ...] = ()
    source: str = ""
    dataset: DatasetInfo = CIFAR10
    recipe: str | None = None


@dataclass(frozen=True)
class Space:
    """The constructor arguments that a hyperparameter search varies in a family.

    A search also varies the size of the network within a budget, the learning rate and the weight decay.

    Attributes:
        width: the argument that sets the channels. "channels" takes one number per level. Any other argument takes one number.
        iterations: the argument that sets the number of iterations of each level; None if the family has no such argument.
        nu: smallest and largest number of iterations of a level.
        choices: further arguments and their values. The first value is the default. The last value makes the largest network.
        multiple: channels are multiples of this number.
    """

    width: str
    iterations: str | None
    nu: tuple[int, int] = (1, 4)
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    multiple: int = 1

    @property
    def has_levels(self) -> bool:
        """Whether a search also varies the number of levels."""
        return self.iterations is not None or self.width == "channels"


@dataclass(frozen=True)
class Family:
    """Data about a family, which is the attribute `family` of each network class.

    Attributes:
        recipe: the recipe with which networks of the family are compiled, a key of `recipes.RECIPES`.
        small: constructor arguments that make a small network. They can be combined with any scheme of the family.
        picture: diagram of the family; None for no diagram.
        space: what a search varies; None for a family without a search space.
        rows: published networks of the family.
    """

    recipe: str
    small: Mapping[str, Any] = field(default_factory=dict)
    picture: Picture | None = None
    space: Space | None = None
    rows: tuple[Row, ...] = ()
