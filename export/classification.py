"""Classifies image files with an exported file, without Keras. A TFLite or ONNX file also needs no TensorFlow."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_mgnet.export.metadata import read_metadata
from keras_mgnet.export.runtimes import open_with_shape
from keras_mgnet.images import decode
from keras_mgnet.top_classes import predictions

BATCH = 64


def classify(path: str | Path, images: Sequence[str | Path], top: int = 3) -> list[dict[str, Any]]:
    """Classifies image files with a SavedModel version folder, a .tflite or a .onnx file.

    Images are first converted to the channels and the size of the training images.

    Returns:
        [{"image": path, "classes": {name: probability, ...}}, ...] with the `top` likeliest classes of each image.

    Raises:
        ValueError: if the file is damaged, takes normalised images or images of any size, or returns no probabilities.

    Example:
        >>> classify("exported/model.onnx", ["cat.png"], top=1)  # doctest: +SKIP
        [{'image': 'cat.png', 'classes': {'cat': 0.98}}]
    """
    told, (run, (height, width, channels)) = read_metadata(path), open_with_shape(path)
    if "input_range" not in told or None in (height, width):
        raise ValueError(f"expected a file that normalises its images, of a fixed size. Received: '{path}'")
    batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    answers = [run(np.stack([decode(Path(image), (width, height), channels) for image in batch])) for batch in batches]
    if "probabilities" not in answers[0]:
        raise ValueError(f"expected a file that returns probabilities. Received: '{path}', {', '.join(answers[0])}")
    rows = np.concatenate([answer["probabilities"] for answer in answers])
    names = told.get("class_names") or [str(number) for number in range(rows.shape[1])]
    return predictions(images, rows, names, top)
