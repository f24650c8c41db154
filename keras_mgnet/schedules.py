"""Learning rates over the steps of a run: divisions by ten, cosine, constant, triangular or one cycle."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops
from keras.optimizers.schedules import CosineDecay, LearningRateSchedule, PiecewiseConstantDecay

START = 0.2  # of a triangular rate, as a share of its peak
FIRST, LAST = 1 / 2, 1 / 200  # of a rate of one cycle, as shares of its peak


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


class Peaked(LearningRateSchedule):
    """Base class of schedules that rise to a rate and then fall.

    Args:
        rate: the highest learning rate.
        peak: the step with the highest rate.
        steps: length of the run in steps.
    """

    def __init__(self, rate: float, peak: int, steps: int) -> None:
        self.rate, self.peak, self.steps = rate, peak, steps

    def get_config(self) -> dict[str, Any]:
        return {"rate": self.rate, "peak": self.peak, "steps": self.steps}


@keras.saving.register_keras_serializable(package="keras_mgnet")
class Triangular(Peaked):
    """Rises linearly from a fifth of the rate to the rate, then falls linearly to 0. Arguments as in `Peaked`.

    Example:
        >>> curve = Triangular(1.0, peak=25, steps=100)
        >>> [round(float(curve(step)), 2) for step in (0, 25, 100)]
        [0.2, 1.0, 0.0]
    """

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        rise = START + (1 - START) * step / max(self.peak, 1)
        fall = (self.steps - step) / max(self.steps - self.peak, 1)
        return self.rate * ops.minimum(rise, fall) if self.peak else self.rate * fall


@keras.saving.register_keras_serializable(package="keras_mgnet")
class OneCycle(Peaked):
    """Rises from half of the rate to the rate, then falls to 1/200 of the rate, each as half a period of a cosine.

    The last step has the lowest rate. Arguments as in `Peaked`.

    Example:
        >>> curve = OneCycle(1.0, peak=20, steps=101)
        >>> [round(float(curve(step)), 4) for step in (0, 10, 20, 60, 100)]
        [0.5, 0.75, 1.0, 0.5025, 0.005]
    """

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        up = ops.minimum(step / max(self.peak, 1), 1.0)
        down = (step - self.peak) / max(self.steps - 1 - self.peak, 1)
        return self.rate * ops.where(step < self.peak, _turn(FIRST, 1.0, up), _turn(1.0, LAST, down))


def _turn(start: float, end: float, share: Any) -> Any:
    """Returns the value after a share of half a period of a cosine from start to end."""
    return end + (start - end) * (1 + ops.cos(math.pi * share)) / 2


def _constant(rate: float, steps: int) -> LearningRateSchedule:
    return PiecewiseConstantDecay([steps], [rate, rate])


def _step(rate: float, steps: int, divisions: Sequence[int]) -> LearningRateSchedule:
    if not divisions:
        return _constant(rate, steps)
    boundaries = [step - 1 for step in divisions]  # Keras changes the value after its boundary
    return PiecewiseConstantDecay(boundaries, [rate / 10**i for i in range(len(divisions) + 1)])


SCHEDULES: dict[str, Callable[[float, int, Sequence[int], int], LearningRateSchedule]] = {
    "step": lambda rate, steps, divisions, warmup: _step(rate, steps, divisions),
    "cosine": lambda rate, steps, divisions, warmup: CosineDecay(rate, steps),
    "constant": lambda rate, steps, divisions, warmup: _constant(rate, steps),
    "triangular": lambda rate, steps, divisions, warmup: Triangular(rate, warmup, steps),
    "one_cycle": lambda rate, steps, divisions, warmup: OneCycle(rate, warmup, steps),
}


def schedule(
    name: str, rate: float, steps: int, divisions: Sequence[int] = (), warmup: int = 0
) -> LearningRateSchedule:
    """Returns the learning rate over the steps of a run.

    Args:
        name: a key of `SCHEDULES`.
        rate: the highest learning rate.
        steps: length of the run in steps.
        divisions: steps at which "step" divides the rate by 10.
        warmup: length of the linear rise in steps; 0 for none. A triangular rate rises from a fifth, the others from 0. The rise
            of "one_cycle" is a cosine that starts from half of the rate.

    Example:
        >>> round(float(schedule("step", 0.1, 100, divisions=(50,))(50)), 6)
        0.01
    """
    base = SCHEDULES[name](rate, steps, divisions, warmup)
    return WarmUp(base, warmup) if warmup and not isinstance(base, Peaked) else base
