"""What a run directory answers: its accuracy on a data set, and the classes of image files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mgnet.training.data import Dataset, load
from keras_mgnet.training.images import decode
from keras_mgnet.training.objective import label_classes
from keras_mgnet.training.pipeline import test_batches
from keras_mgnet.training.rundir import Run
from keras_mgnet.training.views import normalize


def load_data(run: Run, dataset: str | None = None) -> Dataset:
    """Returns the data set of a run, or another one, whose images and classes fit its model.

    Raises:
        ValueError: where they do not fit.
    """
    config = run.record["config"]
    name = dataset or config["dataset"]
    height, width, _ = run.input_shape
    square = height if name.startswith("folder:") and height == width else None
    data = load(name, image_size=square, on_corrupt=config["on_corrupt"])
    expected, received = (run.input_shape, run.class_names), (data.input_shape, list(data.class_names))
    if expected != received:
        raise ValueError(f"expected images {expected[0]} of the classes {expected[1]}. Received: {name}, {received}")
    return data


def evaluate(run: Run, checkpoint: str = "last", dataset: str | None = None) -> dict[str, Any]:
    """Returns loss and accuracy of a run's model on the test images of its data set, or of another that fits it."""
    data = load_data(run, dataset)
    mean, std = run.normalization
    model, batch_size = run.load_model(checkpoint), run.record["config"]["batch_size"]
    classes = label_classes(model, data.classes)
    batches = test_batches(data.test, batch_size, mean=mean, std=std, classes=classes)
    result = model.evaluate(batches, return_dict=True, verbose=0)
    return {"dataset": data.name, "checkpoint": checkpoint, "images": len(data.test.labels), **result}


def predict(run: Run, images: Sequence[Path], checkpoint: str = "last", top: int = 3) -> list[dict[str, Any]]:
    """Returns [{"image": path, "classes": {name: probability, ...}}, ...], the `top` classes of each image file.

    Images are converted to the channels and resized to the size that the model was trained with.
    """
    model, size = run.load_model(checkpoint), run.record["config"]["batch_size"]
    batches = [images[start : start + size] for start in range(0, len(images), size)]
    probabilities = np.concatenate([_probabilities(run, model, batch) for batch in batches])
    return [
        {"image": str(path), "classes": {run.class_names[c]: float(row[c]) for c in np.argsort(-row)[:top]}}
        for path, row in zip(images, probabilities, strict=True)
    ]


def _probabilities(run: Run, model: keras.Model, images: Sequence[Path]) -> np.ndarray:
    height, width, channels = run.input_shape
    pixels = np.stack([decode(Path(path), (width, height), channels) for path in images])
    outputs = model(normalize(pixels, *run.normalization), training=False)
    is_softmax = run.record["model"]["config"]["classifier_activation"] == "softmax"
    return ops.convert_to_numpy(outputs if is_softmax else ops.softmax(outputs))
