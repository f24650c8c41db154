"""Checks a configuration and builds all that a run needs, without writing anything."""

import datetime
import hashlib
import json
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_mgnet.description import count_params
from keras_mgnet.errors import existing_file
from keras_mgnet.images import normalize
from keras_mgnet.interop import load_weights
from keras_mgnet.layers.operators.grid_norm import adapt_normalizers, normalizers
from keras_mgnet.layers.operators.norm import synchronize_norms
from keras_mgnet.layers.operators.whitening import IMAGES, whiten, whitenings
from keras_mgnet.loading import load_model
from keras_mgnet.models.weights import load_trained
from keras_mgnet.multigrid.prolongation import prolong
from keras_mgnet.recipes import Recipe, recipe
from keras_mgnet.registry import create_model, model_info
from keras_mgnet.trained import trained_names
from keras_mgnet.training.data.arrays import draw
from keras_mgnet.training.data.dataset import Dataset
from keras_mgnet.training.loop.config import JIT_COMPILE, TrainConfig
from keras_mgnet.training.loop.distillation import distil, load_teacher
from keras_mgnet.training.loop.objective import compile_model
from keras_mgnet.training.loop.strategy import Strategy, connect
from keras_mgnet.training.loop.task import Data, Task, load_data, task
from keras_mgnet.training.runs.run import model_config
from keras_mgnet.version import versions


@dataclass(frozen=True)
class Prepared:
    """All that a run needs."""

    config: TrainConfig  # with the recipe's values filled in
    data: Data
    model: keras.Model  # compiled in the strategy's scope
    recipe: Recipe
    steps: int  # per epoch
    strategy: Strategy
    rate: keras.optimizers.schedules.LearningRateSchedule
    task: Task


def prepare(config: TrainConfig, strategy: Strategy | None = None) -> Prepared:
    """Checks a configuration, loads its data and builds its compiled model, by default for one device. Writes nothing."""
    strategy = strategy or connect("one")
    row = model_info(config.model)
    if row.kind != config.kind:
        raise ValueError(f"expected a {config.kind} for {config.dataset}. Received: model={config.model!r}")
    if config.kind != "classifier" and strategy.replicas > 1:
        what = "denoise:DIR" if config.is_denoising else f"a {config.kind}"
        raise ValueError(f"expected one device for {what}; choose strategy one. Received: {strategy.replicas}")
    if config.accumulate > 1 and strategy.replicas > 1:
        raise ValueError(f"expected one device with accumulate; choose strategy one. Received: {strategy.replicas}")
    if config.teacher and strategy.replicas > 1:
        raise ValueError(f"expected one device with a teacher; choose strategy one. Received: {strategy.replicas}")
    data = load_data(config)
    chosen = recipe(config.recipe or row.recipe)
    config = config.resolve(chosen, data.input_shape[-1])
    for count in data.counts:
        strategy.check(config.batch_size, count, config.sync_norms, JIT_COMPILE[config.jit_compile])
    if config.reproducible:
        _make_deterministic()
    keras.utils.set_random_seed(config.seed)
    stem = {} if row.kwargs.get("stem") != "imagenet" or min(data.input_shape[:2]) >= 64 else {"stem": "cifar"}
    steps = -(-data.counts[0] // config.batch_size)
    factor = strategy.replicas if config.scale_learning_rate else 1
    with strategy.scope():
        model = create_model(config.model, dtype=config.dtype, **data.model_arguments, **{**stem, **config.set})
        if config.sync_norms:
            synchronize_norms(model)
        if not config.set.get("weights"):
            if whitenings(model):
                _whiten(model, data)
            if normalizers(model):
                adapt_normalizers(model, data.train.x, data.train.y)
        if not (config.resume and any(Path(config.out).glob("checkpoints/*"))):
            _start(model, config)
        if config.is_denoising:
            _check_turns(config, model.get_layer("level1").nu)
        rate = compile_model(model, replace(config, learning_rate=factor * config.learning_rate), chosen, steps)
        if config.teacher:
            distil(model, load_teacher(config.teacher, data), config.temperature, config.alpha)
    return Prepared(config, data, model, chosen, steps, strategy, rate, task(config, data, model, strategy.share))


def record(prepared: Prepared) -> dict[str, Any]:
    """Returns the content of run.json before the run begins. Raises ValueError for names that are not UTF-8."""
    data, model, config = prepared.data, prepared.model, prepared.config
    content = {
        "created": now(),
        "command": shlex.join(["keras-mgnet", *sys.argv[1:]]),
        "versions": versions(),
        "config": config.to_dict(),
        "recipe": prepared.recipe.source,
        "training": {
            "nesterov": prepared.recipe.nesterov,
            "decayed": prepared.recipe.decayed,
            "beta_rate": prepared.recipe.beta_rate,
            "kernel_rate": prepared.recipe.kernel_rate,
            "milestones": list(prepared.recipe.milestones) if config.schedule == "step" else [],
            "replicas": prepared.strategy.replicas,
        },
        "data": {
            "input_shape": list(data.input_shape),
            "class_names": list(data.class_names),
            "mean": list(data.mean),
            "std": list(data.std),
            **dict(zip(("train", "test", "val"), data.counts, strict=False)),
            "sha256": _digest(data),
        },
        "model": {"family": type(model).__name__, "params": count_params(model), "config": model_config(model)},
        "result": {"status": "running"},
    }
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        received = error.object[max(0, error.start - 20) : error.end]
        raise ValueError(f"expected names and paths in UTF-8. Received: {received!r}") from error
    return content


def now() -> str:
    """Returns the current time in the format of run.json."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _start(model: keras.Model, config: TrainConfig) -> None:
    """Sets the weights that the configuration names to start from, if any."""
    if config.weights in trained_names():
        load_trained(model, config.weights)
    elif config.weights:
        load_weights(model, config.weights, other_classes=True)
    if config.prolong:
        model.set_weights(prolong(load_model(existing_file(config.prolong)), model).get_weights())


def _whiten(model: keras.Model, data: Dataset) -> None:
    images = data.train.images[draw(data.counts[0], IMAGES)]
    whiten(model, normalize(images.astype("float32"), data.mean, data.std))


def _check_turns(config: TrainConfig, stages: int) -> None:
    """Raises ValueError if the run is too short to train every stage alone. The model would be saved with untrained stages."""
    if config.greedy_epochs * stages > config.epochs:
        received = f"greedy_epochs={config.greedy_epochs}, epochs={config.epochs}"
        raise ValueError(f"expected epochs >= greedy_epochs times the {stages} stages. Received: {received}")


def _make_deterministic() -> None:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def _digest(data: Data) -> str:
    digest = hashlib.sha256()
    for array in data.arrays:
        digest.update(memoryview(np.ascontiguousarray(array)).cast("B"))
    return digest.hexdigest()
