"""Times solvers of Poisson's equation to a relative residual of 1e-8, per right-hand side: our multigrid cycles and PyAMG's.

    python -m keras_mgnet.benchmarks.poisson [--n 511 1023] [--batch 1 64] [--rounds 3] [--out FOLDER]

The solvers take turns within each round, so that other load on the machine affects all of them. All solvers get the same
random right-hand sides and start from zero. Setup includes compilation and is timed separately. PyAMG solves one right-hand
side after the other. Each takes equally long, so PyAMG solves only `--pyamg` right-hand sides of a batch. Prints Markdown.
With --out, writes Markdown and JSON.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from keras_mgnet.benchmarks import report
from keras_mgnet.multigrid.experiment import SolveConfig, build
from keras_mgnet.multigrid.iteration import Iteration
from keras_mgnet.multigrid.sparse import operator_matrix, pyamg_methods, pyamg_solver

TOLERANCE, CYCLES = 1e-8, 100
SMOOTHERS = {
    "jacobi": {"smoother": "jacobi"},
    "red-black": {"smoother": "red_black"},
    "Chebyshev(2)": {"smoother": "chebyshev", "nu": (1, 0)},
}
COLUMNS = {
    "n": "n", "batch": "batch", "solver": "solver", "cycles": "cycles", "median": "ms per right-hand side: median",
    "least": "least", "setup": "setup, s",
}  # fmt: skip
PACKAGES = ("keras-mgnet", "keras", "tensorflow", "numpy", "scipy", "pyamg")

Solve = Callable[[np.ndarray], int]  # (N, n, n, 1) -> cycles


@dataclass(frozen=True)
class Row:
    """One solver on one size: seconds of setup, milliseconds per right-hand side (median and least over the rounds), cycles."""

    n: int
    batch: int
    solver: str
    setup: float
    median: float
    least: float
    cycles: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, nargs="+", default=[511, 1023])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--pyamg", type=int, default=4, help="right-hand sides of a batch that PyAMG solves per round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    rows = [
        row for n in options.n for batch in options.batch for row in measure(n, batch, options.pyamg, options.rounds)
    ]
    text = report.markdown([asdict(row) for row in rows], COLUMNS)
    print(text)
    if options.out:
        record = {"environment": report.environment(*PACKAGES), "rows": [asdict(row) for row in rows]}
        report.write(options.out, "poisson", record, text)


def measure(n: int, batch: int, pyamg_count: int, rounds: int) -> list[Row]:
    """Times all solvers on one size, in turns."""
    config = SolveConfig(n=n, batch=batch)
    f = config.right_hand_sides()
    first = f[:pyamg_count]
    solvers: list[tuple[str, np.ndarray, float, Solve]] = []
    for name, options in SMOOTHERS.items():
        problem = replace(config, **options)
        for precision, inner in (("float64", None), ("float32 cycles", "float32")):
            given = replace(problem, cycle_dtype=inner)
            solvers.append((f"keras_mgnet, {name}, {precision}", f, *timed(lambda given=given: ours(given, f))))
        solvers.append((f"PyAMG, {name}, same components", first, *timed(lambda problem=problem: same(problem))))
    for name, make in pyamg_methods().items():
        solvers.append((name, first, *timed(lambda make=make: algebraic(make, config))))

    seconds: dict[str, list[float]] = {name: [] for name, *_ in solvers}
    cycles: dict[str, int] = {}
    for _ in range(rounds):
        for name, sides, _, solve in solvers:
            start = time.perf_counter()
            cycles[name] = solve(sides)
            seconds[name].append((time.perf_counter() - start) / len(sides))
    return [
        Row(n, batch, name, setup, 1e3 * statistics.median(seconds[name]), 1e3 * min(seconds[name]), cycles[name])
        for name, _, setup, _ in solvers
    ]


def timed(make: Callable[[], Solve]) -> tuple[float, Solve]:
    start = time.perf_counter()
    solve = make()
    return time.perf_counter() - start, solve


def ours(config: SolveConfig, f: np.ndarray) -> Solve:
    """Builds and compiles a solver that iterates until the largest relative residual of the batch is at most `TOLERANCE`."""
    iteration = Iteration(build(config))
    iteration(f, cycles=1)
    return lambda f: reached(iteration(f, tolerance=TOLERANCE, cycles=CYCLES)[1].max(axis=1))


def same(config: SolveConfig) -> Solve:
    return one_after_the_other(pyamg_solver(config.n, nu=config.nu, **config.components()))


def algebraic(make: Callable, config: SolveConfig) -> Solve:
    return one_after_the_other(make(operator_matrix(config.operator(), config.n)))


def one_after_the_other(ml) -> Solve:
    def solve(sides: np.ndarray) -> int:
        longest = 0
        for f in sides.reshape(len(sides), -1):
            residuals: list[float] = []
            ml.solve(f, tol=TOLERANCE, maxiter=CYCLES, residuals=residuals)
            longest = max(longest, reached(np.array(residuals) / np.linalg.norm(f)))
        return longest

    ml.solve(np.ones(ml.levels[0].A.shape[0]), maxiter=1)  # the first cycle factorises the coarsest grid
    return solve


def reached(history: np.ndarray) -> int:
    """Returns the number of cycles of a history. Raises RuntimeError if the last residual is larger than `TOLERANCE`."""
    if history[-1] > TOLERANCE:
        raise RuntimeError(f"expected a residual of {TOLERANCE} after {CYCLES} cycles. Received: {history[-1]}")
    return len(history) - 1


if __name__ == "__main__":
    main()
