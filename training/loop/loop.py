"""The training loop: trains from a configuration into a run directory, and resumes stopped runs."""

import json
import math
import signal
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras
from rich.console import Console

from keras_mgnet.console import stderr
from keras_mgnet.files import workspace
from keras_mgnet.training.loop.callbacks import ProgressBar, StepWatch, StopInEvaluation, Stopped, StopSignals
from keras_mgnet.training.loop.config import JIT_COMPILE, TrainConfig
from keras_mgnet.training.loop.headline import headline
from keras_mgnet.training.loop.identity import check_same, digest
from keras_mgnet.training.loop.observers import Observers, check_tracker, tracked
from keras_mgnet.training.loop.prepare import Prepared, now, prepare, record
from keras_mgnet.training.loop.strategy import Strategy, connect
from keras_mgnet.training.runs.ema import averaged_weights
from keras_mgnet.training.runs.run import Run, new_run_directory, open_run, without_later
from keras_mgnet.training.runs.state import DivergenceError, Progress
from keras_mgnet.training.runs.writer import Follower, RunWriter

STATUS = {signal.SIGINT: "interrupted", signal.SIGTERM: "preempted"}
STOPPED = {status: 128 + number for number, status in STATUS.items()}  # status of a run that can resume -> exit code
HINT = "lower the learning rate or lengthen the warm-up"


def train(
    config: TrainConfig, console: Console | None = None, callbacks: Sequence[keras.callbacks.Callback] = ()
) -> Run:
    """Trains a model and writes its run directory (see `runs.run`).

    Ctrl-C and SIGTERM end the run after the current step. The run writes a checkpoint, and run.json gets the status "interrupted"
    or "preempted". The status is "diverged" if the loss or a weight is not finite, or if the loss is more than ten times that of
    a model that has learned nothing. The last good checkpoint is then kept. With `resume`, the run continues from the newest
    intact checkpoint. With `reproducible` on a CPU, a resumed run gives bit for bit the result of an uninterrupted run.

    Args:
        config: the configuration.
        console: where to show progress; None for standard error.
        callbacks: Keras callbacks. Their `logs` at the end of an epoch are the row of log.csv, with `val_loss`. A callback that
            sets `model.stop_training` ends the run. In several workers each one calls its own.

    Raises:
        ValueError: if the configuration, the data set or a path is not usable. It is raised before anything is written.

    Example:
        >>> run = train(TrainConfig("digits", set={"channels": 4, "nu": [1]}, epochs=1, out=tmp))  # doctest: +SKIP
        >>> run.record["result"]["status"]  # doctest: +SKIP
        'finished'
    """
    check_tracker(config.log)
    # Must come first: with several workers, TensorFlow installs its own handler of SIGTERM.
    strategy = connect(config.strategy, config.cpu_devices)
    with StopSignals() as signals, strategy.reports_lost_workers():
        directory = _directory(config, strategy)
        # An unwritable directory stops the run here. A refused configuration leaves no directory behind.
        with workspace(directory) if strategy.is_chief else nullcontext():
            prepared = prepare(config, strategy)
            content = _as_recorded(record(prepared), config, directory, type(prepared.model))
            run = digest(content)
        role = RunWriter if strategy.is_chief else Follower
        with role(directory, config.keep, run, config.log == "tensorboard") as writer:
            content = _taken_up(content, config, directory)
            unfinished = content["result"]["status"] != "finished"
            if unfinished:
                content = _Loop(prepared, writer, signals, console or stderr(), callbacks).run(content)
    content = json.loads(json.dumps(content))  # as run.json says, which a follower may not find yet
    return Run(directory, content, written=unfinished and strategy.is_chief)


def _directory(config: TrainConfig, strategy: Strategy) -> Path:
    if strategy.workers > 1 and config.out is None:
        raise ValueError("expected out, a directory that all workers share. Received: out=None")
    if not strategy.is_chief or (config.resume and (Path(config.out) / "run.json").is_file()):
        return Path(config.out)
    return new_run_directory(config.out, config.dataset, config.model)


def _as_recorded(content: dict[str, Any], config: TrainConfig, directory: Path, family: type) -> dict[str, Any]:
    """Returns the record of a run. When resuming, drops model arguments that run.json lacks and that have their defaults."""
    if config.resume and (directory / "run.json").is_file():
        model, then = content["model"], open_run(directory).record["model"]
        content["model"] = model | {"config": without_later(model["config"], then.get("config", {}), family)}
    return content


def _taken_up(content: dict[str, Any], config: TrainConfig, directory: Path) -> dict[str, Any]:
    if not (config.resume and (directory / "run.json").is_file()):
        return content
    found = open_run(directory).record
    check_same(content, found, directory)
    if found["result"]["status"] == "finished":
        return found
    return found | {"resumed": [*found.get("resumed", []), now()]}


