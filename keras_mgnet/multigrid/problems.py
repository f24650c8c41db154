"""Pairs of functions as data: coefficients or right-hand sides, and the solutions that solvers compute for them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from keras_mgnet.configuration import Count, Fraction, check, option
from keras_mgnet.errors import check_known
from keras_mgnet.files import staged_file
from keras_mgnet.models.checks import is_integer
from keras_mgnet.multigrid.helmholtz import MODES, centres, cosines, pressures
from keras_mgnet.multigrid.iteration import Iteration
from keras_mgnet.multigrid.operators import diffusion, five_point
from keras_mgnet.multigrid.solvers import solver

BATCH = 32  # problems that are solved together
CYCLES = 100
AROUND = ((0, 0), (1, 1), (1, 1), (0, 0))  # a frame of zeros


class Field(NamedTuple):
    """The distribution of the random functions x of a problem.

    Attributes:
        alpha, tau: parameters of the Gaussian field, see `gaussian_fields`.
        values: the values of x where the Gaussian field is negative, and elsewhere; None for x that is the field itself.
    """

    alpha: float
    tau: float
    values: tuple[float, float] | None = None


FIELDS = {
    "darcy": Field(2.0, 3.0, (3.0, 12.0)),
    "darcy_rough": Field(2.0, 5.0, (2.0, 12.0)),
    "poisson": Field(2.0, 3.0),
}
SPEEDS = Field(2.0, 3.0)  # of "helmholtz"
PROBLEMS = (*FIELDS, "helmholtz")


@dataclass(frozen=True)
class ProblemConfig:
    """A set of boundary value problems on the unit square. The fields are the options of `keras-mgnet generate`.

    - "darcy" and "darcy_rough" are -div(x grad y) = 1, with y = 0 on the boundary. The coefficient x takes two values, by the
      sign of a Gaussian field.
    - "poisson" is -Laplace y = x, with y = 0 on the boundary. The right-hand side x is a Gaussian field.
    - "helmholtz" is -Laplace y - (1000 / x)^2 y = 0. The wave speed x is 20 + tanh of a Gaussian field. The normal derivative
      of y is 1 on the part [0.35, 0.65] of the last row's side, and 0 on the rest of the boundary.
    """

    problem: Literal["darcy", "darcy_rough", "poisson", "helmholtz"] = option(
        "darcy", "darcy, darcy_rough, poisson or helmholtz"
    )
    samples: Count = option(1000, "number of pairs")
    grid: int = option(64, "points per side of x and y, a power of 2")
    seed: int = option(0, "seed of the random functions")
    tolerance: Fraction = option(1e-10, "largest relative residual of a solution")

    def __post_init__(self) -> None:
        check(self)
        if not is_integer(self.grid) or self.grid < 4 or self.grid & (self.grid - 1):
            raise ValueError(f"expected grid to be a power of 2, such as 64. Received: grid={self.grid!r}")
        if self.seed < 0:
            raise ValueError(f"expected seed >= 0. Received: seed={self.seed}")


def generate(config: ProblemConfig) -> dict[str, np.ndarray]:
    """Returns pairs of functions "x" and "y", (samples, grid, grid, 1) in float64, and their relative "residual", (samples,).

    x and y belong to the centres of grid x grid cells. `solver` computes y in batches at the (grid - 1)^2 inner corners of the
    cells, and the mean of four corners is y at a centre. For "helmholtz" see `helmholtz.pressures`. Every relative residual is
    at most `tolerance`. Pair i depends on the problem, the grid, the seed and i, and not on `samples`.

    Raises:
        ValueError: if a residual does not reach the tolerance.

    Example:
        >>> pairs = generate(ProblemConfig("poisson", samples=3, grid=8))
        >>> pairs["x"].shape, pairs["y"].shape, bool(pairs["residual"].max() <= 1e-10)
        ((3, 8, 8, 1), (3, 8, 8, 1), True)
    """
    parts = list((_helmholtz if config.problem == "helmholtz" else _multigrid)(config))
    return {key: np.concatenate([part[key] for part in parts])[: config.samples] for key in ("x", "y", "residual")}


def write_pairs(config: ProblemConfig, path: str | Path) -> dict[str, Any]:
    """Writes `generate(config)` to an .npz file, whole or not at all. Returns the largest residual and the numbers of points."""
    with staged_file(path, ".npz") as staged:
        pairs = generate(config)
        np.savez(staged, x=pairs["x"], y=pairs["y"], residual=pairs["residual"])
    return {"residual": float(pairs["residual"].max()), "shape": pairs["x"].shape}


class Drawn(NamedTuple):
    """Problems of a set before they are solved. n x n cells have (n - 1)^2 inner corners.

    Attributes:
        x: the functions x at the centres of the cells, (N, n, n, 1).
        A: h^2 times the operator, a stencil (3, 3) for all problems or (N, n - 1, n - 1, 3, 3).
        f: h^2 times the right-hand sides at the inner corners, (N, n - 1, n - 1, 1).
    """

    x: np.ndarray
    A: np.ndarray
    f: np.ndarray


def draw_problems(config: ProblemConfig, numbers: Sequence[int]) -> Drawn:
    """Returns the problems of a set with these numbers.

    Raises:
        ValueError: for "helmholtz", which is not solved by multigrid.

    Example:
        >>> draw_problems(ProblemConfig("darcy", grid=8), [0, 1]).A.shape
        (2, 7, 7, 3, 3)
    """
    check_known("problem", config.problem, FIELDS)
    n, law = config.grid, FIELDS[config.problem]
    noise = np.stack([_noise(config, i) for i in numbers])
    x = gaussian_fields(noise, centres(n), law.alpha, law.tau)
    if law.values is None:
        A, f = five_point(), gaussian_fields(noise, np.arange(1, n) / n, law.alpha, law.tau) / n**2
    else:
        x = np.where(x < 0, *law.values)
        A, f = np.stack([diffusion(a) for a in x]), np.full((len(x), n - 1, n - 1), 1 / n**2)
    return Drawn(x[..., None], A, f[..., None])


def at_centres(u: np.ndarray) -> np.ndarray:
    """Returns the means of the four corners of each cell, (N, n, n, c), of functions at inner corners that are 0 on the boundary.

    Example:
        >>> at_centres(np.ones((1, 1, 1, 1))).squeeze().tolist()
        [[0.25, 0.25], [0.25, 0.25]]
    """
    return at_corners(np.pad(u, AROUND))


def at_corners(y: Any) -> Any:
    """Returns the means of the four cells around each inner corner, (N, n - 1, n - 1, c), of functions (N, n, n, c)."""
    return (y[:, 1:, 1:] + y[:, 1:, :-1] + y[:, :-1, 1:] + y[:, :-1, :-1]) / 4


def gaussian_fields(noise: np.ndarray, points: np.ndarray, alpha: float, tau: float) -> np.ndarray:
    """Returns Gaussian fields with the covariance operator tau^(2 alpha - 2) (-Laplace + tau^2)^(-alpha) on the unit square.

        u(x, y) = sum_{k, l} tau^(alpha - 1) (pi^2 (k^2 + l^2) + tau^2)^(-alpha / 2) noise_{k, l} e_k(x) e_l(y)

    The e_k are `helmholtz.cosines`, so the normal derivative is zero on the boundary. The term k = l = 0 is left out.
    Source: the generator of the data of the Fourier neural operator (Li et al. 2021).

    Args:
        noise: independent normally distributed numbers (N, m, m).
        points: coordinates (p,) in [0, 1], the same for both axes.

    Returns:
        The fields at all pairs of coordinates, (N, p, p).

    Example:
        >>> gaussian_fields(np.ones((2, 4, 4)), np.array([0.25, 0.5, 0.75]), 2.0, 3.0).shape
        (2, 3, 3)
    """
    k = np.arange(noise.shape[-1])
    scale = tau ** (alpha - 1) * (np.pi**2 * (k[:, None] ** 2 + k**2) + tau**2) ** (-alpha / 2)
    scale[0, 0] = 0
    e = cosines(points, len(k))
    return e @ (scale * noise) @ e.T


def _noise(config: ProblemConfig, i: int) -> np.ndarray:
    return np.random.default_rng([config.seed, i]).normal(size=(config.grid, config.grid))


def _helmholtz(config: ProblemConfig) -> Iterator[dict[str, np.ndarray]]:
    def speeds(n: int) -> np.ndarray:
        return 20 + np.tanh(gaussian_fields(noise, centres(n), SPEEDS.alpha, SPEEDS.tau) / SPEEDS.tau)

    for i in range(config.samples):
        noise = _noise(config, i)[None]
        u, residual = pressures(speeds(2 * MODES), config.grid)
        _check_residuals(config, residual, "a direct solution")
        yield {"x": speeds(config.grid)[..., None], "y": u[..., None], "residual": residual}


def _multigrid(config: ProblemConfig) -> Iterator[dict[str, np.ndarray]]:
    size = min(BATCH, config.samples)
    model = None
    for start in range(0, config.samples, size):
        x, A, f = draw_problems(config, range(start, start + size))
        if model is None or A.ndim > 2:
            again = solver(config.grid - 1, A=A, smoother="red_black", coarse="galerkin")
            if model is None:
                model, iteration = again, Iteration(again)
            else:
                model.set_weights(again.get_weights())
        u, history = iteration(f, tolerance=config.tolerance, cycles=CYCLES)
        _check_residuals(config, history[-1], f"{len(history) - 1} cycles")
        yield {"x": x, "y": at_centres(u), "residual": history[-1]}


def _check_residuals(config: ProblemConfig, residuals: np.ndarray, what: str) -> None:
    if not (residuals <= config.tolerance).all():
        raise ValueError(
            f"expected residuals of at most tolerance={config.tolerance:g}. Received: {residuals.max():.3g} after {what}"
        )
