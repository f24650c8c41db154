"""`export`: the model of a run as SavedModel, TFLite and ONNX, with a model card."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from keras_mgnet.cli.console import show, table
from keras_mgnet.cli.options import JsonOption, SeveralWords, print_json
from keras_mgnet.export import FLOAT32, FORMATS, Report, check_formats, export_formats, write_card
from keras_mgnet.export.card import MARKDOWN, summary
from keras_mgnet.export.digests import CARD
from keras_mgnet.export.servable import CALIBRATED
from keras_mgnet.training.data import Dataset
from keras_mgnet.training.denoise import CleanImages
from keras_mgnet.training.inference import load_data
from keras_mgnet.training.plan import Plan
from keras_mgnet.training.rundir import Run, open_run

COMPARED = 2000  # test images, at most
SIDE = 96  # of the squares in the middle of a denoiser's test images, whose sizes differ
FORMAT_HELP = "; ".join(f"{name}: {row.summary}" for name, row in FORMATS.items())


def register(app: typer.Typer) -> None:
    """Adds the command of this file."""
    app.command("export", cls=SeveralWords)(export_command)


def export_command(
    run: Annotated[Path, typer.Argument(help="a run directory")],
    out: Annotated[Path, typer.Option(help="folder to write to")],
    format: Annotated[list[str], typer.Option(help=f"one or several of {FORMAT_HELP}")] = [*FLOAT32],  # noqa: B006
    name: Annotated[
        str | None, typer.Option(help="of the files, and of the model at a server; the network's if not given")
    ] = None,
    checkpoint: Annotated[str, typer.Option(help="last or best")] = "last",
    json_: JsonOption = False,
) -> None:
    """Export a run's model, verified in its own runtime on test images; the files take images 0..255.

    Example:
        keras-mgnet export runs/mnist-mgnet-001 --format tflite onnx --out out
    """
    check_formats(format)
    opened = open_run(run)
    reports = export_run(opened, out, format, checkpoint, load_data(opened), name)
    if json_:
        print_json([report.numbers() for report in reports])
        return
    show(report_table(reports))
    written = [*(report.path for report in reports), out / MARKDOWN, out / CARD]
    typer.echo(f"wrote {', '.join(map(str, written))}")


def export_run(
    run: Run, out: Path, formats: Iterable[str], checkpoint: str, data: Dataset | CleanImages, name: str | None = None
) -> list[Report]:
    """Exports the model of a run with its class names and its normalisation inside, and writes the model card."""
    model = run.load_model(checkpoint)
    images = _noisy_images(data) if isinstance(data, CleanImages) else _labelled_images(data)
    served = {"class_names": run.class_names, "normalization": run.normalization} if run.class_names else {}
    reports = []
    for format in track(list(formats), "export", console=Console(stderr=True), transient=True):
        reports += export_formats(model, out, [format], name=name, **served, **images)
    write_card(out, model, reports, **served, record={**run.record, "checkpoint": checkpoint})
    return reports


def report_table(reports: list[Report]) -> Table:
    """Returns one row per artifact: sizes, agreement with Keras, accuracies and latency."""
    headings, rows, caption = summary(reports)
    return table(headings, rows, caption=caption)


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
