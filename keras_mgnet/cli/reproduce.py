"""`reproduce`: reruns a table of the papers and compares our results with the published results."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from keras_mgnet.cli.options import PAIR, SetOption, parse_pairs
from keras_mgnet.console import say, show, table, track
from keras_mgnet.training.loop.loop import STOPPED
from keras_mgnet.training.tables.cost import RowCost, estimate
from keras_mgnet.training.tables.report import Outcome, Result
from keras_mgnet.training.tables.reproduce import existing_runs, find_obstacles, pending_runs, reproduce
from keras_mgnet.training.tables.request import BUDGET, Reproduction
from keras_mgnet.training.tables.scaling import Cluster
from keras_mgnet.training.tables.tables import TABLES


def reproduce_command(
    table: Annotated[str, typer.Argument(help=", ".join(TABLES))],
    rows: Annotated[
        list[str] | None,
        typer.Option(help="row numbers from 1, or shell patterns such as 'resnet18*-cifar10'; by default all"),
    ] = None,
    budget: Annotated[
        list[str] | None,
        typer.Option(
            metavar=PAIR, help=f"setting that replaces the recipe's, one of {', '.join(BUDGET)}; the report names it"
        ),
    ] = None,
    set: SetOption = None,
    data: Annotated[
        list[str] | None, typer.Option(metavar=PAIR, help="location of a data set, as in imagenet=folder:DIR")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="runs per row, with the seeds 1, 2, ...")] = 3,
    out: Annotated[Path | None, typer.Option(help="directory for runs and report; by default reproduced/TABLE")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the cost and run nothing")] = False,
    workers: Annotated[int, typer.Option(min=1, help="with --dry-run: equal machines that share each step")] = 1,
    rate: Annotated[
        float | None, typer.Option(help="with --dry-run: GFLOP/s of a worker in training; by default this machine's")
    ] = None,
    bandwidth: Annotated[
        float | None, typer.Option(help="with --dry-run: GB/s that a worker sends; by default without limit")
    ] = None,
    latency: Annotated[float, typer.Option(help="with --dry-run: milliseconds of a message without content")] = 0.0,
    input_rate: Annotated[
        float | None, typer.Option(help="with --dry-run: images/s that a worker prepares; by default without limit")
    ] = None,
) -> None:
    """Rerun a published table, or continue a rerun. Write our results next to the published ones as Markdown, JSON and a plot.

    Example:
        keras-mgnet reproduce he2019:3 --rows 'resnet18*-cifar10' --dry-run
    """
    asked = Reproduction(
        table=table,
        out=out or Path("reproduced") / table.replace(":", "-"),
        rows=tuple(rows or ()),
        budget=parse_pairs(budget),
        set=parse_pairs(set),
        data=parse_pairs(data),
        seeds=seeds,
    )
    machines = (workers, rate and 1e9 * rate / 2, bandwidth and 1e9 * bandwidth, latency / 1e3, input_rate)
    cluster = Cluster(*machines)
    if cluster != Cluster() and not dry_run:
        raise ValueError("expected --dry-run with the options of machines, such as --workers. Received: no --dry-run")
    if dry_run:
        _show_cost(asked, cluster)
    else:
        outcome = reproduce(asked)
        rows = [result for result in outcome.results if result.row in asked.selected]
        raise typer.Exit(_summarise(outcome, rows))


def _summarise(outcome: Outcome, rows: list[Result]) -> int:
    gaps = [f"{result.row.key}: {result.gap}" for result in rows if result.gap]
    summary = f"{len(rows) - len(gaps)} of {len(rows)} rows complete"
    say("\n".join([summary, *gaps, f"wrote {', '.join(map(str, outcome.paths))}"]))
    if outcome.stopped:
        say(f"{outcome.stopped}; the same command continues where it stopped")
    return STOPPED.get(outcome.stopped, int(bool(gaps)))


def _show_cost(asked: Reproduction, cluster: Cluster) -> None:
    pending = pending_runs(asked, existing_runs(asked))
    runs = {row.key: sum(other.key == row.key for other, _ in pending) for row in asked.selected}
    costs = list(track(estimate(asked, runs, cluster), "counting", total=len(runs)))
    show(_cost_table(asked, cluster, costs))
    for name, reason in find_obstacles(asked, pending).items():
        say(f"{name} cannot be loaded here: {reason}")


def _cost_table(asked: Reproduction, cluster: Cluster, costs: list[RowCost]) -> Table:
    hours, petaflop, runs = (sum(getattr(cost, name) for cost in costs) for name in ("hours", "petaflop", "runs"))
    shared = (
        f" on {cluster.workers} workers ({cluster.workers * hours:,.2f} device hours)" if cluster.workers > 1 else ""
    )
    rate = "the given rate" if cluster.rate else "the rate of a small MgNet on this machine"
    return table(
        ("row", "parameters", "multiply-adds", "epochs", "steps per epoch", "s per step", "runs", "hours"),
        map(_cost_row, costs),
        title=f"{asked.table}: {hours:,.2f} hours{shared}, {petaflop:,.1f} PFLOP, {runs} runs to make\n{asked.headline}",
        caption=f"multiply-adds: forward pass of one image; hours: training steps of all runs, from their multiply-adds and "
        f"{rate}, without evaluation",
    )


def _cost_row(cost: RowCost) -> tuple[str, ...]:
    size = (f"{cost.params:,}", f"{cost.multiply_adds / 1e6:,.1f} M", f"{cost.epochs}", f"{cost.steps:,}")
    return (cost.row.key, *size, f"{cost.seconds_per_step:.3f}", f"{cost.runs}", f"{cost.hours:,.2f}")
