"""`solve`: solves a boundary value problem by multigrid cycles of MgNet's layers, with fixed stencils or a learned smoother."""

import math
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
from rich.table import Table

from keras_mgnet.cli.options import from_fields
from keras_mgnet.console import say, show, stderr, table
from keras_mgnet.extras import SOLVE, extra
from keras_mgnet.files import staged_file, workspace, write_json
from keras_mgnet.multigrid.comparison import Row, compare, error_curves, strongest
from keras_mgnet.multigrid.discretisation import plot_errors
from keras_mgnet.multigrid.experiment import Solution, build, run, run_network, run_pyamg
from keras_mgnet.multigrid.learn import LearnConfig, learned_solver, load_smoother, train
from keras_mgnet.multigrid.learned_report import plot_learned
from keras_mgnet.multigrid.neural import load_network
from keras_mgnet.multigrid.report import LevelRow, factors, level_rows, plot_histories
from keras_mgnet.multigrid.smoothers import POINTWISE
from keras_mgnet.version import versions


@from_fields(LearnConfig, positional="problem")
def solve_command(config: LearnConfig) -> None:
    """Solve A u = f on a square by multigrid cycles of MgNet's layers.

    --learn trains the smoother first. --against pyamg also solves with PyAMG.

    Example:
        keras-mgnet solve poisson --n 255 --cycle W --against pyamg
    """
    if config.against or config.learn:
        extra("pyamg", SOLVE)
    with workspace(config.out) if config.out else nullcontext():  # reports an unwritable folder before it computes
        learned = _learn(config) if config.learn else None
        model = learned.model if learned else _model(config)
        say(config.headline())
        levels = level_rows(model, config.cycle)
        show(level_table(levels))
        solutions = [run(config, model)]
        if config.initial:
            solutions += run_network(config, model, load_network(config.initial))
        if config.against:
            solutions += run_pyamg(config, config.components()["smoother"] in POINTWISE and not config.learn)
        show(history_table(solutions))
        show(solver_table(solutions, config.tolerance))
        if learned:
            show(comparison_table(learned.rows))
        if config.out:
            _write(Path(config.out), config, levels, solutions, learned)


@dataclass(frozen=True)
class Learned:
    """The result of --learn.

    Attributes:
        trained: the solver on the grid of the training.
        model: the solver with the same smoother on the grid of the problem.
        losses: loss of each training step, the logarithm of the convergence factor.
        rows: comparison with fixed smoothers.
    """

    trained: keras.Model
    model: keras.Model
    losses: list[float]
    rows: list[Row]


def _learn(config: LearnConfig) -> Learned:
    losses: list[float] = []
    with stderr().status("training") as status:

        def report(step: int, loss: float) -> None:
            losses.append(loss)
            status.update(f"step {step + 1} of {config.steps}: factor {math.exp(loss):.3f}")

        trained = train(config, report)
        status.update("comparing")
        model = learned_solver(trained, config)
        return Learned(trained, model, losses, compare(config, model))


def _model(config: LearnConfig) -> keras.Model:
    """Returns the solver of a configuration. Loads a learned smoother if `config.smoother` is a .keras file."""
    if (config.smoother or "").endswith(".keras"):
        return learned_solver(load_smoother(config.smoother), config)
    return build(config)


def comparison_table(rows: list[Row]) -> Table:
    """Returns a table that compares the learned smoother with the smoothers that `comparison.strongest` chooses."""

    def cells(row: Row) -> tuple[str, ...]:
        gain = f"{rows[0].rate / row.rate:.2f}" if row.rate > 0 else ""
        return row.name, row.settings, f"{row.factor:.4f}", f"{row.work:.2f}", f"{row.rate:.4f}", gain

    return table(
        ("smoother", "settings", "factor", "work", "rate", "learned / this"),
        map(cells, strongest(rows)),
        left=("settings",),
        caption="work: multiply-adds of a cycle, divided by those of one product with A on the first grid; "
        "rate: -ln(factor) / work",
    )


def level_table(rows: list[LevelRow]) -> Table:
    """Returns a table with one row per grid."""
    unknowns = [math.prod(row.points) for row in rows]
    total = f"{sum(unknowns):,}", f"{sum(row.work for row in rows):.2f}"
    levels = [
        (n, f"{r.points[0]} x {r.points[1]}", f"{unknowns[n - 1]:,}", r.stencil, r.visits, r.products, f"{r.work:.3f}")
        for n, r in enumerate(rows, 1)
    ]
    return table(
        ("level", "grid", "unknowns", "A", "visits", "products", "work"),
        [*levels, ("all", "", total[0], "", "", "", total[1])],
        caption="work: cost of the products with A, divided by the cost of one product on the first grid",
    )


def history_table(solutions: list[Solution]) -> Table:
    """Returns a table with one row per cycle and one column per solver: relative residual, and its factor in this cycle."""
    cycles = range(max(len(solution.history) for solution in solutions))
    return table(
        ("cycle", *(solution.name for solution in solutions)),
        ((cycle, *(_entry(solution.history, cycle) for solution in solutions)) for cycle in cycles),
        caption="largest relative residual of the batch, and the factor by which the cycle changes this residual",
    )


def _entry(history: list[float], cycle: int) -> str:
    if cycle >= len(history):
        return ""
    return f"{history[cycle]:.2e}" + (f"  {factors(history)[cycle - 1]:.3f}" if cycle else "       ")


def solver_table(solutions: list[Solution], tolerance: float) -> Table:
    """Returns a table with one row per solver."""
    return table(
        ("solver", "cycles", f"to {tolerance:g}", "mean factor", "factor", "setup", "time"),
        (_solver_row(solution, tolerance) for solution in solutions),
        caption="mean factor: by which a cycle changes the residual; factor: by which late cycles change the error; "
        "setup: with compilation; time: per right-hand side",
    )


def _solver_row(solution: Solution, tolerance: float) -> tuple[str, ...]:
    cycles = len(solution.history) - 1
    mean = (solution.history[-1] / solution.history[0]) ** (1 / cycles)
    factor = "" if solution.factor is None else f"{solution.factor:.3f}"
    reached = "yes" if solution.history[-1] <= tolerance else "no"
    times = (f"{solution.setup:.2f} s", f"{solution.seconds:.4f} s")
    return (solution.name, str(cycles), reached, f"{mean:.3f}", factor, *times)


def _write(
    out: Path, config: LearnConfig, levels: list[LevelRow], solutions: list[Solution], learned: Learned | None
) -> None:
    record = {"config": asdict(config), "levels": [asdict(row) for row in levels]}
    record |= {"solutions": [asdict(solution) for solution in solutions], "versions": versions()}
    title = config.headline()
    plot_histories({solution.name: solution.history for solution in solutions}, title, out / "residuals.png")
    files = ["residuals.png", "solve.json"]
    if learned:
        record["learned"] = {
            "losses": learned.losses,
            "comparison": [asdict(row) | {"rate": row.rate} for row in learned.rows],
        }
        plot_learned(learned.model, learned.losses, title, out / "smoother.png")
        with staged_file(out / "smoother.keras", ".keras") as staged:
            learned.trained.save(staged)
        files += ["smoother.keras", "smoother.png"]
        if config.operator().ndim == 2:
            curves = error_curves(config, learned.model)
            record["learned"]["errors"] = {
                name: {"work": work} | asdict(found) for name, (work, found) in curves.items()
            }
            plot_errors(curves, title, out / "errors.png")
            files.append("errors.png")
    write_json(out / "solve.json", record)
    say(f"wrote {out}: {', '.join(files)}")
