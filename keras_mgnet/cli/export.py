"""`export`: writes the model of a run as SavedModel, TFLite and ONNX, with a model card."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from keras_mgnet.cli.options import CheckpointOption, JsonOption, SetOption, parse_pairs
from keras_mgnet.console import print_json, say, show, stdout, table
from keras_mgnet.errors import check_known
from keras_mgnet.export import FLOAT32, FORMATS, Report, check_formats, export_model
from keras_mgnet.export.card import MARKDOWN, summary
from keras_mgnet.export.digests import CARD
from keras_mgnet.files import file_digest
from keras_mgnet.interop import load_weights
from keras_mgnet.models.meaning import MEANINGS, SOFTMAX
from keras_mgnet.notes import hidden_notes
from keras_mgnet.registry import create_model
from keras_mgnet.training.data.dataset import load
from keras_mgnet.training.loop.config import CLASSES_HELP, WEIGHTS_HELP
from keras_mgnet.training.loop.inference import export_arguments
from keras_mgnet.training.runs.run import open_run

FORMAT_HELP = "; ".join(f"{name}: {row.summary}" for name, row in FORMATS.items())


def export_command(
    run: Annotated[Path, typer.Argument(help="a run directory; with --weights, a name from `keras-mgnet list`")],
    out: Annotated[Path, typer.Option(help="folder to write to")],
    format: Annotated[list[str], typer.Option(help=f"one or more of {FORMAT_HELP}")] = [*FLOAT32],  # noqa: B006
    name: Annotated[
        str | None, typer.Option(help="name of the files and of the served model; by default the name of the network")
    ] = None,
    checkpoint: CheckpointOption = "last",
    weights: Annotated[Path | None, typer.Option(help=f"weight file, instead of a run: {WEIGHTS_HELP}")] = None,
    set: SetOption = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="images for the comparison and for int8, instead of the run's; with --weights also class names and "
            f"normalisation: {CLASSES_HELP}"
        ),
    ] = None,
    answers: Annotated[
        str | None,
        typer.Option(
            help="meaning of the outputs: softmax (exclusive classes), sigmoid (independent labels) or none; by default that of "
            "the last activation, the loss and the metrics"
        ),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Export the model of a run, or a network with weights from a file. Every exported file is compared with Keras.

    The exported files take images with values 0..255. With --weights but without --dataset, you must normalise the images
    yourself, as in the training of the weights.

    Example:
        keras-mgnet export runs/mnist-mgnet-001 --format tflite onnx --out out
        keras-mgnet export resnet18 --weights r18.pth --dataset cifar10 --out out
    """
    check_formats(format)
    if answers is not None:
        check_known("meaning of answers", answers, MEANINGS)
    if weights is None:
        if set:
            raise ValueError(f"expected --weights with --set. Received: set={set}")
        source = export_arguments(open_run(run), checkpoint, dataset)
    else:
        if dataset is None and any("int8" in FORMATS[form].options.values() for form in format):
            raise ValueError(f"expected --dataset, to calibrate int8. Received: format={format}, dataset=None")
        source = _with_weights(str(run), parse_pairs(set), weights, dataset)
    if answers not in (None, SOFTMAX):
        source.pop("labels", None)  # those of data sets are classes
    with hidden_notes():  # of the converters; progress is shown on standard output, which stays
        reports = export_model(**source, out_dir=out, formats=format, name=name, answers=answers, console=stdout())
    if json_:
        print_json([report.numbers() for report in reports])
        return
    show(report_table(reports))
    written = [*(report.path for report in reports), out / MARKDOWN, out / CARD]
    say(f"wrote {', '.join(map(str, written))}")


def _with_weights(name: str, arguments: dict[str, Any], weights: Path, dataset: str | None) -> dict[str, Any]:
    """Returns arguments of `export_model` for a named network with weights from a file."""
    about: dict[str, Any] = {}
    if dataset:
        data = load(dataset)
        arguments = {**data.model_arguments, **arguments}
        about = {"class_names": data.class_names, "normalization": (data.mean, data.std), **data.export_images()}
    model = create_model(name, **arguments)
    load_weights(model, weights)
    return {"model": model, "record": {"weights": weights.name, **file_digest(weights)}, **about}


def report_table(reports: list[Report]) -> Table:
    """Returns a table with a row per exported file: size, agreement with Keras, accuracy and latency."""
    headings, rows, caption = summary(reports)
    return table(headings, rows, caption=caption)
