"""Phase planes of residual networks with one matrix K for all layers: unstable, contracting, rotating (Lu2017, Figure 1)."""

from dataclasses import dataclass

import numpy as np
from keras import ops

from keras_mgnet.layers import Euler, Force, Level
from keras_mgnet.reporting import COLORS, finish, new_figure, save

MATRICES = {  # of the eigenvalues 2, -2 and +-i
    "K+": ((2.0, -2.0), (0.0, 2.0)),
    "K-": ((-2.0, 0.0), (2.0, -2.0)),
    "K0": ((0.0, -1.0), (1.0, 0.0)),
}
STARTS = ((0.3, 0.1), (-0.2, 0.3), (-0.1, -0.3))


@dataclass(frozen=True)
class PhasePlanes:
    """The features of a network y_{j+1} = y_j + h tanh(y_j K) for each matrix K of `MATRICES`."""

    path: dict[str, np.ndarray]  # y_0, ..., y_N for each start, (starts, N + 1, 2)
    distance: dict[str, tuple[float, float]]  # smallest and largest ||y_N - z_N|| / ||y_0 - z_0|| of two features y, z

    def summary(self) -> str:
        parts = [f"{name} {low:.2f} to {high:.2f}" for name, (low, high) in self.distance.items()]
        return f"distances of two features, last layer over first: {', '.join(parts)}"


def phase_planes(layers: int = 10, h: float = 0.1, activation: str = "tanh") -> PhasePlanes:
    """Returns the paths of three features through networks of two-dimensional features.

    Args:
        layers: number N of layers.
        h: step size.
        activation: sigma in place of tanh.

    Example:
        >>> {name: tuple(round(d, 2) for d in pair) for name, pair in phase_planes().distance.items()}
        {'K+': (2.89, 5.15), 'K-': (0.05, 0.29), 'K0': (1.05, 1.05)}
    """
    path = {name: _path(np.array(K), layers, h, activation) for name, K in MATRICES.items()}
    return PhasePlanes(path, {name: _distances(ys) for name, ys in path.items()})


def _path(K: np.ndarray, layers: int, h: float, activation: str) -> np.ndarray:
    """Returns y_0, ..., y_N, computed by one level. A feature is an image of one pixel and two channels."""
    force = Force(2, ("single",) * layers, (h,) * layers, shared=True, activation=activation, dtype="float64")
    level = Level(Euler(dtype="float64"), force, dtype="float64")
    level.build((None, 1, 1, 2))
    kernel = np.zeros((3, 3, 2, 2))
    kernel[1, 1] = K
    force.K[0].kernel.assign(kernel)
    states = [(ops.convert_to_tensor(np.array(STARTS)[:, None, None]),)]
    for i in range(layers):
        states.append(level.scheme.step(i, force.at(i), *states[-1]))
    return np.stack([ops.convert_to_numpy(y)[:, 0, 0] for (y,) in states], axis=1)


def _distances(ys: np.ndarray) -> tuple[float, float]:
    pairs = np.triu_indices(len(ys), 1)
    apart = np.linalg.norm(ys[pairs[0]] - ys[pairs[1]], axis=-1)
    ratios = apart[:, -1] / apart[:, 0]
    return float(ratios.min()), float(ratios.max())


def plot_phase_planes(result: PhasePlanes, path) -> None:
    """Draws the paths over the field of the differential equation y' = tanh(y K) to a PNG."""
    figure = new_figure(11, 4.2, "Three features through the layers of a network with one matrix K (dot: first layer)")
    for axes, (name, K) in zip(figure.subplots(1, len(MATRICES)), MATRICES.items(), strict=True):
        ys = result.path[name]
        span = 1.2 * np.abs(ys).max()
        x, y = np.meshgrid(*[np.linspace(-span, span, 15)] * 2)
        force = np.tanh(np.stack([x, y], axis=-1) @ np.array(K))
        axes.quiver(x, y, force[..., 0], force[..., 1], color="0.75")
        for n, own in enumerate(ys):
            axes.plot(*own.T, ".-", color=COLORS[n])
            axes.plot(*own[0], "o", color=COLORS[n])
        values = ", ".join(f"{value:.3g}" for value in np.linalg.eigvals(np.array(K)))
        axes.set_aspect("equal")
        finish(axes, title=f"{name}, eigenvalues {values}", xlabel="feature 1", ylabel="feature 2")
    save(figure, path)
