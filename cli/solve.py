"""`solve`: a boundary value problem by multigrid, the layers of MgNet with fixed stencils."""

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from keras_mgnet.cli.options import from_fields
from keras_mgnet.extras import SOLVE, extra
from keras_mgnet.files import workspace, write_json
from keras_mgnet.multigrid.experiment import Solution, SolveConfig, build, run, run_pyamg
from keras_mgnet.multigrid.report import LevelRow, factors, level_rows, plot_histories
from keras_mgnet.training.rundir import versions


def register(app: typer.Typer) -> None:
    """Adds the command of this file."""
    app.command("solve")(from_fields(SolveConfig, positional="problem")(solve_command))


def solve_command(config: SolveConfig) -> None:
    """Solve A u = f on a square by multigrid cycles of MgNet's layers with fixed stencils, beside PyAMG's with --against."""
    if config.against:
        extra("pyamg", SOLVE)
    with (
        workspace(config.out) if config.out else nullcontext()
    ):  # an unwritable folder is told before anything is computed
        model = build(config)
        levels = level_rows(model, config.cycle)
        console = Console(width=None if Console().is_terminal else 160)
        console.print(level_table(levels))
        solutions = [run(config, model), *(run_pyamg(config) if config.against else [])]
        console.print(history_table(solutions))
        console.print(solver_table(solutions, config.tolerance))
        if config.out:
            _write(Path(config.out), config, levels, solutions)


def level_table(rows: list[LevelRow]) -> Table:
    """Returns a row per grid."""
    table = Table("level", caption="work: products with A in units of one product on the first grid")
    for heading in ("grid", "unknowns", "A", "visits", "products", "work"):
        table.add_column(heading, justify="right")
    for number, row in enumerate(rows, 1):
        sizes = (f"{row.points} x {row.points}", f"{row.points**2:,}", row.stencil)
        table.add_row(str(number), *sizes, str(row.visits), str(row.products), f"{row.work:.3f}")
    table.add_row(
        "all", "", f"{sum(row.points**2 for row in rows):,}", "", "", "", f"{sum(row.work for row in rows):.2f}"
    )
    return table


def history_table(solutions: list[Solution]) -> Table:
    """Returns a row per cycle: of each solver the relative residual and by what the cycle has multiplied it."""
    table = Table("cycle", caption="largest relative residual of the batch; by what the cycle has multiplied it")
    for solution in solutions:
        table.add_column(solution.name, justify="right")
    for cycle in range(max(len(solution.history) for solution in solutions)):
        table.add_row(str(cycle), *(_entry(solution.history, cycle) for solution in solutions))
    return table


def _entry(history: list[float], cycle: int) -> str:
    if cycle >= len(history):
        return ""
    return f"{history[cycle]:.2e}" + (f"  {factors(history)[cycle - 1]:.3f}" if cycle else "       ")


def solver_table(solutions: list[Solution], tolerance: float) -> Table:
    """Returns a row per solver."""
    table = Table(
        "solver", caption="time: per right-hand side; setup: with compilation; factor: asymptotic, of the error"
    )
    for heading in ("cycles", f"to {tolerance:g}", "mean factor", "factor", "setup", "time"):
        table.add_column(heading, justify="right")
    for solution in solutions:
        cycles = len(solution.history) - 1
        mean = (solution.history[-1] / solution.history[0]) ** (1 / cycles)
        factor = "" if solution.factor is None else f"{solution.factor:.3f}"
        reached = "yes" if solution.reached(tolerance) else "no"
        table.add_row(
            solution.name,
            str(cycles),
            reached,
            f"{mean:.3f}",
            factor,
            f"{solution.setup:.2f} s",
            f"{solution.seconds:.4f} s",
        )
    return table


def _write(out: Path, config: SolveConfig, levels: list[LevelRow], solutions: list[Solution]) -> None:
    record = {"config": asdict(config), "levels": [asdict(row) for row in levels]}
    record |= {"solutions": [asdict(solution) for solution in solutions], "versions": versions()}
    title = f"{config.problem}, {config.n} x {config.n}: {config.cycle}-cycle{tuple(config.nu)}, {config.smoother}"
    plot_histories({solution.name: solution.history for solution in solutions}, title, out / "residuals.png")
    write_json(out / "solve.json", record)
    typer.echo(f"wrote {out}: residuals.png, solve.json")