class _Loop:
    """A run in progress. `progress` says how far the run has come."""

    def __init__(
        self, prepared: Prepared, writer: RunWriter, signals: StopSignals, console: Console, callbacks: Sequence
    ):
        self.prepared, self.writer, self.signals, self.console = prepared, writer, signals, console
        self.callbacks = callbacks
        self.model, self.strategy, self.config = prepared.model, prepared.strategy, prepared.config
        self.task = prepared.task
        self.progress, self.judge = Progress(), prepared.data.judge

    def run(self, content: dict[str, Any]) -> dict[str, Any]:
        """Runs the remaining epochs. Writes run.json before and after, and returns its final content."""
        if self.config.resume:
            with self.strategy.scope():
                self.progress = self.writer.take_up(self.model)
            if self.progress.epoch or self.progress.step:
                self.writer.catch_up(self.model, self.progress)
        jit_compile = "off" if self.config.reproducible else self.config.jit_compile
        self.strategy.install(self.model, JIT_COMPILE[jit_compile])
        self.writer.record(content | {"result": {"status": "running"}})
        self.writer.samples(self.prepared.data)
        self.console.out(headline(self.prepared, self.writer.directory, self.progress), highlight=False)
        begun, result = time.perf_counter() - self.progress.seconds, {"status": "failed"}
        try:
            log = self.config.log if self.strategy.is_chief else "none"
            with tracked(log, self.writer.directory, content) as trackers, self.task.reading():
                result = self._epochs([*self.callbacks, *trackers])
        except DivergenceError as error:
            result = {"status": "diverged", "reason": str(error), "hint": HINT}
        except KeyboardInterrupt:  # a second Ctrl-C
            result = {"status": "interrupted"}
        finally:
            seconds = round(time.perf_counter() - begun, 1)
            content = content | {"result": {**result, "seconds": seconds, **_outcome(self.progress, self.judge)}}
            self.writer.record(content)
        self.writer.draw(f"{self.model.name} on {self.config.dataset}", self.judge, self.task.draw)
        return content

    def _epochs(self, callbacks: Sequence[keras.callbacks.Callback]) -> dict[str, Any]:
        epochs, steps = self.config.epochs, self.prepared.steps
        try:
            with (
                Observers(callbacks, self.model, epochs, steps) as observers,
                ProgressBar(self.console, epochs, steps, self.judge, self.task.examples) as bar,
            ):
                for epoch in range(self.progress.epoch, epochs):
                    bar.begin(self.progress)
                    observers.begin_epoch(epoch)
                    self.task.begin_epoch(epoch)
                    if self.progress.step < steps:
                        self.progress = self._train(bar, observers)
                    self.progress = self._end_epoch()
                    bar.end(self.progress.rows[-1])
                    if observers.end_epoch(self.progress.rows[-1]):
                        break
            return {"status": "finished", **self._test()}
        except Stopped as stopped:
            self.progress = stopped.progress
            self.strategy.average_statistics(self.model)
            self.writer.stop(self.model, self.progress)
            # SIGTERM if another worker received the signal
            return {"status": STATUS[self.signals.received or signal.SIGTERM]}

    def _train(self, bar: ProgressBar, observers: Observers) -> Progress:
        config, start = self.config, self.progress
        batches = self.task.train_batches(start.epoch, start.step)
        watch = StepWatch(
            start=start,
            batch_size=config.batch_size,
            images=self.prepared.data.counts[0],
            trivial_loss=self.task.trivial_loss,
            stop_asked=lambda: self.strategy.agree(self.signals.received is not None),
            save_every=config.checkpoint_steps,
            save=self._save,
            bar=bar,
        )
        steps = self.prepared.steps - start.step
        history = self.model.fit(
            self.strategy.distribute(batches),
            steps_per_epoch=steps,
            shuffle=False,
            callbacks=[watch, *observers.of_steps(start.step)],
            verbose=0,
        )
        return watch.progress({key: values[-1] for key, values in history.history.items()})

    def _save(self, progress: Progress) -> None:
        self.strategy.average_statistics(self.model)
        self.writer.checkpoint(self.model, progress)

    def _end_epoch(self) -> Progress:
        begun = time.perf_counter()
        self.strategy.average_statistics(self.model)
        judged = self._evaluate(self.task.judge_batches())
        images, seconds = self.progress.sums["images"], self.progress.sums["seconds"]
        row = {
            "epoch": self.progress.epoch,
            **self.progress.means(),
            **{f"val_{key}": value for key, value in judged.items()},
            "learning_rate": float(
                self.prepared.rate(self.progress.epoch * self.prepared.steps // self.config.accumulate)
            ),
            "seconds": round(seconds, 3),
            "images_per_second": round(images / seconds, 1),
        }
        progress = self.progress.next_epoch(row, time.perf_counter() - begun)
        self.writer.end_epoch(self.model, progress)
        return progress

    def _test(self) -> dict[str, float | None]:
        """Evaluates last.keras and best.keras on the test images, unless these have chosen the best epoch."""
        if self.judge == "test":
            return {}
        last = best = self._evaluate(self.task.test_batches())
        if self.progress.best < self.progress.epoch - 1:
            with self.writer.best_epoch(self.model, self.progress):
                best = self._evaluate(self.task.test_batches())
        return _results("test", last, best)

    def _evaluate(self, batches: Iterable) -> dict[str, float]:
        with averaged_weights(self.model):
            return self.model.evaluate(
                self.strategy.distribute(batches),
                callbacks=[StopInEvaluation(self.progress, self.signals)] if self.strategy.workers == 1 else [],
                return_dict=True,
                verbose=0,
            )


def _outcome(progress: Progress, judge: str) -> dict[str, Any]:
    if progress.best is None:
        return {"epochs": 0}
    last, best = (
        {key.removeprefix("val_"): value for key, value in progress.rows[epoch].items() if key.startswith("val_")}
        for epoch in (-1, progress.best)
    )
    return {"epochs": progress.epoch, **_results(judge, last, best), "best_epoch": 1 + progress.best}


def _results(images: str, last: dict[str, float], best: dict[str, float]) -> dict[str, float | None]:
    loss = last["loss"]
    return {
        **{f"last_{images}_{key}": last[key] for key in last if key != "loss"},
        **{f"best_{images}_{key}": best[key] for key in best if key != "loss"},
        f"last_{images}_loss": loss if math.isfinite(loss) else None,
    }
