"""`predict`: the classes of image files, by the model of a run."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from keras_mgnet.training.inference import predict
from keras_mgnet.training.rundir import open_run


def register(app: typer.Typer) -> None:
    """Adds the command of this file."""
    app.command("predict")(predict_command)


def predict_command(
    run: Annotated[Path, typer.Argument(help="a run directory")],
    images: Annotated[list[Path], typer.Argument(help="image files")],
    checkpoint: Annotated[str, typer.Option(help="last or best")] = "last",
    top: Annotated[int, typer.Option(min=1, help="classes to show per image")] = 3,
    json_: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """Classify image files: class names and probabilities."""
    predictions = predict(open_run(run), images, checkpoint, top)
    if json_:
        typer.echo(json.dumps(predictions))
        return
    table = Table("image", "class", "probability")
    for prediction in predictions:
        for rank, (name, probability) in enumerate(prediction["classes"].items()):
            table.add_row("" if rank else escape(prediction["image"]), escape(name), f"{probability:.4f}")
    Console().print(table)
