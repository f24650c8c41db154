"""The state of a run: its progress, and the arrays from which it resumes bit for bit."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import keras
import numpy as np
from keras import ops
from pydantic import AfterValidator, NonNegativeInt

from keras_mgnet.training.runs.measure import MEASURES, measure_of


class DivergenceError(ArithmeticError):
    """Raised when the loss or a weight is not finite, or the loss is far above that of a model that has learned nothing."""


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Example:
        >>> Progress(rows=[{"val_accuracy": 0.5}], step=3).name
        'epoch-000001-step-000003'
    """

    rows: list[dict[str, int | float]] = field(default_factory=list)  # of the log, one per finished epoch
    step: NonNegativeInt = 0  # steps done in the running epoch
    # Of the running epoch so far: "images", "seconds", and for each metric its mean times "images".
    sums: dict[str, int | float] = field(default_factory=dict)
    seconds: float = 0.0  # spent on the run

    @property
    def epoch(self) -> int:
        """Number of finished epochs. It is also the index of the next epoch."""
        return len(self.rows)

    @property
    def name(self) -> str:
        """Name of the checkpoint at this point. Names sort by age."""
        return _name(self.epoch) + (f"-step-{self.step:06d}" if self.step else "")

    @property
    def best(self) -> int | None:
        """Index of the epoch with the best measure on the images that choose (`Dataset.judge`), the first in a tie.

        None before the first epoch ends.
        """
        values = self.judged()
        return values.index(measure_of(self.rows[0]).best(values)) if values else None

    @property
    def best_name(self) -> str | None:
        """Name of the checkpoint after the best epoch."""
        return None if self.best is None else _name(self.best + 1)

    def judged(self) -> list[float]:
        """Returns, for each finished epoch, the measure by which the best epoch is chosen."""
        return [row[f"val_{measure_of(row).key}"] for row in self.rows]

    def after(self, step: int, images: int, seconds: float, means: Mapping[str, float]) -> "Progress":
        """Returns the progress at `step`, after `images` more images and `seconds` more seconds.

        `means` holds the mean of each metric over these images.
        """
        added = {"images": images, "seconds": seconds, **{key: mean * images for key, mean in means.items()}}
        sums = {key: self.sums.get(key, 0.0) + value for key, value in added.items()}
        return Progress(self.rows, step, sums, self.seconds + seconds)

    def means(self) -> dict[str, float]:
        """Returns the mean of each metric over the images of the running epoch.

        Example:
            >>> Progress().after(1, 2, 0.1, {"loss": 4.0}).after(2, 6, 0.1, {"loss": 8.0}).means()
            {'loss': 7.0}
        """
        images = self.sums["images"]
        return {key: value / images for key, value in self.sums.items() if key not in ("images", "seconds")}

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON-ready values, from which the constructor rebuilds the object."""
        return asdict(self)

    def next_epoch(self, row: dict[str, float], seconds: float) -> "Progress":
        """Returns the progress after one more epoch. `row` is its row of the log, and `seconds` the time of its evaluation."""
        return Progress([*self.rows, row], seconds=self.seconds + seconds)


def _consistent(progress: Progress) -> Progress:
    measure = measure_of(progress.rows[0]) if progress.rows else MEASURES[0]
    for row in progress.rows:
        if not {"loss", "val_loss", f"val_{measure.key}"} <= row.keys() == progress.rows[0].keys():
            raise ValueError("rows of equal keys, with the loss and the measure of the test images, are expected")
    if progress.step and not (progress.sums.get("images", 0) > 0 and progress.sums.get("seconds", 0) > 0):
        raise ValueError("sums of images and seconds are expected in a running epoch")
    return progress


State = Annotated[Progress, AfterValidator(_consistent)]  # the progress in a checkpoint, checked when it is read


def capture(model: keras.Model) -> dict[str, np.ndarray]:
    """Returns every array that the next step depends on. Raises DivergenceError if an array is not finite.

    The arrays are the weights, the moving statistics of norms, the states of random generators, and the variables of the
    optimiser, with its averages of the weights.
    """
    if keras.backend.backend() == "jax":
        model.jax_state_sync()  # during `fit`, the variables do not hold the current state
    variables = _variables(model)
    arrays = {key: ops.convert_to_numpy(variable) for key, variable in variables.items()}
    for key, array in arrays.items():
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise DivergenceError(f"expected finite weights. Received: {variables[key].path} with NaN or infinity")
    return arrays


def restore(model: keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Sets a compiled model to a state from `capture`. If the arrays do not fit, raises ValueError and changes nothing."""
    variables = _variables(model)
    shapes = {key: tuple(variable.shape) for key, variable in variables.items()}
    if differing := shapes.items() ^ {key: array.shape for key, array in arrays.items()}.items():
        raise ValueError(
            f"expected the state of {model.name}. Received: the state of another network, or of an LM network of an earlier "
            f"version; the first difference is {sorted(differing)[0]}"
        )
    for key, variable in variables.items():
        variable.assign(arrays[key])


def _name(epochs: int) -> str:
    return f"epoch-{epochs:06d}"


def _variables(model: keras.Model) -> dict[str, Any]:
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    parts = {"model": model.variables, "optimizer": model.optimizer.variables}
    return {f"{part}/{i:05d}": variable for part, variables in parts.items() for i, variable in enumerate(variables)}
