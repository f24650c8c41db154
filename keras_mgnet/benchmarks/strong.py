"""Factors, iterations and time to 1e-8 for anisotropy and jumps: our default components, and PyAMG's methods.

    python -m keras_mgnet.benchmarks.strong [--n 255 1023] [--rounds 3] [--untimed] [--out FOLDER]

Every method solves for one random right-hand side from zero, as cycles and as preconditioner of conjugate gradients. The methods
take turns within each round. Setup includes compilation and is timed separately. --untimed computes factors and iterations only,
without compilation by XLA. Prints Markdown. With --out, writes Markdown and JSON.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from keras_mgnet.benchmarks import report
from keras_mgnet.benchmarks.poisson import CYCLES, PACKAGES, TOLERANCE
from keras_mgnet.multigrid import anisotropic, block, convergence_factor, five_point, jumps, solver
from keras_mgnet.multigrid.comparison import factor
from keras_mgnet.multigrid.defaults import suited
from keras_mgnet.multigrid.iteration import ACCELERATIONS, Iteration
from keras_mgnet.multigrid.sparse import operator_matrix, pyamg_methods

PROBLEMS: dict[str, Callable[[int], np.ndarray]] = {
    "Poisson": lambda n: five_point(),
    "anisotropic, 0.001": lambda n: anisotropic(1e-3),
    "one block of 1000": block,
    "random cells of 1000": lambda n: jumps(n, 1e3, n + 1),
    "random cells of 1,000,000": lambda n: jumps(n, 1e6, n + 1),
}
COLUMNS = {
    "n": "n", "problem": "problem", "method": "method", "factor": "factor of a cycle", "accelerate": "acceleration",
    "iterations": "iterations to 1e-8", "median": "ms: median", "least": "least", "setup": "setup, s",
}  # fmt: skip

Solve = Callable[[], np.ndarray]  # -> the relative residuals


@dataclass(frozen=True)
class Row:
    """One method on one problem. `iterations` is None if it did not reach the tolerance. Times are None without timing."""

    n: int
    problem: str
    method: str
    factor: float
    accelerate: str
    iterations: int | None
    setup: float | None = None  # seconds
    median: float | None = None  # milliseconds
    least: float | None = None


@dataclass(frozen=True)
class Method:
    """A method with its setup time, its factor, and a function that solves, for each acceleration."""

    name: str
    setup: float
    factor: float
    solve: dict[str, Solve]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, nargs="+", default=[255, 1023])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--untimed", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    rounds = 0 if options.untimed else options.rounds
    rows = [row for n in options.n for problem in PROBLEMS for row in measure(problem, n, rounds)]
    text = report.markdown([asdict(row) for row in rows], COLUMNS)
    print(text)
    if options.out:
        record = {"environment": report.environment(*PACKAGES), "rows": [asdict(row) for row in rows]}
        report.write(options.out, "strong", record, text)


def measure(problem: str, n: int, rounds: int) -> Iterator[Row]:
    """Solves one problem with all methods. They take turns in `rounds` timed rounds."""
    A, f = PROBLEMS[problem](n), np.random.default_rng(0).normal(size=(1, n, n, 1))
    methods = [ours(A, f, timed=rounds > 0), *algebraic(A, f)]
    cases = [(method, how) for method in methods for how in method.solve]
    histories = {(method.name, how): method.solve[how]() for method, how in cases}
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in histories}
    for _ in range(rounds):
        for method, how in cases:
            start = time.perf_counter()
            method.solve[how]()
            seconds[method.name, how].append(time.perf_counter() - start)
    for method, how in cases:
        history, times = histories[method.name, how], [1e3 * second for second in seconds[method.name, how]]
        iterations = len(history) - 1 if history[-1] <= TOLERANCE else None
        timing = (method.setup, statistics.median(times), min(times)) if times else ()
        yield Row(n, problem, method.name, method.factor, how, iterations, *timing)


def ours(A: np.ndarray, f: np.ndarray, timed: bool) -> Method:
    """Returns the solver with the components that suit A."""
    start = time.perf_counter()
    n, jit = f.shape[1], None if timed else False
    model = solver(n, A=A)
    iterations = {how: Iteration(model, jit, accelerate=how) for how in ACCELERATIONS}
    for iteration in iterations.values():
        iteration(f, cycles=1)
    setup = (time.perf_counter() - start) / len(iterations)
    solve = {
        how: lambda iteration=iteration: iteration(f, tolerance=TOLERANCE, cycles=CYCLES)[1][:, 0]
        for how, iteration in iterations.items()
    }
    return Method(f"keras_mgnet, {suited(A).smoother}", setup, convergence_factor(model, n), solve)


def algebraic(A: np.ndarray, f: np.ndarray) -> Iterator[Method]:
    """Yields PyAMG's methods for the same matrix."""
    n = f.shape[1]
    for name, make in pyamg_methods().items():
        start = time.perf_counter()
        ml = make(operator_matrix(A, n))
        ml.solve(f.ravel(), maxiter=1)  # the first cycle factorises the coarsest grid
        setup = time.perf_counter() - start

        def solve(how: str, ml=ml) -> np.ndarray:
            residuals: list[float] = []
            accel = None if how == "none" else how
            ml.solve(f.ravel(), tol=TOLERANCE, maxiter=CYCLES, accel=accel, residuals=residuals)
            return np.array(residuals) / np.linalg.norm(f)

        yield Method(
            name, setup, factor(ml, n), {how: lambda how=how, solve=solve: solve(how) for how in ACCELERATIONS}
        )


if __name__ == "__main__":
    main()
