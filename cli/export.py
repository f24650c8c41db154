"""`export`: the model of a run as SavedModel, TFLite and ONNX."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from keras_mgnet.cli.options import SeveralWords
from keras_mgnet.export import FORMATS, Report, check_formats, export_formats
from keras_mgnet.training.inference import load_data
from keras_mgnet.training.rundir import Run, open_run

SAMPLES = 256
FORMAT_HELP = "; ".join(f"{name}: {row.summary}" for name, row in FORMATS.items())


def register(app: typer.Typer) -> None:
    """Adds the command of this file."""
    app.command("export", cls=SeveralWords)(export_command)


def export_command(
    run: Annotated[Path, typer.Argument(help="a run directory")],
    out: Annotated[Path, typer.Option(help="folder to write to")],
    format: Annotated[list[str], typer.Option(help=f"one or several of {FORMAT_HELP}")] = [*FORMATS],  # noqa: B006
    checkpoint: Annotated[str, typer.Option(help="last or best")] = "last",
) -> None:
    """Export a run's model, verified in its own runtime on test images; the files take images 0..255."""
    check_formats(format)
    opened = open_run(run)
    reports = export_run(opened, out, format, checkpoint, samples=load_data(opened).test.images[:SAMPLES])
    Console().print(report_table(reports))
    typer.echo(f"wrote {', '.join(str(report.path) for report in reports)}")


def export_run(run: Run, out: Path, formats: Iterable[str], checkpoint: str, samples) -> list[Report]:
    """Exports the model of a run with its class names and with its normalisation inside."""
    model = run.load_model(checkpoint)
    return export_formats(
        model, out, formats, class_names=run.class_names, normalization=run.normalization, samples=samples
    )


def report_table(reports: list[Report]) -> Table:
    """Returns one row per artifact: size, largest difference of a logit from Keras, equal classes, latency."""
    table = Table("format", caption="difference: largest of a logit from Keras; latency: batch 1, median")
    for heading in ("size", "difference", "same class", "latency"):
        table.add_column(heading, justify="right")
    for report in reports:
        values = (f"{report.size_bytes / 1e3:,.0f} kB", f"{report.max_difference:.1e}", f"{report.agreement:.2%}")
        table.add_row(report.format, *values, f"{report.latency_ms:.2f} ms")
    return table
