"""The typed configuration of a search over networks; its fields are the options of `keras-mgnet tune`."""

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from keras_mgnet.errors import unknown
from keras_mgnet.recipes import AUGMENTATIONS
from keras_mgnet.registry import model_info
from keras_mgnet.training.config import CLASSES_HELP, TrainConfig, option

METHODS = ("random", "hyperband", "bayesian")
FREE = ("workers", "trials", "out", "resume")  # what a search that goes on may change
LEAST = {"trials": 1, "epochs": 1, "workers": 1, "max_params": 1, "max_madds": 1}


@dataclass(frozen=True)
class TuneConfig:
    """What a search is made of.

    Raises:
        ValueError: for values that make no search.

    Example:
        >>> TuneConfig("digits", method="bayes")
        Traceback (most recent call last):
            ...
        ValueError: unknown method 'bayes'; did you mean 'bayesian'? Expected one of: random, ... Received: 'bayes'
    """

    dataset: str = option("digits", CLASSES_HELP)
    model: str = option("mgnet_2222_c64_shared_b", "a name of `keras-mgnet list`, whose family is searched")
    method: str = option("random", f"{', '.join(METHODS)}; of KerasTuner")
    trials: int = option(30, "networks to try")
    epochs: int = option(10, "epochs of a trial; hyperband begins with fewer")
    max_params: int | None = option(1_000_000, "most parameters of a network")
    max_madds: int | None = option(None, "most multiply-adds per image")
    validation: float = option(0.2, "share of the training images that trials are compared on and not trained on")
    batch_size: int | None = option(None, "images per step")
    augment: str | None = option(
        None, f"{', '.join(AUGMENTATIONS)}; the recipe's for colour, none for grey images if not given"
    )
    workers: int = option(1, "processes of this machine that train, each on its share of the cores")
    seed: int = option(0, "of draws, held-out images, initialisation and order")
    image_size: int | None = option(None, "folder: resize every image to this square")
    out: str = option("tuning", "directory of the search, new or empty; the machines of a cluster share it")
    resume: bool = option(False, "go on with the search in --out where it stopped, or start it there")

    def __post_init__(self):
        model_info(self.model)
        if self.method not in METHODS:
            raise unknown("method", self.method, METHODS)
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"expected {name} >= {least}. Received: {name}={value!r}")
        if not 0 < self.validation < 1:
            raise ValueError(f"expected validation between 0 and 1. Received: validation={self.validation!r}")
        object.__setattr__(self, "dataset", self.run(self.epochs).dataset)

    @property
    def record(self) -> Path:
        """Where the search keeps its configuration."""
        return Path(self.out) / "search.json"

    @property
    def data(self) -> Path:
        """Where the kept and the held-out training images are."""
        return Path(self.out) / "data.npz"

    @property
    def trials_directory(self) -> Path:
        """Where the trials are."""
        return Path(self.out) / "trials"

    def run(self, epochs: int) -> TrainConfig:
        """Returns what the runs of the search share: one period of the cosine after a warm-up of a tenth of their epochs,
        on one device: networks of this size train side by side."""
        names = ("dataset", "model", "batch_size", "augment", "seed", "image_size")
        shared = TrainConfig(**{name: getattr(self, name) for name in names}, epochs=epochs)
        return replace(shared, schedule="cosine", warmup_epochs=epochs / 10, strategy="one")

    def check_same(self) -> None:
        """Raises unless the search in `out` is this one, but for what one that goes on may change."""
        found = json.loads(self.record.read_text())["config"]
        for name in (field.name for field in fields(self) if field.name not in FREE):
            if getattr(self, name) != found.get(name):
                expected, received = (f"{name}={value!r}" for value in (found.get(name), getattr(self, name)))
                raise ValueError(f"expected {expected}, of the search in '{self.out}'. Received: {received}")

    def to_dict(self) -> dict:
        """Returns the fields as JSON-ready values."""
        return asdict(self)
