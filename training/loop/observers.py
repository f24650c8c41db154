"""What others see of a run: the callbacks of users, and experiment trackers such as Weights & Biases and MLflow."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import keras

from keras_mgnet.extras import MLFLOW, WANDB, extra

Tracker = Callable[[str, Path, Mapping[str, Any]], AbstractContextManager[keras.callbacks.Callback]]


@contextmanager
def _wandb(key: str, directory: Path, record: Mapping[str, Any]) -> Iterator[keras.callbacks.Callback]:
    wandb = extra("wandb", WANDB)
    logger = extra("wandb.integration.keras", WANDB).WandbMetricsLogger
    with wandb.init(id=key, resume="allow", name=directory.name, dir=directory, config=dict(record["config"])):
        yield logger()


@contextmanager
def _mlflow(key: str, directory: Path, record: Mapping[str, Any]) -> Iterator[keras.callbacks.Callback]:
    mlflow = extra("mlflow", MLFLOW)
    logger = extra("mlflow.tensorflow.callback", MLFLOW).MlflowCallback
    earlier = mlflow.search_runs(filter_string=f"tags.keras_mgnet = '{key}'", output_format="list")
    named = (
        {"run_id": earlier[0].info.run_id} if earlier else {"run_name": directory.name, "tags": {"keras_mgnet": key}}
    )
    with mlflow.start_run(**named):
        mlflow.log_params(record["config"])
        yield logger()


TRACKERS: dict[str, Tracker] = {"wandb": _wandb, "mlflow": _mlflow}


@contextmanager
def tracked(name: str, directory: Path, record: Mapping[str, Any]) -> Iterator[list[keras.callbacks.Callback]]:
    """A context in which a tracker follows a run. Yields the tracker's own Keras callback, or nothing for an unknown name.

    A resumed run continues the tracker's run: its key is made of when and where the run was begun.
    """
    if name not in TRACKERS:
        yield []
        return
    key = sha256(f"{record['created']} {directory.absolute()}".encode()).hexdigest()[:16]
    with TRACKERS[name](key, directory, record) as callback:
        yield [callback]


def check_tracker(name: str) -> None:
    """Raises ImportError if the package of a tracker is missing."""
    if name in TRACKERS:
        extra(name, f"keras-mgnet[{name}]")


class Observers:
    """Shows a run to Keras callbacks as one call of `fit`, although each epoch is a call of its own.

    A callback may stop the run by `model.stop_training`, as in Keras.
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback], model: keras.Model, epochs: int, steps: int):
        self.model, self._any = model, bool(callbacks)
        self.callbacks = keras.callbacks.CallbackList([*callbacks], model=model, epochs=epochs, steps=steps, verbose=0)

    def __enter__(self) -> "Observers":
        self.model.stop_training = False
        self.callbacks.on_train_begin()
        return self

    def __exit__(self, *error) -> None:
        self.callbacks.on_train_end()

    def begin_epoch(self, epoch: int) -> None:
        """Tells the callbacks that an epoch begins or resumes."""
        self.callbacks.on_epoch_begin(epoch)

    def end_epoch(self, row: Mapping[str, float]) -> bool:
        """Gives the callbacks the row of the log of a finished epoch. Returns whether one of them stops the run."""
        stopped = self.model.stop_training  # within the epoch
        self.callbacks.on_epoch_end(int(row["epoch"]), {key: row[key] for key in row if key != "epoch"})
        return stopped or self.model.stop_training

    def of_steps(self, first: int) -> list[keras.callbacks.Callback]:
        """Returns the callbacks of a call of `fit` whose first step has the number `first` in its epoch."""
        return [_Steps(self.callbacks, first)] if self._any else []


@dataclass(eq=False)
class _Steps(keras.callbacks.Callback):
    callbacks: keras.callbacks.CallbackList
    first: int

    def __post_init__(self):
        super().__init__()

    def on_train_batch_begin(self, batch, logs=None):
        self.callbacks.on_train_batch_begin(self.first + batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        self.callbacks.on_train_batch_end(self.first + batch, logs)
