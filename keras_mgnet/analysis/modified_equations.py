"""Lax-Friedrichs and Lax-Wendroff as residual networks, and their modified equations (Lu2018, section 2.2).

Both schemes solve u_t = c u_x. With r = c dt / dx, a step replaces u_j by a combination of u_{j-1}, u_j and u_{j+1}. So a step is
a residual block u + f(u), where f is a convolution.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from keras import ops

from keras_mgnet.errors import check_known
from keras_mgnet.layers import Chain, Euler, Level
from keras_mgnet.reporting import COLORS, finish, new_figure, save


class Transport(NamedTuple):
    """A scheme for u_t = c u_x, and its modified equation u_t = c u_x + C(r) dx^p / dt d^p u / dx^p."""

    taps: Callable[[float], tuple[float, float, float]]  # r -> weights of u_{j-1}, u_j and u_{j+1}
    p: int
    C: Callable[[float], float]


TRANSPORT = {
    "Lax-Friedrichs": Transport(lambda r: ((1 - r) / 2, 0.0, (1 + r) / 2), 2, lambda r: (1 - r**2) / 2),
    "Lax-Wendroff": Transport(lambda r: ((r**2 - r) / 2, 1 - r**2, (r**2 + r) / 2), 3, lambda r: r * (1 - r**2) / 6),
}


def transported(profile: np.ndarray, name: str, r: float, steps: int) -> np.ndarray:
    """Returns a periodic profile (n,) after steps of a scheme, computed by a level of residual blocks.

    Args:
        profile: the initial u at n >= 2 points.
        name: a key of `TRANSPORT`.
        r: c dt / dx. The schemes are stable for |r| <= 1.
        steps: number of steps.

    Example:
        >>> transported(np.array([0.0, 0.0, 1.0, 0.0]), "Lax-Wendroff", 1.0, 1).tolist()
        [0.0, 1.0, 0.0, 0.0]
    """
    check_known("scheme", name, TRANSPORT)
    kernel = np.zeros((3, 3, 1, 1))
    kernel[1, :, 0, 0] = np.subtract(TRANSPORT[name].taps(r), (0, 1, 0))
    f = Chain(((1, 3, 1, 1, "periodic"),), (None, None), uses=steps, sharing=((0,) * steps,), dtype="float64")
    level = Level(Euler(dtype="float64"), f, dtype="float64")
    level.build((1, 1, len(profile), 1))
    f.kernels()[0].kernel.assign(kernel)
    return ops.convert_to_numpy(level(np.reshape(profile, (1, 1, -1, 1)))).ravel()


def solution(profile: np.ndarray, r: float, steps: int, name: str | None = None) -> np.ndarray:
    """Returns the solution of u_t = c u_x after `steps` time steps, or that of the modified equation of a scheme, (n,).

    The profile is a trigonometric polynomial through the n points. Arguments as in `transported`; None for u_t = c u_x.

    Example:
        >>> bool(np.allclose(solution(np.array([0.0, 1.0, 0.0, -1.0]), 1.0, 1), [1, 0, -1, 0]))
        True
    """
    wave = 2j * np.pi * np.fft.rfftfreq(len(profile))  # the symbol of dx d/dx
    rate = r * wave
    if name is not None:
        check_known("scheme", name, TRANSPORT)
        rate = rate + TRANSPORT[name].C(r) * wave ** TRANSPORT[name].p
    return np.fft.irfft(np.fft.rfft(profile) * np.exp(steps * rate), len(profile))


def observed_orders(name: str, r: float = 0.8, points: int = 128) -> dict[str, float]:
    """Returns the order with which a scheme approximates u_t = c u_x and its modified equation, for dx, dt -> 0 with r fixed.

    The order is log_2 of the quotient of the largest errors on `points` and 2 * `points` points, at c t = 1/2. The profile is
    sin(2 pi x).

    Example:
        >>> {equation: round(order) for equation, order in observed_orders("Lax-Friedrichs").items()}
        {'transport': 1, 'modified': 2}
    """
    errors = []
    for n in (points, 2 * points):
        profile, steps = np.sin(2 * np.pi * np.arange(n) / n), round(n / 2 / r)
        found = transported(profile, name, r, steps)
        errors.append([np.abs(found - solution(profile, r, steps, equation)).max() for equation in (None, name)])
    transport, modified = np.log2(np.array(errors[0]) / np.array(errors[1]))
    return {"transport": float(transport), "modified": float(modified)}


def plot_transport(path, *, r: float = 0.5, points: int = 128, steps: int = 48) -> None:
    """Draws a transported box, with each scheme and as the solution of its modified equation, to a PNG."""
    figure = new_figure(11, 3.6, f"A box transported to the left: {steps} residual blocks, r = {r}")
    place = np.arange(points)
    box = (np.abs(place - points / 2) <= points / 8).astype(float)
    for axes, (name, scheme) in zip(figure.subplots(1, 2, sharey=True), TRANSPORT.items(), strict=True):
        axes.plot(place, np.roll(box, -round(r * steps)), color="gray", linewidth=1, label="u_t = c u_x")
        axes.plot(place, transported(box, name, r, steps), ".", color=COLORS[0], label="scheme")
        axes.plot(place, solution(box, r, steps, name), color=COLORS[1], label="modified equation")
        kind = "diffusion, u_xx" if scheme.p == 2 else "dispersion, u_xxx"
        finish(axes, title=f"{name}: {kind}", xlabel="point j", ylabel="u_j")
    save(figure, path)
