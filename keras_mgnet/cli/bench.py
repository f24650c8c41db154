"""`bench`: speed compared with PyTorch, stock Keras and the machine's limit."""

from pathlib import Path
from typing import Annotated

import typer

from keras_mgnet.benchmarks import report
from keras_mgnet.benchmarks.bench import MEASUREMENTS, Settings, bench
from keras_mgnet.benchmarks.networks import NETWORKS
from keras_mgnet.console import show, stderr, table

WHAT_HELP = "; ".join(f"{name}: {summary}" for name, (_, summary) in MEASUREMENTS.items())
DEFAULT = next(iter(NETWORKS))


def bench_command(
    what: Annotated[str, typer.Argument(help=WHAT_HELP)] = "train",
    network: Annotated[list[str], typer.Option(help=f"one or more of {', '.join(NETWORKS)}")] = [DEFAULT],  # noqa: B006
    batch: Annotated[list[int], typer.Option(help="images per step; one or more sizes")] = [32],  # noqa: B006
    rounds: Annotated[int, typer.Option(help="number of turns of each program")] = 7,
    seconds: Annotated[float, typer.Option(help="length of a turn; at least one step is run")] = 1.0,
    out: Annotated[Path | None, typer.Option(help="folder for the record: WHAT.json and WHAT.md")] = None,
) -> None:
    """Measure speed. The programs take turns, each in its own process, and every figure is a ratio within the same run.

    Example:
        keras-mgnet bench train --batch 32 128
    """
    with stderr().status("starting") as status:
        for section in bench(what, Settings(network, batch, rounds, seconds, status.update), out):
            rows = ([report.shown(row.get(key)) for key in section.columns] for row in section.rows)
            show(table(section.columns.values(), rows, title=section.title))
