"""What a run directory answers: its accuracy on a data set, and the classes of image files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from keras_mgnet.training.data import decode, load
from keras_mgnet.training.pipeline import normalize, test_batches
from keras_mgnet.training.rundir import Run


def evaluate(run: Run, checkpoint: str = "last", dataset: str | None = None) -> dict[str, Any]:
    """Returns loss and accuracy of a run's model on the test images of its data set, or of another that fits it.

    Raises:
        ValueError: where the data set has other images or classes than the model.
    """
    config = run.record["config"]
    name = dataset or config["dataset"]
    data = load(name, image_size=config["image_size"] if name.startswith("folder:") else None)
    expected = (run.input_shape, run.class_names)
    received = (data.input_shape, list(data.class_names))
    if expected != received:
        raise ValueError(
            f"expected images {expected[0]} of the classes {expected[1]}. Received: {name} with {received}"
        )
    mean, std = run.normalization
    batches = test_batches(data.test, config["batch_size"], mean=mean, std=std)
    result = run.load_model(checkpoint).evaluate(batches, return_dict=True, verbose=0)
    return {"dataset": name, "checkpoint": checkpoint, "images": len(data.test.labels), **result}


def predict(run: Run, images: Sequence[Path], checkpoint: str = "last", top: int = 3) -> list[dict[str, Any]]:
    """Returns [{"image": path, "classes": {name: probability, ...}}, ...], the `top` classes of each image file.

    Images are converted to the channels and resized to the size that the model was trained with.
    """
    height, width, channels = run.input_shape
    pixels = np.stack([_read(Path(path), (width, height), channels) for path in images])
    model = run.load_model(checkpoint)
    outputs = model(normalize(pixels, *run.normalization), training=False)
    softmax = run.record["model"]["config"]["classifier_activation"] == "softmax"
    probabilities = ops.convert_to_numpy(outputs if softmax else ops.softmax(outputs))
    return [
        {"image": str(path), "classes": {run.class_names[c]: float(row[c]) for c in np.argsort(-row)[:top]}}
        for path, row in zip(images, probabilities, strict=True)
    ]


def _read(path: Path, size: tuple[int, int], channels: int) -> np.ndarray:
    try:
        return decode(path, size, channels)
    except Exception as error:  # Pillow lets through whatever a decoder stumbles over
        raise ValueError(f"expected a readable image file. Received: '{path}' ({error})") from error
