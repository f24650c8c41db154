"""Compiles the model of a run with its loss, metric and optimiser."""

from dataclasses import replace

import keras
from keras.losses import CategoricalCrossentropy, SparseCategoricalCrossentropy
from keras.optimizers.schedules import LearningRateSchedule

from keras_mgnet.augmentations import AUGMENTATIONS
from keras_mgnet.metrics import Top5Accuracy
from keras_mgnet.recipes import Recipe
from keras_mgnet.training.loop.config import JIT_COMPILE, TrainConfig

MANY_CLASSES = 100  # from so many on, the top-5 accuracy is measured too
NUMBERS = ("learning_rate", "warmup_epochs", "momentum", "weight_decay", "ema")


def compile_model(
    model: keras.Model, config: TrainConfig, recipe: Recipe, steps_per_epoch: int
) -> LearningRateSchedule:
    """Compiles a model for a run and returns the learning rate as a function of the update.

    An update of the weights comes after each `accumulate` steps. From 100 classes on, the top-5 accuracy is measured too. Call
    this function inside the scope of the run's strategy. `model.recipe` becomes the recipe of the run. A denoiser and a network
    of functions keep their own loss and metrics. The loss of a classifier is the cross-entropy with integer labels. With label
    smoothing or CutMix, the labels are one-hot. Only training labels are smoothed, so the test loss is a plain cross-entropy.
    The recipe decides what is not in the configuration: SGD or Adam, the milestones, Nesterov momentum, and which variables
    decay.
    """
    numbers = {name: getattr(config, name) for name in NUMBERS}
    model.recipe = replace(recipe.scaled(config.epochs), curve=config.schedule, **numbers)
    rate = model.recipe.schedule(-(-steps_per_epoch // config.accumulate))
    model.compile(
        model.recipe.optimizer(rate, config.clip_norm, config.accumulate),
        model.loss if config.kind != "classifier" else _cross_entropy(model, config),
        metrics=[*type(model).frame.measures(), *_more_measures(model, config)],
        jit_compile=JIT_COMPILE[config.jit_compile],
        steps_per_execution=config.steps_per_execution,
    )
    return rate


def _more_measures(model: keras.Model, config: TrainConfig) -> list[keras.metrics.Metric]:
    many = config.kind == "classifier" and model.output_shape[-1] >= MANY_CLASSES
    return [Top5Accuracy()] if many else []


def _cross_entropy(model: keras.Model, config: TrainConfig) -> keras.losses.Loss:
    one_hot = config.label_smoothing > 0 or AUGMENTATIONS[config.augment].cut_mix
    kind = CategoricalCrossentropy if one_hot else SparseCategoricalCrossentropy
    return kind(from_logits=model.loss.get_config()["from_logits"])


def label_classes(model: keras.Model, classes: int) -> int | None:
    """Returns the length of the one-hot labels that a compiled model takes, or None if it takes integer labels.

    Example:
        >>> from keras_mgnet import MgNet
        >>> label_classes(MgNet(channels=2), 10) is None
        True
    """
    return classes if isinstance(model.loss, CategoricalCrossentropy) else None
