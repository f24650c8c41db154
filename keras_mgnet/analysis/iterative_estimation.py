"""Unrolled iterative estimation: do the iterations of a level refine one estimate? (Greff et al. 2017; Lu2017, Figure 3)"""

from dataclasses import dataclass
from itertools import chain

import keras
import numpy as np

from keras_mgnet.analysis.states import iterates
from keras_mgnet.reporting import finish, new_figure, save, style


@dataclass(frozen=True)
class Estimation:
    """Statistics of the errors x^i - x^nu, where the states x^i of a level are estimates of its last state x^nu.

    All values are in units of std(x^nu), the standard deviation over images, grid and channels. Each list has one value for each
    state of a level.
    """

    mean: dict[str, list[float]]  # E[x^i - x^nu] / std(x^nu)
    bias: dict[str, list[float]]  # root mean square, over grid and channels, of the mean error over the images
    spread: dict[str, list[float]]  # std(x^i - x^nu) / std(x^nu)

    def summary(self) -> str:
        mean = max(abs(value) for values in self.mean.values() for value in values)
        falls = sum(all(np.diff(values) <= 0) for values in self.spread.values())
        return f"|mean error| at most {mean:.2f} deviations; the spread falls throughout on {falls} of {len(self.spread)} levels"


def estimation(model: keras.Model, images: np.ndarray) -> Estimation:
    """Returns how far each state of a level is from the last state of the level.

    If the iterations of a level refine one estimate, mean and bias are near 0 and the spread falls from state to state.

    Args:
        model: a network of residual blocks or smoothing steps.
        images: normalised images (N, H, W, C).

    Example:
        >>> from keras_mgnet import PreActResNet
        >>> model = PreActResNet(8, blocks=(3, 2), base_width=2, input_shape=(8, 8, 1))
        >>> estimation(model, np.ones((2, 8, 8, 1))).mean["level2"][-1]
        0.0
    """
    sums: dict[str, np.ndarray] = {}
    for states in iterates(model, images):
        for level, xs in states.items():
            sums[level] = sums.get(level, 0) + _sums(xs)
    ratios = {level: _ratios(total / len(images)) for level, total in sums.items()}
    return Estimation(*({level: values[n] for level, values in ratios.items()} for n in range(3)))


def optimal_combination(variance_a: float, variance_b: float, covariance: float) -> tuple[float, float]:
    """Returns the weights (q_1, q_2) of the best combination q_1 A + q_2 B of two estimates A and B of C, Lu2017.

    The weights have the sum 1, and the error q_1 A + q_2 B - C has the least variance.

    Args:
        variance_a, variance_b, covariance: variances and covariance of the errors A - C and B - C, which have mean zero.

    Raises:
        ValueError: if the variance of A - B is zero. All combinations are then equally good.

    Example:
        >>> optimal_combination(1.0, 3.0, 0.0)
        (0.75, 0.25)
    """
    alpha_1, alpha_2 = variance_b - covariance, variance_a - covariance
    if alpha_1 + alpha_2 <= 0:
        raise ValueError(
            f"expected A and B that differ. "
            f"Received: variance_a={variance_a}, variance_b={variance_b}, covariance={covariance}"
        )
    return alpha_1 / (alpha_1 + alpha_2), alpha_2 / (alpha_1 + alpha_2)


def plot_estimation(result: Estimation, path) -> None:
    """Draws mean, bias and spread over the states of every level to a PNG."""
    figure = new_figure(12, 4, "States of each level as estimates of its last state x^nu, in units of std(x^nu)")
    panels = {"mean error": result.mean, "bias per unit (root mean square)": result.bias, "spread": result.spread}
    for axes, (title, table) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        for n, (level, values) in enumerate(table.items()):
            axes.plot(range(1 - len(values), 1), values, label=level, **style(n))
        axes.axhline(0, color="gray", linewidth=0.8, linestyle=":")
        axes.xaxis.get_major_locator().set_params(integer=True)
        finish(axes, title=title, xlabel="state, counted back from the last")
    save(figure, path)


def _sums(xs: list[np.ndarray]) -> np.ndarray:
    """Returns the sums of d and d^2 over the images, (nu + 2, 2, H, W, c). d is x^i - x^nu for each i, and last x^nu."""
    last = xs[-1].astype(np.float64)
    return np.array([(d.sum(0), np.square(d).sum(0)) for d in chain((x - last for x in xs), [last])])


def _ratios(means: np.ndarray) -> tuple[list[float], list[float], list[float]]:
    """Returns mean, bias and spread. `means` is the result of `_sums` divided by the number of images."""
    mean, square = means.mean((2, 3, 4)).T
    *spread, deviation = np.sqrt(np.maximum(square - mean**2, 0))
    bias = np.sqrt(np.square(means[:-1, 0]).mean((1, 2, 3)))
    return tuple((part / max(deviation, np.finfo(float).tiny)).tolist() for part in (mean[:-1], bias, np.array(spread)))
