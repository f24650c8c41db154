"""`bench`: measures speed and memory, and compares the speed with PyTorch, stock Keras and the limit of the machine."""

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
    network: Annotated[list[str], typer.Option(help=f"networks for train, infer: {', '.join(NETWORKS)}")] = [DEFAULT],  # noqa: B006
    batch: Annotated[list[int], typer.Option(help="train, infer: images per step, one or more sizes")] = [32],  # noqa: B006
    rounds: Annotated[int, typer.Option(help="how often to time each program")] = 7,
    seconds: Annotated[float, typer.Option(help="seconds to time a program in each round; at least one step")] = 1.0,
    out: Annotated[Path | None, typer.Option(help="folder for the record: WHAT.json and WHAT.md")] = None,
) -> None:
    """Measure speed or memory. Compared programs take turns, each in its own process, so that other load slows all alike.

    Example:
        keras-mgnet bench train --batch 32 128
    """
    with stderr().status("starting") as status:
        for section in bench(what, Settings(network, batch, rounds, seconds, status.update), out):
            rows = ([report.shown(row.get(key)) for key in section.columns] for row in section.rows)
            show(table(section.columns.values(), rows, title=section.title))
