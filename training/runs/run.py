"""The run directory: the files that a training run writes, and how later commands read them.

run.json      versions, command, configuration, data, model, result
last.keras    the newest model: after the last epoch, or where Ctrl-C or SIGTERM stopped the run
best.keras    the model after the epoch with the best accuracy or PSNR on the validation images, or else on the test images
              Both are compiled for use: with the optimiser of the run as before its first step, at the starting rate.
samples.npz   a few training and test images, for commands that run without the data set (see `data.samples`)
log.csv       one row per epoch
curves.png    loss, error or PSNR, and learning rate
functions.png the first test pairs and what the network makes of them, if it maps functions to functions
tensorboard/  event files
checkpoints/  a stopped run resumes from here (see `checkpoint`)
"""

import csv
import inspect
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_mgnet.errors import check_known
from keras_mgnet.loading import load_model
from keras_mgnet.registry import families
from keras_mgnet.schema import read_json
from keras_mgnet.trained import RECORD, WEIGHTS, read_weights, trained_folder, trained_names
from keras_mgnet.training.runs.record import Record

CHECKPOINTS = ("last", "best")
SAMPLES = "samples.npz"
# Fields of a configuration that may differ in a resumed run.
OF_THE_MACHINE = (
    *("out", "resume", "strategy", "cpu_devices", "keep", "checkpoint_steps", "log", "steps_per_execution", "stream"),
)


@dataclass(frozen=True)
class Run:
    """A run directory and the content of its run.json."""

    path: Path
    record: Record  # the content of run.json
    written: bool = False  # whether this process trained the run and wrote its directory

    @property
    def class_names(self) -> list[str]:
        """Names of the classes."""
        return self.record["data"]["class_names"]

    @property
    def normalization(self) -> tuple[list[float], list[float]]:
        """(mean, std) per channel with which the model was trained, for pixels scaled to [0, 1]."""
        return self.record["data"]["mean"], self.record["data"]["std"]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of an image."""
        return tuple(self.record["data"]["input_shape"])

    @property
    def judge(self) -> str:
        """Which images choose the best epoch and give the columns val_* of the log: "validation" or "test"."""
        return "validation" if "val" in self.record["data"] else "test"

    def load_model(self, checkpoint: str = "last") -> keras.Model:
        """Loads the "last" or "best" model. Raises ValueError if the file is missing or is not the model of run.json."""
        check_known("checkpoint", checkpoint, CHECKPOINTS)
        if "trained" in self.record:
            return self._of_the_package(checkpoint)
        file = self.path / f"{checkpoint}.keras"
        if not file.is_file():
            raise ValueError(f"no such checkpoint: '{file}'")
        model = load_model(file)
        received = model_config(model)
        expected = _since_added(received, type(model)) | self.record["model"]["config"]
        if expected != received:
            fields = [key for key in expected | received if expected.get(key) != received.get(key)]
            raise ValueError(
                f"expected {file} to hold the model of its run.json. Received: different {', '.join(fields)} "
                f"({', '.join(f'{received.get(key)!r} instead of {expected.get(key)!r}' for key in fields[:3])})"
            )
        return model

    def _of_the_package(self, checkpoint: str) -> keras.Model:
        if checkpoint != "last":
            raise ValueError(f"expected checkpoint='last' of a trained network. Received: {checkpoint!r}")
        model = families()[self.record["model"]["family"]].from_config(self.record["model"]["config"])
        model.set_weights(read_weights(self.path / WEIGHTS, self.record["trained"]["sha256"]))
        return model


def open_run(path: str | Path) -> Run:
    """Opens a run directory, or a trained network of the package by its name. Raises ValueError for any other path.

    Example:
        >>> open_run("nowhere")
        Traceback (most recent call last):
            ...
        ValueError: expected a run directory, with a run.json in it. Received: 'nowhere'
    """
    if str(path) in trained_names() and not Path(path).exists():
        path = trained_folder(str(path))
    file = Path(path) / RECORD
    if not file.is_file():
        raise ValueError(f"expected a run directory, with a run.json in it. Received: '{path}'")
    advice = "run.json to be the record of a run; restore it, or train anew in another directory"
    return Run(Path(path), read_json(file, Record, advice))


def new_run_directory(out: str | None, dataset: str, model: str) -> Path:
    """Returns the directory of a new run: `out`, or by default runs/DATASET-MODEL-NUMBER with the first free number.

    Raises ValueError if `out` is a file, or a directory with files that are not hidden.
    """
    if out is None:
        form, _, place = dataset.partition(":")
        stem = re.sub(r"[^\w.-]+", "_", f"{form}{place and '_' + Path(place).name}-{model}")
        taken = {path.name for path in Path("runs").glob(f"{stem}-*")}
        number = next(n for n in range(1, len(taken) + 2) if f"{stem}-{n:03d}" not in taken)
        return Path("runs") / f"{stem}-{number:03d}"
    path = Path(out)
    if any(path.glob("[!.]*")) or path.is_file():
        raise ValueError(f"expected a new or empty run directory. Received: '{path}'{_owner(path)}")
    return path


def model_config(model: keras.Model) -> dict[str, Any]:
    """Returns the constructor arguments of a model as run.json stores them, without the recipe, which has a field of its own.

    `pooling` has no effect on a classifier. It is stored as "avg", its former default, so that old runs compare equal.
    """
    config = json.loads(json.dumps({key: value for key, value in model.get_config().items() if key != "recipe"}))
    return config | {"pooling": "avg"} if "pooling" in config else config


def _since_added(config: dict[str, Any], family: type[keras.Model]) -> dict[str, Any]:
    """Returns the default values of the arguments in `config`. They replace the arguments that an older run.json lacks."""
    parameters = inspect.signature(family).parameters
    defaults = {key: parameters[key].default for key in config if key in parameters}
    return json.loads(json.dumps(defaults, default=str))


def without_later(config: dict[str, Any], recorded: Mapping[str, Any], family: type[keras.Model]) -> dict[str, Any]:
    """Returns `config` without arguments at their default that are missing in `recorded`, the config of an older run.json."""
    defaults = _since_added(config, family)
    later = {key for key in defaults if key not in recorded}
    return {key: value for key, value in config.items() if key not in later or value != defaults[key]}


def read_log(path: Path, needed: Collection[str] = ()) -> list[dict[str, float]]:
    """Returns the rows of a log.csv, one per finished epoch. Returns no rows if the file does not exist.

    Raises ValueError if a value is not a number, or a row lacks a column in `needed`.
    """
    if not path.is_file():
        return []
    try:
        with path.open(newline="") as file:
            rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
        if missing := [key for key in needed for row in rows if key not in row]:
            raise ValueError(f"no {missing[0]}")
    except (ValueError, TypeError, csv.Error) as error:  # a surplus value is a list, a missing one None
        raise ValueError(f"expected log.csv to have numbers for each epoch. Received: '{path}' ({error})") from error
    return rows


def _owner(path: Path) -> str:
    try:
        record = open_run(path).record
    except ValueError:
        return ", which holds other files"
    return f", a run of {record['config']['model']} on {record['config']['dataset']}"
