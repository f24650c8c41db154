"""What happens between two training steps: stop on a signal, stop on divergence, write a checkpoint, move the progress bar."""

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import keras
from rich.console import Console
from rich.progress import TextColumn

from keras_mgnet.console import progress_bar
from keras_mgnet.training.runs import state
from keras_mgnet.training.runs.measure import measure_of

CHECK_EVERY = 50  # steps between two checks of the loss, each of which makes the host wait for a GPU
DIVERGED = 10  # a loss of more than this many times the task's `trivial_loss` counts as divergence


class Stopped(KeyboardInterrupt):
    """Raised when a signal asks a run to stop. Holds the progress after the run's last step."""

    def __init__(self, progress: state.Progress):
        super().__init__(progress.name)
        self.progress = progress


class StopSignals:
    """A context that remembers the first SIGINT (Ctrl-C) or SIGTERM (pre-emption). A second signal interrupts at once.

    The first signal raises no exception. Python would drop an exception inside a destructor, and an exception inside an update of
    the weights would leave the update half done.
    """

    HANDLED = (signal.SIGINT, signal.SIGTERM)

    def __init__(self):
        self.received: signal.Signals | None = None

    def __enter__(self) -> "StopSignals":
        self.previous = {}
        if threading.current_thread() is threading.main_thread():
            self.previous = {number: signal.signal(number, self._receive) for number in self.HANDLED}
        return self

    def __exit__(self, *error) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame) -> None:
        self.received = signal.Signals(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@dataclass(eq=False, kw_only=True)
class StepWatch(keras.callbacks.Callback):
    """Watches the steps of one epoch: shows progress, writes checkpoints, stops on request, and detects divergence.

    Raises:
        Stopped: after the current step, if the run was asked to stop.
        DivergenceError: if the mean loss is not finite, or more than ten times `trivial_loss`.
    """

    start: state.Progress  # where the epoch starts or resumes
    batch_size: int  # images per step; the last step of an epoch takes the rest of `images`
    images: int  # per epoch
    trivial_loss: float  # loss of a model that has learned nothing, see `task`
    stop_asked: Callable[[], bool]  # returns the same for all workers
    save_every: int | None  # steps between two calls of `save`
    save: Callable[[state.Progress], None]
    bar: "ProgressBar"

    def __post_init__(self):
        super().__init__()

    def on_train_begin(self, logs=None):
        self.begun, self.step = time.perf_counter(), self.start.step

    def on_train_batch_end(self, batch, logs=None):
        before, self.step = self.step, self.start.step + batch + 1  # several steps, if they run without returning here
        self.bar.advance(self.step - before, self._trained() / (time.perf_counter() - self.begun))
        is_last = self.step * self.batch_size >= self.images  # the end of the epoch writes a checkpoint of its own
        due = self.save_every is not None and _passed(self.save_every, before, self.step) and not is_last
        stop = self.stop_asked()
        if not (stop or due or _passed(CHECK_EVERY, before, self.step)):
            return
        progress = self.progress(logs)
        if stop:
            raise Stopped(progress)
        if due:
            self.save(progress)

    def progress(self, logs) -> state.Progress:
        """Returns the progress after the current step. `logs` has the mean of each metric since `start`."""
        means = {key: float(value) for key, value in logs.items()}
        highest = DIVERGED * self.trivial_loss
        if not means["loss"] <= highest:
            raise state.DivergenceError(f"expected a loss below {highest:.3g}. Received: {means['loss']:.3g}")
        return self.start.after(self.step, self._trained(), time.perf_counter() - self.begun, means)

    def _trained(self) -> int:
        return min(self.step * self.batch_size, self.images) - self.start.step * self.batch_size


def _passed(every: int, before: int, now: int) -> bool:
    """Returns whether a multiple of `every` lies in before + 1, ..., now."""
    return now // every > before // every


@dataclass(eq=False)
class StopInEvaluation(keras.callbacks.Callback):
    """Ends an evaluation when a signal arrives."""

    progress: state.Progress  # after the last training step of the epoch
    signals: StopSignals

    def __post_init__(self):
        super().__init__()

    def on_test_batch_end(self, batch, logs=None):
        if self.signals.received:
            raise Stopped(self.progress)


class ProgressBar:
    """A context that shows a progress bar over the steps of the run and prints one line per epoch."""

    def __init__(self, console: Console, epochs: int, steps: int, judge: str, examples: str):
        self.bar = progress_bar(console, TextColumn("steps"), TextColumn("{task.fields[rate]}"))
        self.epochs, self.steps, self.judge = epochs, steps, judge
        self.examples = examples  # "images" or "pairs"

    def __enter__(self) -> "ProgressBar":
        self.task = self.bar.add_task("", total=self.epochs * self.steps, rate="")
        self.bar.start()
        return self

    def __exit__(self, *error) -> None:
        self.bar.stop()

    def begin(self, progress: state.Progress) -> None:
        """Shows that an epoch begins or resumes."""
        done = progress.epoch * self.steps + progress.step
        self.bar.update(self.task, completed=done, description=f"epoch {progress.epoch + 1}/{self.epochs}")

    def advance(self, steps: int, images_per_second: float) -> None:
        """Shows more steps."""
        self.bar.update(self.task, advance=steps, rate=f"{images_per_second:,.0f} {self.examples}/s")

    def end(self, row: dict[str, float]) -> None:
        """Prints one line for a finished epoch."""
        measure = measure_of(row)
        trained, tested = (measure.text.format(row[prefix + measure.key]) for prefix in ("", "val_"))
        self.bar.console.out(
            f"epoch {row['epoch'] + 1:>{len(str(self.epochs))}}  loss {row['loss']:.4f}  {trained}  "
            f"{self.judge} loss {row['val_loss']:.4f}  {self.judge} {tested}  "
            f"rate {row['learning_rate']:.2g}  {row['images_per_second']:,.0f} {self.examples}/s",
            highlight=False,
        )
