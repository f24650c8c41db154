"""`export`: the model of a run as SavedModel, TFLite and ONNX, with a model card."""

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from keras_mgnet.cli.options import JsonOption, print_json
from keras_mgnet.export import FLOAT32, FORMATS, Report, check_formats, export_formats, write_card
from keras_mgnet.export.calibration import MOST as CALIBRATED
from keras_mgnet.export.card import MARKDOWN
from keras_mgnet.export.digests import CARD
from keras_mgnet.training.data import Dataset
from keras_mgnet.training.denoise import CleanImages
from keras_mgnet.training.inference import load_data
from keras_mgnet.training.plan import Plan
from keras_mgnet.training.rundir import Run, open_run

COMPARED = 2000  # test images, at most
SIDE = 96  # of the squares in the middle of a denoiser's test images, whose sizes differ
FORMAT_HELP = "; ".join(f"{name}: {row.summary}" for name, row in FORMATS.items())


def export_command(
    run: Annotated[Path, typer.Argument(help="a run directory")],
    out: Annotated[Path, typer.Option(help="folder to write to")],
    format: Annotated[list[str], typer.Option(help=f"one or several of {FORMAT_HELP}")] = [*FLOAT32],  # noqa: B006
    checkpoint: Annotated[str, typer.Option(help="last or best")] = "last",
    json_: JsonOption = False,
) -> None:
    """Export a run's model, verified in its own runtime on test images; the files take images 0..255.

    Example:
        keras-mgnet export runs/mnist-mgnet-001 --format tflite onnx --out out
    """
    check_formats(format)
    opened, console = open_run(run), Console(stderr=json_)
    reports = export_run(opened, out, format, checkpoint, load_data(opened), console)
    if json_:
        print_json([_measured(report) for report in reports])
        return
    console.print(report_table(reports))
    written = [*(report.path for report in reports), out / MARKDOWN, out / CARD]
    typer.echo(f"wrote {', '.join(map(str, written))}")


def export_run(
    run: Run, out: Path, formats: Iterable[str], checkpoint: str, data: Dataset | CleanImages, console: Console
) -> list[Report]:
    """Exports the model of a run with its class names and its normalisation inside, and writes the model card."""
    model = run.load_model(checkpoint)
    images = _noisy_images(data) if isinstance(data, CleanImages) else _labelled_images(data)
    served = {"class_names": run.class_names, "normalization": run.normalization} if run.class_names else {}
    reports = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("export", total=len(formats := check_formats(formats)))
        for name in formats:
            progress.update(task, description=name)
            reports += export_formats(model, out, [name], **served, **images)
            progress.advance(task)
    write_card(out, model, reports, **served, record={**run.record, "checkpoint": checkpoint})
    return reports


def _measured(report: Report) -> dict[str, Any]:
    names = [field.name for field in fields(report) if field.name != "answer"]
    return {name: getattr(report, name) for name in [*names, "drop"]}


def report_table(reports: list[Report]) -> Table:
    """Returns one row per artifact: sizes, agreement with Keras, accuracies and latency."""
    answer, (_, of_keras) = reports[0].answer, reports[0].quality
    caption = (
        f"on {reports[0].samples:,} test images. bytes/4P: over 4 bytes a parameter; difference: largest of {answer.value} "
        f"from Keras; drop: of the {answer.label} from Keras' {answer.text.format(of_keras)}, in {answer.unit}; "
        "latency: batch 1, median"
    )
    table = Table("format", caption=caption)
    for heading in ("size", "bytes/4P", "difference", answer.same, answer.label, "drop", "latency"):
        table.add_column(heading, justify="right")
    for report in reports:
        table.add_row(
            report.format,
            f"{report.size_bytes / 1e3:,.0f} kB",
            f"{report.size_ratio:.3f}",
            f"{report.max_difference:.1e}",
            f"{report.agreement:.2%}",
            answer.text.format(report.quality[0]),
            answer.drop_text(report.drop),
            f"{report.latency_ms:.2f} ms",
        )
    return table


def _labelled_images(data: Dataset) -> dict[str, np.ndarray]:
    compared = _draw(len(data.test.labels), COMPARED)
    return {
        "samples": data.test.images[compared],
        "labels": data.test.labels[compared],
        "calibration": data.train.images[_draw(len(data.train.labels), CALIBRATED)],
    }


def _noisy_images(data: CleanImages) -> dict[str, np.ndarray]:
    noisy, clean = data.test_squares(SIDE)
    compared = _draw(len(noisy), COMPARED)
    calibration, _ = data.train_batch(Plan(0, data.patches, CALIBRATED, 0, 0, epochs=1), 0)
    return {"samples": noisy[compared], "labels": clean[compared], "calibration": calibration}


def _draw(available: int, wanted: int) -> np.ndarray:
    """Returns indices of at most `wanted` images, the same for every export."""
    return np.sort(np.random.default_rng(0).permutation(available)[:wanted])
