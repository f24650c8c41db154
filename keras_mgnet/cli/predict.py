"""`predict`: classifies image files with a run, an exported file or a server, or removes noise with the run of a denoiser."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from keras_mgnet.cli.options import CheckpointOption, JsonOption
from keras_mgnet.cli.start import preload_keras
from keras_mgnet.console import print_json, show, table
from keras_mgnet.export.classification import classify as classify_with_file
from keras_mgnet.export.runtimes import is_artifact
from keras_mgnet.files import read_lines


def predict_command(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="[RUN] IMAGES...", help="a run directory or an exported file, then image files"),
    ],
    checkpoint: CheckpointOption = "last",
    server: Annotated[
        str | None, typer.Option(metavar="URL", help="use a model at http://HOST:PORT/v1/models/NAME instead of a run")
    ] = None,
    signature: Annotated[
        str | None, typer.Option(help="signature of the server's model; by default the one with the smallest requests")
    ] = None,
    class_names: Annotated[
        Path | None, typer.Option(help="text file with one class name per line; by default the server's names")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.001, help="seconds to wait for each answer of the server")] = 30.0,
    retries: Annotated[int, typer.Option(min=0, help="how often to retry a connection that is refused")] = 0,
    top: Annotated[int, typer.Option(min=1, help="number of classes to show per image")] = 3,
    out: Annotated[Path, typer.Option(help="denoisers: folder for the images without noise")] = Path("denoised"),
    json_: JsonOption = False,
) -> None:
    """Classify image files: print class names and probabilities. With the run of a denoiser, remove the noise of the images.

    With a .tflite or .onnx file the command starts fastest: it loads only the runtime of the file.

    Example:
        keras-mgnet predict runs/mnist-mgnet-001 digit.png --top 1
        keras-mgnet predict exported/model.onnx digit.png
        keras-mgnet predict --server http://localhost:8501/v1/models/mgnet 3.png
    """
    if server is None:
        place, images = paths[0], [file for path in paths[1:] for file in _files(path)]
        if not images:
            raise ValueError(f"expected a run directory or an exported file, then image files. Received: '{place}'")
        if is_artifact(place):
            predictions = classify_with_file(place, images, top)
        else:
            predictions = _by_run(place, images, checkpoint, top, out)
    else:
        from keras_mgnet.serving.client import RemoteModel, classify

        names = class_names and read_lines(class_names)
        remote = RemoteModel(server, timeout, retries)
        images = [file for path in paths for file in _files(path)]
        predictions = classify(remote, images, top, signature=signature, class_names=names)
    if json_:
        print_json(predictions)
        return
    show(_table(predictions))


def _table(predictions: list[dict[str, Any]]) -> Table:
    if "denoised" in predictions[0]:
        return table(
            ("image", "without noise"), ((p["image"], p["denoised"]) for p in predictions), left=("without noise",)
        )
    rows = [
        ("" if rank else p["image"], label, f"{probability:.4f}")
        for p in predictions
        for rank, (label, probability) in enumerate(p["classes"].items())
    ]
    return table(("image", "class", "probability"), rows, left=("class",))


def _files(path: Path) -> list[Path]:
    """Returns the image files of a folder, or the file itself."""
    from keras_mgnet.training.data.folder import image_files

    if not path.is_dir():
        return [path]
    if not (files := image_files(path)):
        raise ValueError(f"expected image files. Received: none in '{path}'")
    return files


def _by_run(place: Path, images: list[Path], checkpoint: str, top: int, out: Path) -> list[dict[str, Any]]:
    preload_keras()
    from keras_mgnet.training.loop.inference import denoise, predict
    from keras_mgnet.training.runs.run import open_run

    run = open_run(place)
    return predict(run, images, checkpoint, top) if run.class_names else denoise(run, images, out, checkpoint)
