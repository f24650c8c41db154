"""Learning rates over the steps of a run: the papers' divisions by ten, cosine, constant, each with an optional warm-up."""

import keras
from keras import ops
from keras.optimizers.schedules import CosineDecay, LearningRateSchedule, PiecewiseConstantDecay

from keras_mgnet.recipes import Recipe


@keras.saving.register_keras_serializable(package="keras_mgnet")
class WarmUp(LearningRateSchedule):
    """schedule(step) times min(1, (step + 1) / steps): a linear rise to any schedule.

    Args:
        schedule: a learning-rate schedule.
        steps: length of the rise.

    Example:
        >>> round(float(WarmUp(CosineDecay(1.0, 100), 10)(0)), 6)
        0.1
    """

    def __init__(self, schedule, steps):
        self.schedule = keras.optimizers.schedules.deserialize(schedule) if isinstance(schedule, dict) else schedule
        self.steps = steps

    def __call__(self, step):
        rise = (ops.cast(step, "float32") + 1) / self.steps
        return self.schedule(step) * ops.minimum(rise, 1.0)

    def get_config(self):
        return {"schedule": keras.optimizers.schedules.serialize(self.schedule), "steps": self.steps}


def _step(rate: float, epochs: int, steps_per_epoch: int, recipe: Recipe) -> LearningRateSchedule:
    epochs_at = sorted({round(milestone * epochs / recipe.epochs) for milestone in recipe.milestones} - {0})
    if not epochs_at:
        return _constant(rate, epochs, steps_per_epoch, recipe)
    boundaries = [epoch * steps_per_epoch - 1 for epoch in epochs_at]  # Keras changes the value after its boundary
    return PiecewiseConstantDecay(boundaries, [rate / 10**i for i in range(len(boundaries) + 1)])


def _cosine(rate: float, epochs: int, steps_per_epoch: int, recipe: Recipe) -> LearningRateSchedule:
    return CosineDecay(rate, epochs * steps_per_epoch)


def _constant(rate: float, epochs: int, steps_per_epoch: int, recipe: Recipe) -> LearningRateSchedule:
    return PiecewiseConstantDecay([epochs * steps_per_epoch], [rate, rate])


SCHEDULES = {"step": _step, "cosine": _cosine, "constant": _constant}


def schedule(name: str, rate: float, *, epochs: int, steps_per_epoch: int, warmup_epochs: float, recipe: Recipe):
    """Returns the schedule of a key of `SCHEDULES`.

    Args:
        rate: learning rate at its height.
        epochs: of the run; a step schedule scales the recipe's milestones with it.
        steps_per_epoch: optimiser steps per epoch.
        warmup_epochs: length of the linear rise, 0 for none.
        recipe: whose milestones a step schedule takes.
    """
    base = SCHEDULES[name](rate, epochs, steps_per_epoch, recipe)
    warmup_steps = round(warmup_epochs * steps_per_epoch)
    return WarmUp(base, warmup_steps) if warmup_steps else base
