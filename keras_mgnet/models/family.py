"""What a family is besides its constructor, as data: its recipe, its search space, its published networks, its diagram."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from keras_mgnet.models.datasets import CIFAR10, DATASETS, DatasetInfo
from keras_mgnet.models.picture import Picture

EITHER = (True, False)


@dataclass(frozen=True)
class Published:
    """What a source prints about a network on one data set. A figure that it does not print is None.

    Attributes:
        table: the source, such as "Lu2018 Table 2".
        dataset: data set of the images.
        size: the number of parameters, such as "0.27M".
        accuracy, error: top-1 in percent. A source prints one of them.
        top5_error: in percent.
        psnr: in dB.
        exact: our size for the source's number of classes, if that differs from the row's.
        note: why the size cannot be reproduced.
        recipe: key of `recipes.RECIPES`, if it differs from the row's.

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
        """The top-1 accuracy in percent, or the PSNR in dB."""
        if self.error is not None:
            return round(100 - self.error, 2)
        return self.psnr if self.accuracy is None else self.accuracy

    @property
    def top5(self) -> float | None:
        """The top-5 accuracy in percent."""
        return None if self.top5_error is None else round(100 - self.top5_error, 2)

    def size_matches(self, params: int) -> bool | None:
        """Returns whether the printed size is the exact one, rounded or cut to its digits; None if no size is printed."""
        if self.size is None:
            return None
        printed = self.size.removesuffix("M")
        digits = len(printed.partition(".")[2])
        exact = (self.exact or params) / 1e6
        return float(printed) in (round(exact, digits), math.floor(exact * 10**digits) / 10**digits)


def accuracies(table: str, size: str | None = None, **percent: float) -> tuple[Published, ...]:
    """Returns the accuracies that a source prints, keyed by `DATASETS`."""
    return tuple(Published(table, DATASETS[name], size, accuracy=value) for name, value in percent.items())


def errors(table: str, size: str | None = None, **percent: float) -> tuple[Published, ...]:
    """Returns the errors that a source prints, keyed by `DATASETS`.

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
        kwargs: constructor arguments, without those of its images.
        params: exact number of trainable parameters, every shared tensor counted once.
        published: what sources print about it, its own source first.
        source: where it is published, by default the first table.
        dataset: data set of its images.
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
    """What a search varies in a family, besides the share of the budget, the learning rate and the weight decay.

    Attributes:
        width: the argument that sets the channels. "channels" takes a number per level, any other argument one number.
        iterations: the argument that takes the iterations of each level; None if there is none.
        nu: smallest and largest number of iterations of a level.
        choices: further arguments. The first choice is the default, the last makes the largest network.
        multiple: channels are multiples of this number.
    """

    width: str
    iterations: str | None
    nu: tuple[int, int] = (1, 4)
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    multiple: int = 1

    @property
    def has_levels(self) -> bool:
        """Whether the number of levels is searched too."""
        return self.iterations is not None or self.width == "channels"


@dataclass(frozen=True)
class Family:
    """The facts of a family, in its class attribute `family`.

    Attributes:
        recipe: the recipe that its networks come compiled with, a key of `recipes.RECIPES`.
        small: arguments of a small network. Each scheme of the family has one of this size.
        picture: its diagram.
        space: what a search varies; None if there is no search.
        rows: its published networks.
    """

    recipe: str
    small: Mapping[str, Any] = field(default_factory=dict)
    picture: Picture | None = None
    space: Space | None = None
    rows: tuple[Row, ...] = ()
