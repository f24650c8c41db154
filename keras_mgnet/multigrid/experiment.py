"""Solves one problem, with the solver of this package and with PyAMG."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal, cast

import keras
import numpy as np

from keras_mgnet.configuration import Count, Fraction, check, option
from keras_mgnet.multigrid.defaults import Components, suited
from keras_mgnet.multigrid.grids import grid_count
from keras_mgnet.multigrid.iteration import Iteration, convergence_factor
from keras_mgnet.multigrid.neural import initial_guess, preconditioned
from keras_mgnet.multigrid.operators import anisotropic, block, five_point, jumps
from keras_mgnet.multigrid.problems import FIELDS, Drawn, ProblemConfig, draw_problems
from keras_mgnet.multigrid.solvers import solver
from keras_mgnet.multigrid.sparse import operator_matrix, pyamg_methods, pyamg_solver

FACTOR_CYCLES = 20
DARCY = ("darcy", "darcy_rough")


@dataclass(frozen=True)
class SolveConfig:
    """A problem and the cycle that solves the problem. The fields are the options of `keras-mgnet solve`."""

    problem: Literal["poisson", "anisotropic", "block", "jumps", "darcy", "darcy_rough"] = option(
        "poisson",
        "poisson, anisotropic (-eps u_xx - u_yy), block or jumps (-div(a grad u), a is 1, and the contrast in a square or "
        "in random tiles), darcy or darcy_rough (-div(a grad u) = 1, a as in the data pde:darcy or pde:darcy_rough)",
    )
    n: int = option(255, "points per side, 2^k - 1")
    cycle: str = option("V", "V, W or backslash")
    nu: tuple[int, int] = option((1, 1), "smoothing steps on the way down and on the way up")
    smoother: str | None = option(
        None,
        "jacobi, red_black, chebyshev, zebra_x, zebra_y, zebra (lines along x, y or both), patches, or a smoother.keras file "
        "of --learn [default: jacobi; lines along strong couplings for anisotropic; patches for block and jumps]",
    )
    omega: float = option(0.8, "damping factor of jacobi")
    degree: int = option(2, "degree of the polynomial of chebyshev")
    transfer: str | None = option(
        None,
        "full_weighting, fem, injection or black_box [default: black_box for block and jumps, else full_weighting]",
    )
    coarse: str | None = option(None, "rediscretised or galerkin [default: galerkin for block and jumps]")
    accelerate: Literal["none", "cg"] | None = option(
        None, "cg: the cycle is the preconditioner of conjugate gradients [default: cg for block and jumps, else none]"
    )
    coarsening: str = option("full", "full, or strong to halve only the axis of strong couplings")
    levels: int | None = option(None, "number of grids [default: down to a single point]")
    eps: float = option(0.01, "eps of the problem anisotropic")
    contrast: float = option(1000.0, "contrast of the problems block and jumps")
    tiles: Count = option(8, "tiles per side of the problem jumps; n + 1 for a random coefficient in each cell")
    tolerance: Fraction = option(1e-8, "relative residual to reach")
    cycles: Count = option(50, "largest number of cycles")
    batch: Count = option(1, "number of random right-hand sides")
    dtype: Literal["float64", "float32"] = option("float64", "dtype of the solution, float64 or float32")
    cycle_dtype: Literal["float64", "float32"] | None = option(
        None, "dtype of the corrections; float32 for iterative refinement"
    )
    seed: int = option(0, "seed of right-hand sides and coefficients")
    against: Literal["pyamg"] | None = option(
        None, "pyamg: compare with PyAMG: Ruge-Stuben, smoothed aggregation and a cycle of the same components"
    )
    initial: str | None = option(
        None,
        "run of a network trained on pde:PROBLEM, for the problems darcy, darcy_rough and poisson: compare the solver with and "
        "without it",
    )
    out: str | None = option(None, "folder for solve.json and residuals.png")

    def __post_init__(self):
        check(self)
        grid_count(self.n)
        if self.initial and self.problem not in FIELDS:
            raise ValueError(f"expected initial only for {', '.join(FIELDS)}. Received: problem={self.problem!r}")
        if self.batch > 1 and self.problem in FIELDS and self.problem != "poisson":
            raise ValueError(f"expected batch=1 for {self.problem}: f is 1. Received: batch={self.batch}")

    @property
    def smoothing_steps(self) -> tuple[int, int]:
        """Numbers of smoothing steps on the way down and on the way up. A backslash cycle has none on the way up."""
        return self.nu[0], 0 if self.cycle == "backslash" else self.nu[1]

    def operator(self) -> np.ndarray:
        """Returns h^2 times the differential operator, as a stencil (3, 3) or one stencil per point (n, n, 3, 3)."""
        return self._operator

    @cached_property
    def _operator(self) -> np.ndarray:
        return PROBLEMS[self.problem](self)

    @cached_property
    def drawn(self) -> Drawn:
        """Problems of `pde:PROBLEM` with another seed than that of training data."""
        config = ProblemConfig(cast(Any, self.problem), samples=self.batch, grid=self.n + 1, seed=self.seed + 1)
        return draw_problems(config, range(self.batch))

    @cached_property
    def _chosen(self) -> Components:
        return self.defaults(self._operator).with_given(self.smoother, self.transfer, self.coarse, self.coarsening)

    def components(self) -> dict[str, Any]:
        """Returns the arguments that `solver` and `pyamg_solver` share."""
        shared = {name: getattr(self, name) for name in ("omega", "degree", "coarsening", "levels")}
        chosen = {name: getattr(self._chosen, name) for name in ("smoother", "transfer", "coarse")}
        return shared | chosen | {"A": self._operator}

    def defaults(self, A: np.ndarray) -> Components:
        """Returns the components for an operator that the options leave out."""
        return suited(A)

    def acceleration(self) -> str:
        """Returns "cg" or "none"."""
        return self.accelerate or self._chosen.accelerate

    def headline(self) -> str:
        """Returns the problem and the method in one line."""
        parts = self.components()
        smoother = "a learned smoother" if parts["smoother"].endswith(".keras") else parts["smoother"]
        accelerated = " in conjugate gradients" if self.acceleration() == "cg" else ""
        method = f"{self.cycle}{self.smoothing_steps}{accelerated}, {smoother}, {parts['transfer']}, {parts['coarse']}"
        return f"{self.problem}, {self.n} x {self.n}: {method}"

    def right_hand_sides(self) -> np.ndarray:
        """Returns random f, (batch, n, n, 1), normally distributed; for darcy and with `initial` those of `drawn`."""
        if self.initial or self.problem in DARCY:
            return self.drawn.f
        return np.random.default_rng(self.seed).normal(size=(self.batch, self.n, self.n, 1))


PROBLEMS: dict[str, Callable[[SolveConfig], np.ndarray]] = {
    "poisson": lambda config: five_point(),
    "anisotropic": lambda config: anisotropic(config.eps),
    "block": lambda config: block(config.n, config.contrast),
    "jumps": lambda config: jumps(config.n, config.contrast, config.tiles, config.seed),
    **dict.fromkeys(DARCY, lambda config: config.drawn.A[0]),
}


@dataclass(frozen=True)
class Solution:
    """The result of one solver."""

    name: str
    history: list[float]  # largest relative residual of the batch, at the start and after each cycle
    setup: float  # seconds of preparation before the timed cycles, including compilation
    seconds: float  # seconds of all cycles, per right-hand side
    factor: float | None = None  # asymptotic convergence factor, if it was computed


def build(config: SolveConfig, **changes) -> keras.Model:
    """Returns the solver of a configuration. `changes` replace arguments of `solver`."""
    names = ("cycle", "nu", "dtype", "cycle_dtype")
    return solver(config.n, **{name: getattr(config, name) for name in names} | config.components() | changes)


def run(config: SolveConfig, model: keras.Model) -> Solution:
    """Solves the problem with a model of `build`."""
    factor = convergence_factor(model, config.n, FACTOR_CYCLES, config.seed)
    return _run("keras_mgnet", config, Iteration(model, accelerate=config.acceleration()), factor=factor)


def run_network(config: SolveConfig, model: keras.Model, network: keras.Model) -> list[Solution]:
    """Solves the problem with a network as the initial guess, and for poisson also as a part of the preconditioner."""
    guess = partial(initial_guess, network, config.drawn.x)
    found = [_run("initial guess", config, Iteration(model, accelerate=config.acceleration()), guess)]
    if config.problem == "poisson":
        found += [
            _run("conjugate gradients", config, Iteration(model, accelerate="cg")),
            _run("preconditioner", config, Iteration(preconditioned(network, model), accelerate="cg")),
        ]
    return found


def _run(
    name: str,
    config: SolveConfig,
    iteration: Iteration,
    guess: Callable[[], np.ndarray | None] = lambda: None,
    factor: float | None = None,
) -> Solution:
    f = config.right_hand_sides()
    start = time.perf_counter()
    iteration(f, guess(), cycles=1)
    setup = time.perf_counter()
    _, history = iteration(f, guess(), tolerance=config.tolerance, cycles=config.cycles)
    seconds = (time.perf_counter() - setup) / config.batch
    return Solution(name, history.max(axis=1).tolist(), setup - start, seconds, factor)


def run_pyamg(config: SolveConfig, fixed: bool = True) -> list[Solution]:
    """Solves the problem with PyAMG: by Ruge-Stuben, smoothed aggregation and, if `fixed`, a cycle of the same components."""
    own, A = pyamg_methods(), operator_matrix(config.operator(), config.n)
    same = {"PyAMG, same components": lambda: pyamg_solver(config.n, nu=config.smoothing_steps, **config.components())}
    makers = (same if fixed else {}) | {name: partial(make, A) for name, make in own.items()}
    return [_run_pyamg(config, name, make) for name, make in makers.items()]


def _run_pyamg(config: SolveConfig, name: str, make: Callable) -> Solution:
    start = time.perf_counter()
    ml = make()
    setup = time.perf_counter()
    kind = "W" if config.cycle == "W" else "V"
    accelerate = "cg" if config.acceleration() == "cg" else None
    histories = []
    for f in config.right_hand_sides().reshape(config.batch, -1):
        residuals: list[float] = []
        options = {"tol": config.tolerance, "maxiter": config.cycles, "cycle": kind, "accel": accelerate}
        ml.solve(f, residuals=residuals, **options)
        histories.append(np.array(residuals) / np.linalg.norm(f))
    seconds = (time.perf_counter() - setup) / config.batch
    longest = max(map(len, histories))
    worst = np.max([np.pad(history, (0, longest - len(history)), mode="edge") for history in histories], axis=0)
    return Solution(name, worst.tolist(), setup - start, seconds)
