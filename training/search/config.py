"""The typed configuration of a search over networks. Its fields are the options of `keras-mgnet tune`."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

from pydantic import NonNegativeInt
from typing_extensions import TypedDict

from keras_mgnet.augmentations import AUGMENTATIONS
from keras_mgnet.configuration import Count, Fraction, check, option
from keras_mgnet.registry import model_info
from keras_mgnet.schema import open_ended, read_json
from keras_mgnet.training.loop.config import CLASSES_HELP, TrainConfig

METHODS = ("random", "hyperband", "bayesian")
FREE = ("workers", "trials", "out", "resume")  # fields that may change when a search resumes


@dataclass(frozen=True)
class TuneConfig:
    """The configuration of a search.

    Example:
        >>> TuneConfig("digits", method="bayes")
        Traceback (most recent call last):
            ...
        ValueError: unknown method 'bayes'; did you mean 'bayesian'? Expected one of: random, ... Received: 'bayes'
    """

    dataset: str = option("digits", CLASSES_HELP)
    model: str = option("mgnet_2222_c64_shared_b", "a name from `keras-mgnet list`; its family is searched")
    method: Literal[*METHODS] = option("random", f"search method of KerasTuner: {', '.join(METHODS)}")
    trials: Count = option(30, "number of networks to try")
    epochs: Count = option(10, "epochs per trial; hyperband begins with fewer")
    max_params: Count | None = option(1_000_000, "largest number of parameters of a network")
    max_madds: Count | None = option(None, "largest number of multiply-adds per image")
    validation: Fraction = option(0.2, "share of the training images held out to compare trials")
    batch_size: Count | None = option(None, "images per step")
    augment: str | None = option(
        None, f"{', '.join(AUGMENTATIONS)}; by default the recipe's, but none for grey images and SVHN"
    )
    workers: Count = option(1, "number of processes that train on this machine; the cores are split among them")
    seed: NonNegativeInt = option(
        0, "seed of the search, the held-out images, the initial weights and the order of the images"
    )
    image_size: Count | None = option(
        None,
        "resize every image to a square of this many pixels a side; except for folders, a divisor of the images' own size",
    )
    out: str = option("tuning", "directory of the search, new or empty; the machines of a cluster share it")
    resume: bool = option(False, "continue the search in --out where it stopped; start a new search if --out has none")

    def __post_init__(self):
        check(self)
        model_info(self.model)
        object.__setattr__(self, "dataset", self.run(self.epochs).dataset)

    @property
    def record(self) -> Path:
        """Path of the file with the search's configuration."""
        return Path(self.out) / "search.json"

    @property
    def data(self) -> Path:
        """Path of the file with the kept and the held-out training images."""
        return Path(self.out) / "data.npz"

    @property
    def trials_directory(self) -> Path:
        """Path of the folder with the trials."""
        return Path(self.out) / "trials"

    @property
    def oracle(self) -> Path:
        """Path of the file in which KerasTuner keeps the state of the search."""
        return self.trials_directory / "oracle.json"

    def run(self, epochs: int) -> TrainConfig:
        """Returns the configuration that all runs of the search share.

        The learning rate falls along half a period of a cosine, with a linear warm-up over the first tenth of the epochs. Each
        run uses one device, because the workers of the search train several networks at once.
        """
        names = ("dataset", "model", "batch_size", "augment", "seed", "image_size")
        shared = TrainConfig(**{name: getattr(self, name) for name in names}, epochs=epochs)
        return replace(shared, schedule="cosine", warmup_epochs=epochs / 10, strategy="one")

    def check_same(self) -> None:
        """Raises ValueError unless the search in `out` has this configuration, apart from the fields in `FREE`."""
        found = read_search(self.record)
        for name in (field.name for field in fields(self) if field.name not in FREE):
            if getattr(self, name) != getattr(found, name):
                expected, received = (f"{name}={getattr(config, name)!r}" for config in (found, self))
                raise ValueError(f"expected {expected} as in the search in '{self.out}'. Received: {received}")


@open_ended
class Search(TypedDict):
    """The content of search.json."""

    config: TuneConfig


def read_search(path: str | Path) -> TuneConfig:
    """Reads the configuration of a search from its search.json. Raises ValueError if the file is damaged."""
    expected = "search.json to have the configuration of a search; restore it, or search anew in another directory"
    return read_json(path, Search, expected)["config"]
