"""`export`: writes the model of a run as SavedModel, TFLite and ONNX, with a model card."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import keras
import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from keras_mgnet.cli.console import show, table
from keras_mgnet.cli.options import JsonOption, SetOption, parse_pairs, print_json
from keras_mgnet.export import FLOAT32, FORMATS, Report, check_formats, export_formats, write_card
from keras_mgnet.export.card import MARKDOWN, summary
from keras_mgnet.export.digests import CARD
from keras_mgnet.export.servable import CALIBRATED
from keras_mgnet.files import file_digest
from keras_mgnet.interop import load_weights
from keras_mgnet.notes import hidden_notes
from keras_mgnet.registry import create_model
from keras_mgnet.training.data.dataset import Dataset, load
from keras_mgnet.training.data.denoise import CleanImages
from keras_mgnet.training.data.plan import Plan
from keras_mgnet.training.loop.config import CLASSES_HELP, WEIGHTS_HELP
from keras_mgnet.training.loop.inference import load_data
from keras_mgnet.training.runs.run import Run, open_run

COMPARED = 2000  # test images, at most
SIDE = 96  # of the squares in the middle of a denoiser's test images, whose sizes differ
FORMAT_HELP = "; ".join(f"{name}: {row.summary}" for name, row in FORMATS.items())


def export_command(
    run: Annotated[Path, typer.Argument(help="a run directory; with --weights, a name from `keras-mgnet list`")],
    out: Annotated[Path, typer.Option(help="folder to write to")],
    format: Annotated[list[str], typer.Option(help=f"one or more of {FORMAT_HELP}")] = [*FLOAT32],  # noqa: B006
    name: Annotated[
        str | None, typer.Option(help="name of the files and of the served model; by default the network's")
    ] = None,
    checkpoint: Annotated[str, typer.Option(help="last or best")] = "last",
    weights: Annotated[Path | None, typer.Option(help=f"use these weights, not a run's: {WEIGHTS_HELP}")] = None,
    set: SetOption = None,
    dataset: Annotated[
        str | None, typer.Option(help=f"with --weights: source of test images, classes, normalisation: {CLASSES_HELP}")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Export the model of a run, or a network with weights from a file. Every export is verified in its own runtime.

    The exported files take images with values 0..255. With --weights but no --dataset, they take images as the network does.

    Example:
        keras-mgnet export runs/mnist-mgnet-001 --format tflite onnx --out out
        keras-mgnet export resnet18 --weights r18.pth --dataset cifar10 --out out
    """
    check_formats(format)
    if weights is None:
        if set or dataset:
            raise ValueError(f"expected set and dataset only with weights. Received: set={set}, dataset={dataset!r}")
        opened = open_run(run)
        source = of_run(opened, checkpoint, load_data(opened))
    else:
        if dataset is None and any("int8" in FORMATS[form].options.values() for form in format):
            raise ValueError(f"expected dataset, whose images calibrate int8. Received: format={format}, dataset=None")
        source = of_weights(str(run), parse_pairs(set), weights, dataset)
    reports = export_all(source, out, format, name)
    if json_:
        print_json([report.numbers() for report in reports])
        return
    show(report_table(reports))
    written = [*(report.path for report in reports), out / MARKDOWN, out / CARD]
    typer.echo(f"wrote {', '.join(map(str, written))}")


class Source(NamedTuple):
    """A model, and what is told of it: images to compare on, what goes into the files, what the card says of the training."""

    model: keras.Model
    images: dict[str, np.ndarray]
    served: dict[str, Any]
    record: dict[str, Any]


def of_run(run: Run, checkpoint: str, data: Dataset | CleanImages) -> Source:
    """Returns the model of a run, with its class names and its normalisation."""
    images = _noisy_images(data) if isinstance(data, CleanImages) else _labelled_images(data)
    served = {"class_names": run.class_names, "normalization": run.normalization} if run.class_names else {}
    return Source(run.load_model(checkpoint), images, served, {**run.record, "checkpoint": checkpoint})


def of_weights(name: str, arguments: dict[str, Any], weights: Path, dataset: str | None) -> Source:
    """Returns a network of the registry with the weights of a file; the data set tells the classes and the normalisation."""
    images, served = {}, {}
    if dataset:
        data = load(dataset)
        images, arguments = _labelled_images(data), {**data.model_arguments, **arguments}
        served = {"class_names": data.class_names, "normalization": (data.mean, data.std)}
    model = create_model(name, **arguments)
    load_weights(model, weights)
    return Source(model, images, served, {"weights": weights.name, **file_digest(weights)})


def export_all(source: Source, out: Path, formats: Iterable[str], name: str | None = None) -> list[Report]:
    """Writes a model in several formats, and the model card."""
    reports, console = [], Console()
    for format in track(list(formats), "export", console=console, transient=True, disable=not console.is_terminal):
        with hidden_notes():
            reports += export_formats(source.model, out, [format], name=name, **source.served, **source.images)
    write_card(out, source.model, reports, **source.served, record=source.record)
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
