"""Writes the files of a run while it trains: record, log, models and checkpoints."""

import csv
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
from keras.optimizers import LossScaleOptimizer

from keras_mgnet.extras import extra
from keras_mgnet.files import clear_staged, room_on_disk, staged_file, write_json
from keras_mgnet.models.network import Network
from keras_mgnet.training.data.dataset import Dataset
from keras_mgnet.training.data.denoise import CleanImages
from keras_mgnet.training.data.functions import FunctionPairs
from keras_mgnet.training.data.samples import write_samples
from keras_mgnet.training.runs.checkpoint import Checkpoints, DamagedCheckpointError
from keras_mgnet.training.runs.ema import averaged_weights
from keras_mgnet.training.runs.plots import plot_curves
from keras_mgnet.training.runs.run import SAMPLES
from keras_mgnet.training.runs.state import Progress, State, capture, restore


class RunWriter:
    """A context that writes a run directory (see `runs.run`).

    Entering the context raises ValueError if another process is writing the directory. `keep` is the number of newest checkpoints
    to keep. The checkpoint of the best epoch is kept too. `run` is the `identity.digest` of the run. `events` says whether
    to write TensorBoard's events.
    """

    def __init__(self, directory: Path, keep: int, run: str, events: bool = True):
        self.directory, self.keep = directory, keep
        self._tensorboard = extra("tensorboard.summary", "tensorboard") if events else None
        self.checkpoints = Checkpoints(directory / "checkpoints", run, State)

    def __enter__(self) -> "RunWriter":
        self.directory.mkdir(parents=True, exist_ok=True)
        self.lock = os.open(self.directory, os.O_RDONLY)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self.lock)
            raise ValueError(f"expected no other process in the run directory. Received: '{self.directory}'") from error
        for folder in (self.directory, self.checkpoints.directory):
            clear_staged(folder)
        return self

    def __exit__(self, *error) -> None:
        if "_events" in vars(self):
            self._events.close()
        os.close(self.lock)

    def take_up(self, model: keras.Model) -> Progress:
        """Restores a model from the newest intact checkpoint, if there is one, and returns the progress at that point."""
        found = self.checkpoints.newest()
        if found is None:
            return Progress()
        _, arrays, progress = found
        restore(model, arrays)
        return progress

    def catch_up(self, model: keras.Model, progress: Progress) -> None:
        """Rewrites models, log and events from the restored checkpoint. A kill may have left files of another step."""
        self.log(progress)
        self.events(progress, 0)
        self._save(model, "last")
        if progress.best_name is None:
            return
        with suppress(DamagedCheckpointError), self.best_epoch(model, progress):
            self._save(model, "best")

    @contextmanager
    def best_epoch(self, model: keras.Model, progress: Progress) -> Iterator[None]:
        """A context in which a model has its state after the best epoch. Raises DamagedCheckpointError for a damaged state."""
        newest = capture(model)
        best, _ = self.checkpoints.read(progress.best_name)
        restore(model, best)
        try:
            yield
        finally:
            restore(model, newest)

    def end_epoch(self, model: keras.Model, progress: Progress) -> None:
        """Writes the files of a finished epoch: first the checkpoint, then the files that can be rebuilt from the checkpoint."""
        self.checkpoint(model, progress)
        self._save(model, "last")
        if progress.best == progress.epoch - 1:
            self.copy_best()
        self.log(progress)
        self.events(progress, progress.epoch - 1)

    def stop(self, model: keras.Model, progress: Progress) -> None:
        """Writes the files of a run that stops within an epoch."""
        self.checkpoint(model, progress)
        self._save(model, "last")

    def record(self, content: dict[str, Any]) -> None:
        """Writes run.json."""
        write_json(self.directory / "run.json", content)

    def checkpoint(self, model: keras.Model, progress: Progress) -> None:
        """Writes a checkpoint, then removes old ones. If weights are not finite, raises `DivergenceError` and writes nothing."""
        self.checkpoints.write(progress.name, capture(model), progress.to_dict())
        self.checkpoints.prune(progress.name, self.keep, [progress.best_name])

    def save(self, model: Network, name: str) -> None:
        """Writes NAME.keras, compiled for use. The checkpoint has the state of the optimiser."""
        with fresh_optimizer(model):
            model.save(self.directory / f"{name}.keras")

    def copy_best(self) -> None:
        """Copies last.keras to best.keras."""
        with staged_file(self.directory / "best.keras") as staged:
            shutil.copyfile(self.directory / "last.keras", staged)

    def samples(self, data: Dataset | CleanImages | FunctionPairs) -> None:
        """Writes samples.npz, unless it is there."""
        if not (self.directory / SAMPLES).exists():
            write_samples(self.directory / SAMPLES, data)

    def log(self, progress: Progress) -> None:
        """Writes log.csv, which counts epochs from 1."""
        if not progress.rows:
            return
        with staged_file(self.directory / "log.csv") as staged, staged.open("w", newline="") as file:
            table = csv.DictWriter(file, progress.rows[0])
            table.writeheader()
            table.writerows(row | {"epoch": row["epoch"] + 1} for row in progress.rows)

    def events(self, progress: Progress, first: int) -> None:
        """Adds the epochs from `first` on to TensorBoard's events. With `first` = 0, first deletes the old events."""
        if self._tensorboard is None or not progress.rows:
            return
        if first == 0:
            shutil.rmtree(self.directory / "tensorboard", ignore_errors=True)
        with room_on_disk(self.directory):
            for epoch, row in enumerate(progress.rows[first:], first):
                for key, value in row.items():
                    self._events.add_scalar(f"epoch_{key}", value, epoch)
            self._events.flush()

    def draw(self, title: str, judge: str, more: Callable[[Path], None]) -> None:
        """Draws the curves of the finished epochs (see `plot_curves`), and what `more` draws into the directory."""
        if (self.directory / "log.csv").is_file():
            plot_curves(self.directory / "log.csv", self.directory / "curves.png", title, judge)
            more(self.directory)

    def _save(self, model: keras.Model, name: str) -> None:
        with averaged_weights(model):  # in all workers: they assign mirrored variables together
            self.save(model, name)

    @cached_property
    def _events(self):
        return self._tensorboard.Writer(str(self.directory / "tensorboard"))


@contextmanager
def fresh_optimizer(model: Network) -> Iterator[None]:
    """While open, a model has the optimiser of its recipe as before the first step, with the starting rate and no schedule.

    At the end of a schedule the rate is almost 0, so whoever trains the saved model on would change no weight.
    """
    trained, fresh = model.optimizer, model.recipe.optimizer()
    if isinstance(trained, LossScaleOptimizer):
        fresh = LossScaleOptimizer(fresh)
        fresh.build(model.trainable_variables)  # Keras cannot load such an optimiser unbuilt
    model.optimizer = fresh
    try:
        yield
    finally:
        model.optimizer = trained


class Follower(RunWriter):
    """Replaces `RunWriter` in every worker except the chief. A follower does the same work, but writes nothing."""

    def __enter__(self) -> "Follower":
        return self

    def __exit__(self, *error) -> None:
        """Does nothing, because no file is open."""

    def _nothing(self, *what) -> None:
        """Replaces the methods that write."""

    record = save = copy_best = samples = log = events = draw = _nothing

    def checkpoint(self, model: keras.Model, progress: Progress) -> None:
        capture(model)  # raises as in the writer if weights are not finite
