"""What a run minimises and by which steps: loss, metric and optimiser of a compiled model."""

from dataclasses import replace

import keras
from keras.losses import CategoricalCrossentropy, SparseCategoricalCrossentropy
from keras.metrics import CategoricalAccuracy, SparseCategoricalAccuracy
from keras.optimizers.schedules import LearningRateSchedule

from keras_mgnet.recipes import AUGMENTATIONS, Recipe
from keras_mgnet.training.loop.config import JIT_COMPILE, TrainConfig

NUMBERS = ("learning_rate", "warmup_epochs", "momentum", "weight_decay", "ema")


def compile_model(
    model: keras.Model, config: TrainConfig, recipe: Recipe, steps_per_epoch: int
) -> LearningRateSchedule:
    """Compiles a model for a run; to be called inside the scope of its strategy.

    A denoiser keeps its own loss and metric. Of a classifier the loss is the cross-entropy with integer labels, or with one-hot
    labels where they are smoothed or mixed (the smoothing itself is done to the labels of training, so that a test loss is a
    cross-entropy). The metric is called "accuracy" in both cases. The recipe says what the resolved configuration does not: SGD
    or Adam, milestones, Nesterov's step, and which variables decay. Returns the learning rate over the steps.
    """
    numbers = {name: getattr(config, name) for name in NUMBERS}
    recipe = replace(recipe.scaled(config.epochs), curve=config.schedule, **numbers)
    rate = recipe.schedule(steps_per_epoch)
    loss, metrics = (model.loss, type(model).frame.measures()) if config.is_denoising else _of_classes(model, config)
    model.compile(recipe.optimizer(rate), loss, metrics=metrics, jit_compile=JIT_COMPILE[config.jit_compile])
    return rate


def _of_classes(model: keras.Model, config: TrainConfig) -> tuple[keras.losses.Loss, list[keras.metrics.Metric]]:
    one_hot = config.label_smoothing > 0 or AUGMENTATIONS[config.augment].cut_mix
    loss = (CategoricalCrossentropy if one_hot else SparseCategoricalCrossentropy)(from_logits=model.loss.from_logits)
    return loss, [(CategoricalAccuracy if one_hot else SparseCategoricalAccuracy)(name="accuracy")]


def label_classes(model: keras.Model, classes: int) -> int | None:
    """Returns the length of the one-hot labels that a compiled model takes, None where it takes integer labels.

    Example:
        >>> from keras_mgnet import MgNet
        >>> label_classes(MgNet(channels=2), 10) is None
        True
    """
    return classes if isinstance(model.loss, CategoricalCrossentropy) else None
