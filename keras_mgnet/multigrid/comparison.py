"""Compares a learned smoother with fixed ones, textbook remedies and PyAMG: convergence factor, work and errors of a cycle."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import keras
import numpy as np

from keras_mgnet.layers import KernelChain
from keras_mgnet.multigrid.discretisation import Errors, errors
from keras_mgnet.multigrid.experiment import SolveConfig, build
from keras_mgnet.multigrid.grids import hierarchy
from keras_mgnet.multigrid.iteration import convergence_factor, spectral_radius
from keras_mgnet.multigrid.learn import LearnConfig, smoothed_levels
from keras_mgnet.multigrid.smoothers import PATCHES
from keras_mgnet.multigrid.sparse import operator_matrix, pyamg_methods, pyamg_solver

CYCLES = 30  # of the power iteration
CURVE = 12  # cycles of which `error_curves` has the errors
POINTWISE_STEPS = ((1, 0), (1, 1), (2, 1), (2, 2), (3, 3), (4, 4))
DEGREES = (2, 3, 4, 6, 8, 12, 16, 20)  # beyond 20, PyAMG's coefficients of the polynomial are too inaccurate
SWEEPS = 4  # of Gauss-Seidel in a V-cycle of PyAMG's own methods: forward and backward, on the way down and up
LINE = 7  # multiply-adds at each point to solve for the points of a line by cyclic reduction
TEXTBOOK: Mapping[
    str, Mapping[str, Any]
] = {  # remedies for what is slow; those with black_box for variable coefficients
    "lines along x": {"smoother": "zebra_x"},
    "lines along y": {"smoother": "zebra_y"},
    "lines along x and y": {"smoother": "zebra"},
    "black box, red-black": {"smoother": "red_black", "transfer": "black_box", "coarse": "galerkin"},
    "black box, lines": {"smoother": "zebra", "transfer": "black_box", "coarse": "galerkin"},
    "black box, patches": {"smoother": "patches", "transfer": "black_box", "coarse": "galerkin"},
}
TEXTBOOK_STEPS = ((1, 0), (1, 1))
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
    work: float  # multiply-adds of a cycle in units of one product with A on the first grid, see `cycle_work`

    @property
    def rate(self) -> float:
        """-ln(factor) per unit of work; 0 for a method that does not converge."""
        return max(0.0, float(-np.log(self.factor) / self.work))


def cycle_work(config: SolveConfig, steps: int, cost: float | tuple[float, float]) -> float:
    """Returns the multiply-adds of a cycle in units of one product with A on the first grid. Sums are not counted.

    A cycle computes one residual on the first grid. On each grid except the coarsest it computes `steps` products with A and
    `steps` products with B, one restriction and one interpolation. The coarsest grid takes a product with the full A^{-1}.

    Args:
        config: the problem.
        steps: number of smoothing steps down and up, times the degree of Chebyshev's smoother. A sweep of red-black Gauss-Seidel
            or of lines of two colours is one step.
        cost: number of multiply-adds of B at each point, or a pair of those on the first grid and on coarser grids.

    Example:
        >>> cycle_work(SolveConfig(n=3), steps=2, cost=1)  # 9 points, then 1: (45 + 2 (45 + 9) + 2 9 + 1) / 45
        3.82...
    """
    components = config.components()
    names = ("transfer", "coarse", "coarsening")
    grids = hierarchy(components["A"], config.n, **{name: components[name] for name in names})
    first, coarser = cost if isinstance(cost, tuple) else (cost, cost)
    total = float(_entries(grids[0].A) * config.n**2 + np.prod(grids[-1].shape) ** 2)
    for j, (grid, following) in enumerate(itertools.pairwise(grids)):
        total += steps * (_entries(grid.A) + (coarser if j else first)) * np.prod(grid.shape)
        total += sum(map(_entries, grid.transfer)) * np.prod(following.shape)
    return float(total / (_entries(grids[0].A) * config.n**2))


def _entries(stencils: np.ndarray) -> int:
    """Returns the number of entries of a stencil, or of those of a field, that are not zero everywhere."""
    return int(np.any(stencils != 0, axis=tuple(range(stencils.ndim - 2))).sum())


def error_curves(config: LearnConfig, model: keras.Model) -> dict[str, tuple[float, Errors]]:
    """Returns the work of a cycle and the errors of the first cycles, for a learned smoother and some fixed ones.

    Raises:
        ValueError: for a problem with variable coefficients.
    """
    curves = {"learned": (_learned_work(config, model), errors(config, model, CURVE))}
    for smoother in ("jacobi", "red_black", "zebra_y"):
        work = cycle_work(config, sum(config.smoothing_steps), fixed_cost(smoother))
        curves[smoother] = work, errors(config, build(config, smoother=smoother), CURVE)
    return curves


def compare(config: LearnConfig, model: keras.Model) -> list[Row]:
    """Returns one row for the learned smoother, several for each fixed smoother and remedy of the textbooks, and those of PyAMG.

    The rows of a fixed smoother differ in the number of steps and in the degree. Each row has the omega or the spectrum in
    `FAMILIES` with the smallest convergence factor on `train_n` points per side.
    """
    found = convergence_factor(model, config.n, CYCLES)
    learned = Row("learned", f"nu {tuple(config.nu)}", found, _learned_work(config, model))
    return [learned, *_fixed(config), *_textbook(config), *_algebraic(config)]


def _learned_work(config: LearnConfig, model: keras.Model) -> float:
    B = smoothed_levels(model)[0].field.B[0]
    return cycle_work(config, sum(config.smoothing_steps), B.cost if isinstance(B, KernelChain) else B.size**2)


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


def _textbook(config: LearnConfig) -> Iterator[Row]:
    parts = config.components()
    base = SolveConfig(**{field.name: getattr(config, field.name) for field in fields(SolveConfig)})
    base = replace(base, transfer=parts["transfer"], coarse=parts["coarse"])
    for name, components in TEXTBOOK.items():
        if "transfer" in components and config.operator().ndim == 2:
            continue  # for constant coefficients, the interpolation is bilinear
        for nu in TEXTBOOK_STEPS:
            chosen = replace(base, nu=nu, **components)
            found = convergence_factor(build(chosen), config.n, CYCLES)
            steps = sum(nu) * (2 if components["smoother"] == "zebra" else 1)
            yield Row(name, f"nu {nu}", found, cycle_work(chosen, steps, fixed_cost(components["smoother"])))


def fixed_cost(smoother: str) -> float | tuple[float, float]:
    """Returns the argument `cost` of `cycle_work` for a smoother that the solver knows by name."""
    if smoother == "patches":
        first, coarser = PATCHES
        return (2 * first - 1) ** 2, (2 * coarser - 1) ** 2
    return LINE if smoother.startswith("zebra") else 1


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
        products = sum((SWEEPS + 1) * level.A.nnz + level.P.nnz + level.R.nnz for level in ml.levels[:-1])
        yield Row(name, "as it comes", factor(ml, config.n), (products + ml.levels[-1].A.shape[0] ** 2) / A.nnz)


def strongest(rows: list[Row]) -> list[Row]:
    """Returns the rows of the learned smoother and of PyAMG's methods, and at most two rows of each other method.

    One of the two rows has the best rate per unit of work. The other has the smallest factor among the rows that cost at most
    1.1 times as much as the learned smoother. If all rows cost more, the other is the method's first row.
    """
    chosen, names = [rows[0]], [*FAMILIES, *(name for name in TEXTBOOK if any(row.name == name for row in rows))]
    for name in names:
        family = [row for row in rows if row.name == name]
        affordable = [row for row in family if row.work <= 1.1 * rows[0].work]
        best = [max(family, key=lambda row: row.rate), min(affordable or family[:1], key=lambda row: row.factor)]
        chosen += dict.fromkeys(best)
    return [*chosen, *(row for row in rows[1:] if row.name not in names)]
