"""What happens at the end of each epoch and step: checkpoints written whole, and a progress line with images per second."""

import signal
import threading
import time
from pathlib import Path

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from keras_mgnet.files import staged_file


def save_model(model: keras.Model, path: Path) -> None:
    """Writes a .keras file whole."""
    with staged_file(path) as staged:
        model.save(staged)


class Checkpoints(keras.callbacks.Callback):
    """Writes last.keras after every epoch and best.keras where the test accuracy is the highest so far.

    Args:
        directory: of the run.
    """

    def __init__(self, directory: Path):
        super().__init__()
        self.directory = directory
        self.best = -1.0

    def on_epoch_end(self, epoch, logs=None):
        save_model(self.model, self.directory / "last.keras")
        if logs["val_accuracy"] > self.best:
            self.best = logs["val_accuracy"]
            save_model(self.model, self.directory / "best.keras")


class InterruptAtStep(keras.callbacks.Callback):
    """While open, turns Ctrl-C into a KeyboardInterrupt at the end of the running step; a second one interrupts at once.

    Raised by the signal itself, the exception could land in a destructor, where Python drops it, or half-way through an
    update of the weights.
    """

    def __init__(self):
        super().__init__()
        self.requested = False

    def __enter__(self):
        self.handles_signals = threading.current_thread() is threading.main_thread()
        if self.handles_signals:
            self.previous = signal.signal(signal.SIGINT, self._request)
        return self

    def __exit__(self, *error):
        if self.handles_signals:
            signal.signal(signal.SIGINT, self.previous)

    def on_train_batch_end(self, batch, logs=None):
        if self.requested:
            raise KeyboardInterrupt

    on_test_batch_end = on_train_batch_end

    def _request(self, number, frame):
        self.requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)


class EpochRecord(keras.callbacks.Callback):
    """Adds to the logs of each epoch: the learning rate of its first step, seconds and images per second of its training.

    Args:
        images: number of training images.
    """

    def __init__(self, images: int):
        super().__init__()
        self.images = images

    def on_epoch_begin(self, epoch, logs=None):
        self.rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self.start = time.perf_counter()

    def on_test_begin(self, logs=None):
        self.seconds = time.perf_counter() - self.start

    def on_epoch_end(self, epoch, logs=None):
        logs["learning_rate"] = self.rate
        logs["seconds"] = round(self.seconds, 3)
        logs["images_per_second"] = round(self.images / self.seconds, 1)


class ProgressLine(keras.callbacks.Callback):
    """A progress bar over the steps of the run and one line per epoch.

    Args:
        console: where to print.
        epochs: of the run.
        steps: per epoch.
        batch_size: images per step.
    """

    def __init__(self, console: Console, epochs: int, steps: int, batch_size: int):
        super().__init__()
        self.console, self.epochs, self.steps, self.batch_size = console, epochs, steps, batch_size
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"))
        self.progress = Progress(*columns, TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), console=console)

    def on_train_begin(self, logs=None):
        self.task = self.progress.add_task("", total=self.epochs * self.steps, rate="")
        self.progress.start()

    def on_epoch_begin(self, epoch, logs=None):
        self.progress.update(self.task, description=f"epoch {epoch + 1}/{self.epochs}")
        self.start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        rate = (batch + 1) * self.batch_size / (time.perf_counter() - self.start)
        self.progress.update(self.task, advance=1, rate=f"{rate:,.0f} images/s")

    def on_epoch_end(self, epoch, logs=None):
        width = len(str(self.epochs))
        self.progress.console.print(
            f"epoch {epoch + 1:>{width}}  loss {logs['loss']:.4f}  accuracy {logs['accuracy']:.2%}  "
            f"test loss {logs['val_loss']:.4f}  test accuracy {logs['val_accuracy']:.2%}  "
            f"rate {logs['learning_rate']:.2g}  {logs['images_per_second']:,.0f} images/s",
            highlight=False,
            soft_wrap=True,
        )

    def stop(self) -> None:
        """Ends the bar, also after an error."""
        self.progress.stop()
