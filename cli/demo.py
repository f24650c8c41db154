"""`demo`: the whole way on real scans of digits, from training to three runtimes, in about a minute."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from keras_mgnet.cli.export import export_run
from keras_mgnet.describe import describe
from keras_mgnet.export import FLOAT32, Report
from keras_mgnet.training.config import TrainConfig
from keras_mgnet.training.inference import evaluate, load_data
from keras_mgnet.training.loop import train
from keras_mgnet.training.plots import plot_states

CONFIG = {
    "dataset": "digits",
    "model": "mgnet_2222_c64_shared_b",
    "set": {"nu": (2, 2, 2), "channels": (16, 32, 48)},
    "epochs": 30,
    "batch_size": 64,
    "learning_rate": 0.05,
    "schedule": "cosine",
    "warmup_epochs": 2.0,
    "augment": "shift",
}
PICTURED = 6


def demo_command(out: Annotated[Path, typer.Option(help="folder to write to, new or empty")] = Path("demo")) -> None:
    """Train an MgNet on scikit-learn's digits, export it three times, run each export, draw what the levels do.

    Example:
        keras-mgnet demo --out demo/first
    """
    console = Console()
    run = train(TrainConfig(**CONFIG, out=str(out / "run")), console)
    if (status := run.record["result"]["status"]) != "finished":
        raise ValueError(f"expected the training to finish. Received: {status}, in {run.path}")
    model = run.load_model()
    console.print(describe(model), highlight=False, soft_wrap=True)

    data = load_data(run)
    test = data.test
    result = evaluate(run)
    reports = export_run(run, out / "export", FLOAT32, "last", data, console)
    table = Table("format", title=f"MgNet on {len(test.labels)} test digits")
    for heading in ("size", "accuracy", "largest difference", "latency"):
        table.add_column(heading, justify="right")
    table.add_row("keras", _kilobytes(run.path / "last.keras"), f"{result['accuracy']:.2%}", "", "")
    for report in reports:
        table.add_row(*_row(report))
    console.print(table)

    chosen = [int(np.flatnonzero(test.labels == digit)[0]) for digit in range(PICTURED)]
    plot_states(model, test.images[chosen], run.normalization, run.class_names, out / "states.png")
    console.print(
        f"wrote {out / 'states.png'}: u and r on every level, and the prediction, for {PICTURED} digits",
        soft_wrap=True,
        highlight=False,
    )
    console.print(
        f"wrote {run.path} (checkpoints, log, curves) and {out / 'export'} (three formats, a model card)",
        soft_wrap=True,
        highlight=False,
    )


def _row(report: Report) -> tuple[str, ...]:
    return (
        report.format,
        f"{report.size_bytes / 1e3:,.0f} kB",
        f"{report.accuracy:.2%}",
        f"{report.max_difference:.1e}",
        f"{report.latency_ms:.2f} ms",
    )


def _kilobytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e3:,.0f} kB"
