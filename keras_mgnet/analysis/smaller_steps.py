"""Is a residual network close to its differential equation? Its output with smaller steps and as many more of them (Lu2018)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_mgnet.analysis.intercept import all_intercepted, levels
from keras_mgnet.analysis.result import logits
from keras_mgnet.annotations import Tensor
from keras_mgnet.errors import required
from keras_mgnet.layers import Euler, Heun, Level
from keras_mgnet.reporting import finish, new_figure, save, style

SCHEMES = {"euler": Euler, "heun": Heun}
STEPS, REFERENCE = (1, 2, 4, 8), 16  # steps per block


@dataclass(frozen=True)
class Refinement:
    """The output of a network whose block x <- x + f(x) is replaced by m steps of size 1/m for x' = f(x), for m in `STEPS`.

    The keys are the schemes of the steps. A trained ResNet is "euler" with m = 1. A block that changes the shape stays one step.
    """

    error: dict[
        str, list[float]
    ]  # ||y - y*|| / ||y*|| over all logits y; y* has `REFERENCE` steps of Heun's method per block
    accuracy: dict[str, list[float]]  # from 0 to 1
    order: dict[str, float]  # log_2 of the quotient of the last two errors

    def summary(self) -> str:
        parts = [
            f"{scheme}: error {errors[0]:.2g} with 1 step per block, {errors[-1]:.2g} with {STEPS[-1]}, "
            f"order {self.order[scheme]:.1f}, accuracy {self.accuracy[scheme][0]:.1%} and {self.accuracy[scheme][-1]:.1%}"
            for scheme, errors in self.error.items()
        ]
        return "; ".join(parts)


class Scaled(NamedTuple):
    """A field at one iteration, times a step size."""

    f: Any
    dt: float

    def __call__(self, x: Tensor) -> Tensor:
        return self.dt * self.f(x)

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns (x, dt f(x))."""
        return x, self(x)


@contextmanager
def refined(model: keras.Model, scheme: str, m: int) -> Iterator[None]:
    """Replaces each block of a network that keeps the shape by m steps of a scheme, within the `with` block.

    Call the model directly. An activation after the sum follows each step.

    Example:
        >>> from keras_mgnet import PreActResNet
        >>> model, x = PreActResNet(8, base_width=2, input_shape=(8, 8, 1)), np.ones((1, 8, 8, 1))
        >>> before = model(x, training=False)
        >>> with refined(model, "euler", 1):
        ...     bool(keras.ops.all(model(x, training=False) == before))
        True
    """

    def step(own, original, i, f, x):
        if i == 0 and getattr(f.field, "R", None) is not None:
            return original(i, f, x)
        for _ in range(m):
            (x,) = SCHEMES[scheme].step(own, i, Scaled(f, 1 / m), x)
        return (x,)

    with all_intercepted([level.scheme for level in one_step_levels(model)], "step", step):
        yield


def one_step_levels(model: keras.Model) -> list[Level]:
    """Returns the levels with the iteration x <- x + f(x), or Heun's. Raises ValueError unless a classifier has some."""
    found = levels(model, *SCHEMES.values())
    return required(model, "a classifier of blocks x + f(x), such as ResNet", len(model.output_shape) == 2 and found)


def refinement(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> Refinement:
    """Returns how the output of a trained network changes if its blocks take smaller steps for the same equations.

    Args:
        model: a classifier of residual blocks.
        images: normalised images (N, H, W, C).
        labels: classes (N,).

    Example:
        >>> from keras_mgnet import PreActResNet
        >>> result = refinement(PreActResNet(8, base_width=2, input_shape=(8, 8, 1)), np.ones((2, 8, 8, 1)), np.zeros(2))
        >>> len(result.error["heun"])
        4
    """

    def outputs(scheme, m):
        with refined(model, scheme, m):
            return logits(model, images)

    limit = outputs("heun", REFERENCE)
    found = {scheme: [outputs(scheme, m) for m in STEPS] for scheme in SCHEMES}
    tiny = np.finfo(limit.dtype).tiny
    error = {
        scheme: [float(np.linalg.norm(y - limit) / max(np.linalg.norm(limit), tiny)) for y in ys]
        for scheme, ys in found.items()
    }
    return Refinement(
        error,
        {scheme: [float(np.mean(y.argmax(-1) == labels)) for y in ys] for scheme, ys in found.items()},
        {scheme: float(np.log2(max(errors[-2], tiny) / max(errors[-1], tiny))) for scheme, errors in error.items()},
    )


def plot_refinement(result: Refinement, path) -> None:
    """Draws error and accuracy over the steps per block to a PNG."""
    figure = new_figure(10, 4, "Each block x + f(x) as m steps of size 1/m for x' = f(x)")
    errors, accuracy = figure.subplots(1, 2)
    for n, scheme in enumerate(result.error):
        label = f"{scheme}, order {result.order[scheme]:.2f}"
        errors.loglog(STEPS, [value or np.nan for value in result.error[scheme]], label=label, **style(n))
        accuracy.semilogx(STEPS, [100 * value for value in result.accuracy[scheme]], label=scheme, **style(n))
    for axes in (errors, accuracy):
        axes.set_xticks(STEPS, STEPS)
        axes.minorticks_off()
    finish(errors, xlabel="steps per block m", ylabel="relative difference of the logits from the limit")
    finish(accuracy, xlabel="steps per block m", ylabel="test accuracy in percent")
    save(figure, path)
