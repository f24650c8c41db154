"""From a configuration to all that a run needs, checked and built, with nothing written yet."""

import datetime
import hashlib
import shlex
import sys
from dataclasses import dataclass, replace
from typing import Any

import keras

from keras_mgnet.describe import count_params
from keras_mgnet.layers.norm import synchronize_norms
from keras_mgnet.recipes import Recipe, recipe
from keras_mgnet.registry import create_model, model_info
from keras_mgnet.training.config import JIT_COMPILE, TrainConfig
from keras_mgnet.training.data import Dataset, load
from keras_mgnet.training.objective import compile_model
from keras_mgnet.training.pipeline import steps_per_epoch
from keras_mgnet.training.rundir import model_config, versions
from keras_mgnet.training.strategy import Strategy, connect


@dataclass(frozen=True)
class Prepared:
    """All that a run needs.

    Attributes:
        config: the configuration with the recipe's values filled in.
        data: the data set.
        model: the network, built and compiled within the strategy.
        recipe: how it is trained.
        steps: per epoch.
        strategy: the devices it is trained on.
        rate: learning rate of a step.
    """

    config: TrainConfig
    data: Dataset
    model: keras.Model
    recipe: Recipe
    steps: int
    strategy: Strategy
    rate: keras.optimizers.schedules.LearningRateSchedule


def prepare(config: TrainConfig, strategy: Strategy | None = None) -> Prepared:
    """Loads the data and builds the compiled model of a configuration; writes nothing.

    Args:
        config: the configuration.
        strategy: the devices; None for one.

    Raises:
        ValueError: for a configuration that cannot work.
    """
    strategy = strategy or connect("one")
    row = model_info(config.model)
    data = load(config.dataset, image_size=config.image_size, on_corrupt=config.on_corrupt)
    chosen = recipe(config.recipe or row.recipe)
    config = config.resolve(chosen, data.input_shape[-1])
    for split in (data.train, data.test):
        strategy.check(config.batch_size, len(split.labels), config.sync_norms, JIT_COMPILE[config.jit_compile])
    if config.reproducible:
        _make_deterministic()
    keras.utils.set_random_seed(config.seed)
    images = {"input_shape": data.input_shape, "classes": data.classes}
    stem = {} if row.kwargs["stem"] != "imagenet" or min(data.input_shape[:2]) >= 64 else {"stem": "cifar"}
    steps = steps_per_epoch(data.train, config.batch_size)
    factor = strategy.replicas if config.scale_learning_rate else 1
    with strategy.scope():
        model = create_model(config.model, dtype=config.dtype, **images, **{**stem, **config.set})
        if config.sync_norms:
            synchronize_norms(model)
        rate = compile_model(model, replace(config, learning_rate=factor * config.learning_rate), chosen, steps)
    return Prepared(config, data, model, chosen, steps, strategy, rate)


def record(prepared: Prepared) -> dict[str, Any]:
    """Returns what run.json says of a run before it begins."""
    data, model, config = prepared.data, prepared.model, prepared.config
    return {
        "created": now(),
        "command": shlex.join(["keras-mgnet", *sys.argv[1:]]),
        "versions": versions(),
        "config": config.to_dict(),
        "recipe": prepared.recipe.source,
        "training": {
            "nesterov": prepared.recipe.nesterov,
            "decayed": prepared.recipe.decayed,
            "milestones": list(prepared.recipe.milestones) if config.schedule == "step" else [],
            "replicas": prepared.strategy.replicas,
        },
        "data": {
            "input_shape": list(data.input_shape),
            "class_names": list(data.class_names),
            "mean": list(data.mean),
            "std": list(data.std),
            "train": len(data.train.labels),
            "test": len(data.test.labels),
            "sha256": _digest(data),
        },
        "model": {"family": type(model).__name__, "params": count_params(model), "config": model_config(model)},
        "result": {"status": "running"},
    }


def now() -> str:
    """Returns the time, as run.json has it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _make_deterministic() -> None:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def _digest(data: Dataset) -> str:
    digest = hashlib.sha256()
    for split in (data.train, data.test):
        digest.update(memoryview(split.images).cast("B"))
        digest.update(memoryview(split.labels).cast("B"))
    return digest.hexdigest()
