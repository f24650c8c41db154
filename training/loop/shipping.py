"""Puts a finished run among the trained networks of the package (`keras_mgnet.trained`).

python -m keras_mgnet.training.loop.shipping runs/mnist-mgnet mgnet_mnist
"""

import re
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
import typer

from keras_mgnet.console import say
from keras_mgnet.files import publish, workspace, write_json
from keras_mgnet.trained import FOLDER, RECORD, WEIGHTS, write_weights
from keras_mgnet.training.data.dataset import Dataset
from keras_mgnet.training.data.views import normalize
from keras_mgnet.training.loop.inference import check_classifier, load_data
from keras_mgnet.training.runs.run import Run, open_run

BINS = 15  # of the calibration error


def ship(run: Run, name: str, folder: Path = FOLDER) -> Run:
    """Writes the last weights of a run in half precision, with their figures on all test images, and opens the result.

    The network of the result computes in float32, also if it was trained in another precision.

    Raises:
        ValueError: if the run did not finish, or is no classifier, or if the name is taken.
    """
    check_classifier(run)
    if (status := run.record["result"]["status"]) != "finished" or (folder / name).exists():
        raise ValueError(f"expected a finished run and a new name. Received: status={status!r}, name={name!r}")
    model, record = (
        run.load_model("last"),
        run.record | {"config": run.record["config"] | {"out": None, "resume": False}},
    )
    record["command"] = re.sub(r" --out \S+| --resume", "", record["command"])
    record["model"] = record["model"] | {"config": record["model"]["config"] | {"dtype": "float32"}}
    with workspace(folder) as staged:
        place = staged / name
        place.mkdir()
        record["trained"] = write_weights(
            place / WEIGHTS, [weight.path for weight in model.weights], model.get_weights()
        )
        record["trained"] |= measured(Run(place, record).load_model(), load_data(run))
        write_json(place / RECORD, record)
        publish(place, folder / name)
    return open_run(folder / name)


def measured(model: keras.Model, data: Dataset) -> dict[str, float]:
    """Returns accuracy, cross-entropy and expected calibration error of a classifier on all test images."""
    logits = np.array(
        model.predict(normalize(data.test.images, data.mean, data.std), batch_size=500, verbose=0), "float64"
    )
    logits -= logits.max(axis=1, keepdims=True)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    right = logits.argmax(axis=1) == data.test.labels
    loss = -np.log(probabilities[np.arange(len(right)), data.test.labels]).mean()
    error = calibration_error(probabilities.max(axis=1), right)
    return {"accuracy": float(right.mean()), "loss": float(loss), "calibration_error": error}


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Returns the expected calibration error: the mean over images of |accuracy - confidence| in the bin of the image.

    There are 15 bins of equal width for the confidence, which is the largest probability. Source: Guo et al. 2017, (3).

    Example:
        >>> round(calibration_error(np.array([0.9, 0.9, 0.6, 0.6]), np.array([True, True, True, False])), 3)
        0.1
    """
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = (right - confidence).astype("float64")
    return float(np.abs(np.bincount(bins, gaps, BINS)).sum() / len(gaps))


def main(
    run: Annotated[Path, typer.Argument(help="directory of a finished run")],
    name: Annotated[str, typer.Argument(help="name of the trained network")],
) -> None:
    """Put a finished run among the trained networks of the package."""
    shipped = ship(open_run(run), name)
    facts: Any = shipped.record["trained"]
    say(f"wrote {shipped.path}: {facts['bytes'] / 1e6:.2f} MB, {100 * facts['accuracy']:.2f} % of the test images")


if __name__ == "__main__":
    typer.run(main)
