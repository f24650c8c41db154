"""Local Fourier analysis: the factors of smoothers and of two-grid cycles for constant coefficients, without a boundary."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_mgnet.errors import check_known
from keras_mgnet.layers.schemes.smoothers import chebyshev_omegas
from keras_mgnet.multigrid.defaults import suited
from keras_mgnet.multigrid.grids import COARSENING, hierarchy, rediscretised, strong
from keras_mgnet.multigrid.operators import five_point
from keras_mgnet.multigrid.patches import additive_schwarz
from keras_mgnet.multigrid.smoothers import PATCHES, SMOOTHERS, SPECTRUM
from keras_mgnet.multigrid.stencils import galerkin, real_array
from keras_mgnet.reporting import SEQUENTIAL, new_figure, save

ALIASES = ((0, 0), (0, 1), (1, 0), (1, 1))  # multiples of pi that are added to the frequencies of rows and columns
INSIDE = 31  # points per side of a grid in whose middle a stencil does not depend on the boundary


class Waves(NamedTuple):
    """Groups of four waves exp(i (theta_1 row + theta_2 column)). They agree at all coarse points; one is at the origin."""

    theta: np.ndarray  # (groups, 4, 2)

    def symbol(self, K: np.ndarray, sign: int = 1) -> np.ndarray:
        """Returns the factor by which a stencil K multiplies each wave, (groups, 4). `sign` = -1 is for the transpose of K."""
        reach = [size // 2 for size in K.shape]
        offsets = [(i - reach[0], j - reach[1]) for i, j in np.ndindex(*K.shape)]
        return np.exp(1j * sign * self.theta @ np.array(offsets, "float64").T) @ K.ravel()


def waves(points: int) -> Waves:
    """Returns groups whose first waves have frequencies from -pi / 2 to pi / 2, points x points of them, an even number.

    The frequency zero, where the coarse operator may be singular, is not among them.
    """
    low = np.linspace(-np.pi / 2, np.pi / 2, points)
    first = np.stack(np.meshgrid(low, low, indexing="ij"), -1).reshape(-1, 1, 2)
    return Waves(first + np.pi * np.array(ALIASES))


def smoothing_factor(A=None, *, smoother=None, points: int = 64, **options: Any) -> float:
    """Returns the factor by which a smoothing step reduces the errors that the coarse grid cannot represent.

    A step that couples several waves, such as red-black, is followed by an ideal coarse grid: it removes all waves of low
    frequency and changes no other wave (Trottenberg et al. 2001, section 4.5).

    Args:
        A: stencil (3, 3); None for -Laplace u.
        smoother: a name or a kernel, as in `solver`.
        points: number of frequencies per axis.
        options: `omega`, `degree` and `coarsening` of `solver`.

    Example:
        >>> round(smoothing_factor(), 2), round(smoothing_factor(smoother="red_black"), 2)
        (0.6, 0.25)
    """
    problem = _problem(A, smoother, options)
    group = waves(points)
    low = [not any(a and half for a, half in zip(alias, problem["halves"], strict=True)) for alias in ALIASES]
    step = _step(problem, group)
    step[:, low] = 0
    return _radius(step)


def two_grid_factor(A=None, *, nu: tuple[int, int] = (1, 1), smoother=None, points: int = 64, **options: Any) -> float:
    """Returns the convergence factor of a cycle on two grids, of which the coarse one is solved exactly.

    W-cycles of `solver` have this factor within 0.01, if they smooth at least once on the way down and on the way up.

    Args:
        A, smoother, points: as in `smoothing_factor`.
        nu: (down, up), the numbers of smoothing steps.
        options: `omega`, `degree`, `transfer`, `coarse` and `coarsening` of `solver`.

    Example:
        >>> round(two_grid_factor(), 2), round(two_grid_factor(nu=(2, 2)), 2)
        (0.36, 0.14)
    """
    return _radius(_two_grids(_problem(A, smoother, options), nu, waves(points)))


def plot_factors(path: str | Path, A=None, *, nu: tuple[int, int] = (1, 1), smoother=None, **options: Any) -> None:
    """Draws a PNG: how much of a wave a smoothing step leaves, and the factor of two grids, for each frequency.

    Arguments as in `two_grid_factor`. A wave that turns into several waves is shown with the norm of their amplitudes.
    """
    points = 64
    problem, group = _problem(A, smoother, options), waves(points)
    left = np.linalg.norm(_step(problem, group), axis=1)  # of each wave, over the waves that it turns into
    gain = np.zeros((2 * points, 2 * points))
    for number, alias in enumerate(ALIASES):
        rows, columns = ((np.arange(points) + points // 2 + points * a) % (2 * points) for a in alias)
        gain[np.ix_(rows, columns)] = left[:, number].reshape(points, points)
    factors = _radii(_two_grids(problem, nu, group)).reshape(points, points)
    figure = new_figure(9, 4, f"{problem['name']}, nu = {tuple(nu)}: two-grid factor {factors.max():.3f}")
    for axes, values, reach, title in zip(
        figure.subplots(1, 2), (gain, factors), (1, 0.5), ("one smoothing step", "two grids"), strict=True
    ):
        limits = {"vmin": 0, "vmax": max(1.0, values.max()) if reach == 1 else values.max()}
        image = axes.imshow(values, cmap=SEQUENTIAL, origin="lower", extent=(-reach, reach) * 2, **limits)
        axes.set(title=title, xlabel=r"$\theta_x / \pi$", ylabel=r"$\theta_y / \pi$")
        figure.colorbar(image, ax=axes)
    save(figure, path)


def _problem(A, smoother, options: dict[str, Any]) -> dict[str, Any]:
    """Returns all options, with the defaults of `solver`."""
    for name in options:
        check_known("option", name, ("omega", "degree", "transfer", "coarse", "coarsening"))
    A = five_point() if A is None else real_array("A", A)
    if A.shape != (3, 3):
        raise ValueError(
            f"expected A to be a stencil (3, 3): Fourier analysis is for constant coefficients. Received: {A.shape}"
        )
    given = {"omega": 0.8, "degree": 2, "transfer": None, "coarse": None, "coarsening": "full"} | options
    check_known("coarsening", given["coarsening"], COARSENING)
    given["halves"] = strong(A, (3, 3)) if given["coarsening"] == "strong" else (True, True)
    smoother, given["transfer"], given["coarse"], _ = suited(A).with_given(
        smoother, given["transfer"], given["coarse"], given["coarsening"]
    )
    if isinstance(smoother, str):
        check_known("smoother", smoother, SMOOTHERS)
    name = smoother if isinstance(smoother, str) else "a kernel"
    return given | {"A": A, "smoother": smoother, "name": name}


def _two_grids(problem: dict[str, Any], nu: tuple[int, int], group: Waves) -> np.ndarray:
    """Returns the matrices (groups, 4, 4) of the error of a two-grid cycle."""
    A, halves = problem["A"], problem["halves"]
    names = ("transfer", "coarse", "coarsening")
    transfer = hierarchy(A, INSIDE, 2, **{name: problem[name] for name in names})[0].transfer
    R, P = (kernel if kernel.ndim == 2 else kernel[INSIDE // 4, INSIDE // 4] for kernel in transfer)
    coarse = galerkin(A, type(transfer)(R, P)) if problem["coarse"] == "galerkin" else rediscretised(A)
    doubled = Waves(group.theta * np.where(halves, 2, 1))
    same = np.array(
        [[all(h or a == b for a, b, h in zip(x, y, halves, strict=True)) for y in ALIASES] for x in ALIASES]
    )
    share = 4 if all(halves) else 2
    down, up = group.symbol(R) * group.symbol(A), group.symbol(P, -1) / share
    correction = same * up[:, :, None] * (down / doubled.symbol(coarse))[:, None, :]
    step, power = _step(problem, group), np.linalg.matrix_power
    return power(step, nu[1]) @ (np.eye(4) - correction) @ power(step, nu[0])


def _step(problem: dict[str, Any], group: Waves) -> np.ndarray:
    """Returns the matrices (groups, 4, 4) of the error of a smoothing step."""
    A, smoother = problem["A"], problem["smoother"]
    a, d = group.symbol(A), A[1, 1]
    if smoother == "chebyshev":
        low, high = SPECTRUM
        x, before, now = 2 / (low + high) * a / d, np.ones_like(a), np.ones_like(a)
        for omega in chebyshev_omegas((high - low) / (high + low), problem["degree"]):
            before, now = now, omega * (1 - x) * now + (1 - omega) * before
        return _diagonal(now)
    if smoother == "red_black":
        return _colours(1 - a / d, (1, 1), (1, -1))
    if isinstance(smoother, str) and smoother.startswith("zebra"):
        error = np.eye(4)
        for axis in smoother.partition("_")[2] or "xy":
            line = A[1:2] if axis == "x" else A[:, 1:2]
            error = _colours(1 - a / group.symbol(line), (1, 0) if axis == "x" else (0, 1), (-1, 1)) @ error
        return error
    return _diagonal(1 - group.symbol(_kernel(problem)) * a)


def _kernel(problem: dict[str, Any]) -> np.ndarray:
    """Returns B as a stencil."""
    A, smoother = problem["A"], problem["smoother"]
    if smoother == "jacobi":
        return np.array([[problem["omega"] / A[1, 1]]])
    if smoother == "patches":
        return additive_schwarz(np.broadcast_to(A, (INSIDE, INSIDE, 3, 3)), PATCHES[0])[INSIDE // 2, INSIDE // 2]
    return real_array("smoother", smoother)


def _diagonal(values: np.ndarray) -> np.ndarray:
    return values[:, :, None] * np.eye(4)


def _colours(left: np.ndarray, shift: tuple[int, int], order: tuple[int, int]) -> np.ndarray:
    """Returns the error of one step that visits two colours in turn.

    Args:
        left: (groups, 4), the symbol of the step if it visited all points at once.
        shift: the colour of a point is the parity of row * shift[0] + column * shift[1].
        order: 1 for the colour of the origin, a coarse point, and -1 for the other colour.
    """
    partner = [ALIASES.index(tuple((a + s) % 2 for a, s in zip(alias, shift, strict=True))) for alias in ALIASES]
    swap = np.eye(4)[partner]
    error = np.eye(4)
    for sign in order:
        mask = (np.eye(4) + sign * swap) / 2
        error = (np.eye(4) - mask @ _diagonal(1 - left)) @ error
    return error


def _radii(matrices: np.ndarray) -> np.ndarray:
    return np.abs(np.linalg.eigvals(matrices)).max(-1)


def _radius(matrices: np.ndarray) -> float:
    return float(_radii(matrices).max())
