"""`export`: the model of a run as SavedModel, TFLite and ONNX, with a model card."""

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import keras
import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from keras_mgnet.cli.options import JsonOption, SetOption, SeveralWords, parse_pairs, print_json
from keras_mgnet.export import FLOAT32, FORMATS, Report, check_formats, export_formats, write_card
from keras_mgnet.export.calibration import MOST as CALIBRATED
from keras_mgnet.export.card import MARKDOWN
from keras_mgnet.export.digests import CARD, file_digest
from keras_mgnet.interop import load_weights
from keras_mgnet.notes import hidden_notes
from keras_mgnet.registry import create_model
from keras_mgnet.training.config import CLASSES_HELP, WEIGHTS_HELP
from keras_mgnet.training.data import Dataset, load
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
    run: Annotated[Path, typer.Argument(help="a run directory; with --weights, a name of `keras-mgnet list`")],
    out: Annotated[Path, typer.Option(help="folder to write to")],
    format: Annotated[list[str], typer.Option(help=f"one or several of {FORMAT_HELP}")] = [*FLOAT32],  # noqa: B006
    checkpoint: Annotated[str, typer.Option(help="last or best")] = "last",
    weights: Annotated[Path | None, typer.Option(help=f"instead of a run's: {WEIGHTS_HELP}")] = None,
    set: SetOption = None,
    dataset: Annotated[
        str | None, typer.Option(help=f"with --weights, gives test images, classes and normalisation: {CLASSES_HELP}")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Export a run's model, or one with the weights of a file, verified in its own runtime.

    The files take images 0..255; those of --weights without --dataset take them as the network does.

    Example:
        keras-mgnet export runs/mnist-mgnet-001 --format tflite onnx --out out
        keras-mgnet export resnet18 --weights r18.pth --dataset cifar10 --out out
    """
    check_formats(format)
    console = Console(stderr=json_)
    if weights is None:
        if set or dataset:
            raise ValueError(f"expected set and dataset with weights alone. Received: set={set}, dataset={dataset!r}")
        opened = open_run(run)
        reports = export_run(opened, out, format, checkpoint, load_data(opened), console)
    else:
        if dataset is None and any(FORMATS[name].calibrated for name in format):
            raise ValueError(f"expected dataset, whose images calibrate int8. Received: format={format}, dataset=None")
        reports = _export(_trained_elsewhere(str(run), parse_pairs(set), weights, dataset), out, format, console)
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
    images = _noisy_images(data) if isinstance(data, CleanImages) else _labelled_images(data)
    served = {"class_names": run.class_names, "normalization": run.normalization} if run.class_names else {}
    record = {**run.record, "checkpoint": checkpoint}
    return _export(Source(run.load_model(checkpoint), images, served, record), out, formats, console)


class Source(NamedTuple):
    """A model, and what is told of it: images to compare on, what goes into the files, what the card says of the training."""

    model: keras.Model
    images: dict[str, np.ndarray]
    served: dict[str, Any]
    record: dict[str, Any]


def _trained_elsewhere(name: str, arguments: dict[str, Any], weights: Path, dataset: str | None) -> Source:
    images, served = {}, {}
    if dataset:
        data = load(dataset)
        images, arguments = _labelled_images(data), {**data.model_arguments, **arguments}
        served = {"class_names": data.class_names, "normalization": (data.mean, data.std)}
    model = create_model(name, **arguments)
    load_weights(model, weights)
    return Source(model, images, served, {"weights": weights.name, **file_digest(weights)})


def _export(source: Source, out: Path, formats: Iterable[str], console: Console) -> list[Report]:
    model, images, served, record = source
    reports = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("export", total=len(formats := check_formats(formats)))
        for name in formats:
            progress.update(task, description=name)
            with hidden_notes():
                reports += export_formats(model, out, [name], **served, **images)
            progress.advance(task)
    write_card(out, model, reports, **served, record=record)
    return reports


def _measured(report: Report) -> dict[str, Any]:
    names = [field.name for field in fields(report) if field.name != "answer"]
    return {name: getattr(report, name) for name in [*names, "drop"]}


def report_table(reports: list[Report]) -> Table:
    """Returns one row per artifact: sizes, agreement with Keras, accuracies and latency."""
    answer, (_, of_keras) = reports[0].answer, reports[0].quality
    known = of_keras is not None
    drop = (
        f"drop: of the {answer.label} from Keras' {answer.text.format(of_keras)}, in {answer.unit}; " if known else ""
    )
    caption = (
        f"on {reports[0].samples:,} {'test' if known else 'random'} images. bytes/4P: over 4 bytes a parameter; "
        f"difference: largest of {answer.value} from Keras; {drop}latency: batch 1, median"
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
            answer.text.format(report.quality[0]) if known else "",
            answer.drop_text(report.drop) if known else "",
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
