"""Learns the weights of interpolation for random coefficients, and compares them with black-box interpolation and PyAMG.

    python -m keras_mgnet.benchmarks.learned_interpolation [--n 31 63 127] [--out FOLDER]

Coefficients are 1 or the contrast at random in each cell. The operators to solve for are not among those of the training. All
methods get the same matrices. Factors are those of late V(1,1)-cycles. Iterations are those of conjugate gradients, with one
cycle as the preconditioner, to a relative residual of 1e-8. Prints Markdown. With --out, writes Markdown and JSON.
"""

import argparse
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from keras_mgnet.benchmarks import report
from keras_mgnet.multigrid import convergence_factor, jumps, solve, solver
from keras_mgnet.multigrid.comparison import factor
from keras_mgnet.multigrid.learned_interpolation import learned_interpolation, train_interpolation
from keras_mgnet.multigrid.sparse import operator_matrix, pyamg_methods

FIRST = 1000  # seed of the first operator to solve for
TOLERANCE, CYCLES = 1e-8, 200
COLUMNS = {"n": "n", "seed": "seed", "method": "method", "factor": "factor", "iterations": "iterations"}
PACKAGES = ("keras-mgnet", "keras", "tensorflow", "numpy", "pyamg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, nargs="+", default=[31, 63, 127], help="points per side to solve on")
    parser.add_argument("--smoother", default="patches")
    parser.add_argument("--contrast", type=float, default=1000.0)
    parser.add_argument("--operators", type=int, default=24, help="operators to train on, of 31 x 31 points")
    parser.add_argument("--steps", type=int, default=3600)
    parser.add_argument("--solved", type=int, default=3, help="operators to solve for, of each size")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    losses: list[float] = []
    begun = time.process_time()
    net = train_interpolation(
        [jumps(31, options.contrast, 32, seed) for seed in range(options.operators)],
        smoother=options.smoother,
        channels=32,
        steps=options.steps,
        learning_rate=0.03,
        report=lambda step, loss: losses.append(loss),
    )
    part = 2 * options.operators
    before, after = (math.exp(np.mean(chosen)) for chosen in (losses[:part], losses[-part:]))
    trained = f"two grids, mean bound of the factor: {before:.3f} before, {after:.3f} after {time.process_time() - begun:.0f} s"
    ours = {"black box": "black_box", "learned": learned_interpolation(net)}
    rows = [row for n in options.n for i in range(options.solved) for row in measure(n, FIRST + i, ours, options)]
    text = f"{trained}\n\n{report.markdown(rows, COLUMNS)}"
    print(text)
    if options.out:
        record = {"environment": report.environment(*PACKAGES), "losses": losses, "rows": rows}
        report.write(options.out, "learned_interpolation", record, text)


def measure(n: int, seed: int, ours: dict[str, str | Callable], options: argparse.Namespace) -> Iterator[dict]:
    """Yields a row for each method on one operator."""
    A = jumps(n, options.contrast, n + 1, seed)
    matrix, f = operator_matrix(A, n), np.random.default_rng(seed).normal(size=(1, n, n, 1))
    for name, transfer in ours.items():
        model = solver(n, A=A, smoother=options.smoother, transfer=transfer)
        _, history = solve(model, f, tolerance=TOLERANCE, cycles=CYCLES, accelerate="cg")
        yield _row(n, seed, name, convergence_factor(model, n, 30), len(history) - 1)
    for name, make in pyamg_methods().items():
        ml, residuals = make(matrix), []
        ml.solve(f.ravel(), tol=TOLERANCE, maxiter=CYCLES, accel="cg", residuals=residuals)
        yield _row(n, seed, name, factor(ml, n), len(residuals) - 1)


def _row(n: int, seed: int, method: str, found: float, iterations: int) -> dict:
    return {"n": n, "seed": seed, "method": method, "factor": float(found), "iterations": iterations}


if __name__ == "__main__":
    main()
