"""Compares a learned smoother with fixed smoothers and with PyAMG: convergence factor and work of a cycle."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from keras_mgnet.layers import KernelChain
from keras_mgnet.multigrid.experiment import SolveConfig
from keras_mgnet.multigrid.grids import hierarchy
from keras_mgnet.multigrid.iteration import convergence_factor, spectral_radius
from keras_mgnet.multigrid.learn import LearnConfig, smoothed_levels
from keras_mgnet.multigrid.sparse import operator_matrix, pyamg_methods, pyamg_solver

CYCLES = 30  # of the power iteration
POINTWISE_STEPS = ((1, 0), (1, 1), (2, 1), (2, 2), (3, 3), (4, 4))
DEGREES = (2, 3, 4, 6, 8, 12, 16, 20)  # beyond 20, PyAMG's coefficients of the polynomial are too inaccurate
SWEEPS = 4  # of Gauss-Seidel in a V-cycle of PyAMG's own methods: forward and backward, on the way down and up
FAMILIES: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "jacobi": tuple({"omega": 0.05 * i} for i in range(10, 21)),
    "red_black": ({},),
    "chebyshev": tuple({"spectrum": (low, 2.0)} for low in (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5)),
}


@dataclass(frozen=True)
class Row:
    """One multigrid method with its convergence factor and its work."""

    name: str  # name of the smoother, or of a method of PyAMG
    settings: str  # arguments of the smoother
    factor: float  # asymptotic convergence factor of one cycle
    work: float  # multiply-adds with A and B in units of one product with A on the first grid; no transfers, no coarsest grid

    @property
    def rate(self) -> float:
        """-ln(factor) per unit of work; 0 for a method that does not converge."""
        return max(0.0, float(-np.log(self.factor) / self.work))


def cycle_work(config: SolveConfig, steps: int, cost: int) -> float:
    """Returns the work of a cycle in units of one product with A on the first grid, see `Row.work`.

    A cycle computes one residual on the first grid. On each grid except the coarsest it computes `steps` products with A and
    `steps` products with B.

    Args:
        config: the problem.
        steps: number of smoothing steps down and up, times the degree of Chebyshev's smoother. A sweep of red-black Gauss-Seidel
            is one step.
        cost: number of multiply-adds of B at each point.

    Example:
        >>> cycle_work(SolveConfig(n=3), steps=2, cost=1)  # (5 + 2 (5 + 1)) / 5
        3.4
    """
    components = config.components()
    names = ("transfer", "coarse", "coarsening")
    grids = hierarchy(components["A"], config.n, **{name: components[name] for name in names})
    entries = [int(np.any(grid.A != 0, axis=tuple(range(grid.A.ndim - 2))).sum()) for grid in grids]
    smoothing = sum(steps * (a + cost) * np.prod(grid.shape) for a, grid in zip(entries[:-1], grids[:-1], strict=True))
    return 1 + float(smoothing) / (entries[0] * config.n**2)


def compare(config: LearnConfig, model: keras.Model) -> list[Row]:
    """Returns one row for the learned smoother, several for each fixed smoother, and one for each method of PyAMG.

    The rows of a fixed smoother differ in the number of steps and in the degree. Each row has the omega or the spectrum in
    `FAMILIES` with the smallest convergence factor on `train_n` points per side.
    """
    B = smoothed_levels(model)[0].field.B[0]
    work = cycle_work(config, sum(config.smoothing_steps), B.cost if isinstance(B, KernelChain) else B.size**2)
    learned = Row("learned", f"nu {tuple(config.nu)}", convergence_factor(model, config.n, CYCLES), work)
    return [learned, *_fixed(config), *_algebraic(config)]


def _fixed(config: LearnConfig) -> Iterator[Row]:
    small = replace(config, n=config.train_n)
    for smoother, nu, degree in [
        *((smoother, nu, 1) for smoother in ("jacobi", "red_black") for nu in POINTWISE_STEPS),
        *(("chebyshev", nu, degree) for nu in POINTWISE_STEPS[:2] for degree in DEGREES),
    ]:
        options: dict[str, Any] = {"smoother": smoother, "nu": nu, "degree": degree}
        tuned = min(FAMILIES[smoother], key=lambda choice: _factor_of(small, {**options, **choice}))
        settings = ", ".join([f"nu {nu}", *([f"degree {degree}"] if degree > 1 else []), *map(_words, tuned.items())])
        yield Row(smoother, settings, _factor_of(config, {**options, **tuned}), cycle_work(config, sum(nu) * degree, 1))


def _words(option: tuple[str, Any]) -> str:
    name, value = option
    return f"{name} {value:.2f}" if isinstance(value, float) else f"{name} [{value[0]:g}, {value[1]:g}]"


def _factor_of(config: SolveConfig, options: dict[str, Any]) -> float:
    return factor(pyamg_solver(config.n, **config.components() | options), config.n)


def factor(ml, n: int) -> float:
    """Returns the asymptotic convergence factor of a V-cycle of a `pyamg.MultilevelSolver` on n x n points."""
    f = np.zeros(n * n)
    start = np.random.default_rng(0).normal(size=n * n)
    return spectral_radius(lambda u: ml.solve(f, x0=u, maxiter=1, tol=1e-300), start, CYCLES)


def _algebraic(config: LearnConfig) -> Iterator[Row]:
    A = operator_matrix(config.operator(), config.n)
    for name, make in pyamg_methods().items():
        ml = make(A)
        products = sum((SWEEPS + 1) * level.A.nnz for level in ml.levels[:-1])
        yield Row(name, "as it comes", factor(ml, config.n), products / A.nnz)


def strongest(rows: list[Row]) -> list[Row]:
    """Returns the rows of the learned smoother and of PyAMG's methods, and at most two rows of each fixed smoother.

    One of the two rows has the best rate per unit of work. The other has the smallest factor among the rows that cost at most
    1.1 times as much as the learned smoother. If all rows cost more, the other is the smoother's first row.
    """
    chosen = [rows[0]]
    for name in FAMILIES:
        family = [row for row in rows if row.name == name]
        affordable = [row for row in family if row.work <= 1.1 * rows[0].work]
        best = [max(family, key=lambda row: row.rate), min(affordable or family[:1], key=lambda row: row.factor)]
        chosen += dict.fromkeys(best)
    return [*chosen, *(row for row in rows[1:] if row.name not in FAMILIES)]
