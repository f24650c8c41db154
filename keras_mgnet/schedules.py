"""Learning rates over the steps of a run: divisions by ten, cosine or constant, each with an optional warm-up."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops
from keras.optimizers.schedules import CosineDecay, LearningRateSchedule, PiecewiseConstantDecay


@keras.saving.register_keras_serializable(package="keras_mgnet")
class WarmUp(LearningRateSchedule):
    """Multiplies a schedule by a linear rise to 1: schedule(step) * min(1, (step + 1) / steps).

    Args:
        schedule: a learning-rate schedule.
        steps: length of the rise in steps.

    Example:
        >>> round(float(WarmUp(CosineDecay(1.0, 100), 10)(0)), 6)
        0.1
    """

    def __init__(self, schedule: Any, steps: int) -> None:
        self.schedule = keras.optimizers.schedules.deserialize(schedule) if isinstance(schedule, dict) else schedule
        self.steps = steps

    def __call__(self, step: Any) -> Any:
        rise = (ops.cast(step, "float32") + 1) / self.steps
        return self.schedule(step) * ops.minimum(rise, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {"schedule": keras.optimizers.schedules.serialize(self.schedule), "steps": self.steps}


def _step(rate: float, steps: int, divisions: Sequence[int]) -> LearningRateSchedule:
    if not divisions:
        return _constant(rate, steps, divisions)
    boundaries = [step - 1 for step in divisions]  # Keras changes the value after its boundary
    return PiecewiseConstantDecay(boundaries, [rate / 10**i for i in range(len(divisions) + 1)])


def _cosine(rate: float, steps: int, divisions: Sequence[int]) -> LearningRateSchedule:
    return CosineDecay(rate, steps)


def _constant(rate: float, steps: int, divisions: Sequence[int]) -> LearningRateSchedule:
    return PiecewiseConstantDecay([steps], [rate, rate])


SCHEDULES = {"step": _step, "cosine": _cosine, "constant": _constant}


def schedule(
    name: str, rate: float, steps: int, divisions: Sequence[int] = (), warmup: int = 0
) -> LearningRateSchedule:
    """Returns the learning rate over the steps of a run.

    Args:
        name: "step", "cosine" or "constant".
        rate: the highest learning rate.
        steps: length of the run in steps.
        divisions: steps at which "step" divides the rate by 10.
        warmup: length of the linear rise in steps; 0 for none.

    Example:
        >>> round(float(schedule("step", 0.1, 100, divisions=(50,))(50)), 6)
        0.01
    """
    base = SCHEDULES[name](rate, steps, divisions)
    return WarmUp(base, warmup) if warmup else base
