"""The training loop: from a configuration to a run directory."""

import datetime
import math
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from rich.console import Console

from keras_mgnet.describe import count_params
from keras_mgnet.files import workspace, write_json
from keras_mgnet.optimizers import SGD
from keras_mgnet.recipes import Recipe, recipe
from keras_mgnet.registry import create_model, model_info
from keras_mgnet.training.callbacks import Checkpoints, EpochRecord, InterruptAtStep, ProgressLine, save_model
from keras_mgnet.training.config import JIT_COMPILE, TrainConfig
from keras_mgnet.training.data import Dataset, load
from keras_mgnet.training.pipeline import steps_per_epoch, test_batches, train_batches
from keras_mgnet.training.plots import plot_curves
from keras_mgnet.training.rundir import Run, model_config, new_run_directory, open_run, read_log, versions
from keras_mgnet.training.schedule import schedule


@dataclass(frozen=True)
class Prepared:
    """All that a run needs, checked and built, with nothing written yet."""

    config: TrainConfig
    data: Dataset
    model: keras.Model
    recipe: Recipe
    steps: int


def train(config: TrainConfig, console: Console | None = None) -> Run:
    """Trains a model and writes its run directory (see `rundir`).

    Ctrl-C ends the run early with a usable last checkpoint; run.json then says "interrupted".

    Args:
        config: the configuration; what it leaves open comes from the model's recipe.
        console: where progress is shown; None for standard error.

    Raises:
        ValueError: for a configuration, data set or path that cannot work, before anything is written.

    Example:
        >>> run = train(TrainConfig("digits", set={"channels": 4, "nu": [1]}, epochs=1, out=tmp))  # doctest: +SKIP
        >>> run.record["result"]["status"]  # doctest: +SKIP
        'finished'
    """
    console = console or Console(stderr=True)
    directory = new_run_directory(config.out, config.dataset, config.model)
    with workspace(directory):  # a directory that cannot be written stops here; a refused configuration leaves none
        prepared = prepare(config)
        record = _record(prepared)
        write_json(directory / "run.json", record)
    console.print(_headline(prepared, directory), highlight=False, soft_wrap=True, markup=False)

    start, status = time.perf_counter(), "failed"
    try:
        status = _fit(prepared, directory, console)
    finally:
        seconds = round(time.perf_counter() - start, 1)
        record["result"] = {"status": status, "seconds": seconds, **_outcome(directory)}
        write_json(directory / "run.json", record)
    if record["result"]["epochs"]:
        plot_curves(directory / "log.csv", directory / "curves.png", f"{prepared.model.name} on {config.dataset}")
    return open_run(directory)


def prepare(config: TrainConfig) -> Prepared:
    """Loads the data and builds the compiled model of a configuration; writes nothing."""
    row = model_info(config.model)
    data = load(config.dataset, image_size=config.image_size, on_corrupt=config.on_corrupt)
    chosen = recipe(row.recipe)
    config = config.resolve(chosen, data.input_shape[-1])
    keras.utils.set_random_seed(config.seed)
    images = {"input_shape": data.input_shape, "classes": data.classes}
    stem = {} if row.kwargs["stem"] != "imagenet" or min(data.input_shape[:2]) >= 64 else {"stem": "cifar"}
    model = create_model(config.model, dtype=config.dtype, **images, **{**stem, **config.set})
    steps = steps_per_epoch(data.train, config.batch_size)
    rate = schedule(
        config.schedule,
        config.learning_rate,
        epochs=config.epochs,
        steps_per_epoch=steps,
        warmup_epochs=config.warmup_epochs,
        recipe=chosen,
    )
    optimizer = SGD(rate, config.momentum, chosen.nesterov, config.weight_decay)
    model.compile(optimizer, model.loss, metrics=["accuracy"], jit_compile=JIT_COMPILE[config.jit_compile])
    return Prepared(config, data, model, chosen, steps)


def _fit(prepared: Prepared, directory: Path, console: Console) -> str:
    config, data, model = prepared.config, prepared.data, prepared.model
    constants = {"mean": data.mean, "std": data.std}
    progress = ProgressLine(console, config.epochs, prepared.steps, config.batch_size)
    logs = [
        keras.callbacks.CSVLogger(str(directory / "log.csv")),
        keras.callbacks.TensorBoard(str(directory / "tensorboard"), write_graph=False),
    ]
    try:
        batches = train_batches(
            data.train,
            config.batch_size,
            **constants,
            seed=config.seed,
            augment=config.augment,
            epochs=config.epochs,
        )
        with InterruptAtStep() as interrupt:
            model.fit(
                batches,
                epochs=config.epochs,
                steps_per_epoch=prepared.steps,
                shuffle=False,
                validation_data=test_batches(data.test, config.batch_size, **constants),
                callbacks=[EpochRecord(len(data.train.labels)), *logs, Checkpoints(directory), progress, interrupt],
                verbose=0,
            )
    except BaseException as error:
        for log in logs if getattr(logs[0], "csv_file", None) else []:
            log.on_train_end()  # closes its files
        if not isinstance(error, KeyboardInterrupt):
            raise
        save_model(model, directory / "last.keras")
        return "interrupted"
    finally:
        progress.stop()
    return "finished"


def _record(prepared: Prepared) -> dict[str, Any]:
    data, model = prepared.data, prepared.model
    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["keras-mgnet", *sys.argv[1:]]),
        "versions": versions(),
        "config": prepared.config.to_dict(),
        "recipe": prepared.recipe.source,
        "training": {"nesterov": prepared.recipe.nesterov, "milestones": _milestones(prepared)},
        "data": {
            "input_shape": data.input_shape,
            "class_names": data.class_names,
            "mean": data.mean,
            "std": data.std,
            "train": len(data.train.labels),
            "test": len(data.test.labels),
        },
        "model": {"family": type(model).__name__, "params": count_params(model), "config": model_config(model)},
        "result": {"status": "running"},
    }


def _milestones(prepared: Prepared) -> list[int]:
    return list(prepared.recipe.milestones) if prepared.config.schedule == "step" else []


def _outcome(directory: Path) -> dict[str, Any]:
    rows = read_log(directory / "log.csv")
    if not rows:
        return {"epochs": 0}
    accuracies, loss = [float(row["val_accuracy"]) for row in rows], float(rows[-1]["val_loss"])
    return {
        "epochs": len(rows),
        "last_test_accuracy": accuracies[-1],
        "best_test_accuracy": max(accuracies),
        "best_epoch": 1 + accuracies.index(max(accuracies)),
        "last_test_loss": loss if math.isfinite(loss) else None,
    }


def _headline(prepared: Prepared, directory: Path) -> str:
    config, data = prepared.config, prepared.data
    return (
        f"{prepared.model.name} ({count_params(prepared.model):,} parameters) on {config.dataset} "
        f"({len(data.train.labels):,} training and {len(data.test.labels):,} test images), "
        f"{config.epochs} epochs of {prepared.steps} steps -> {directory}"
    )
