"""Helpers of all analyses: results as JSON, and networks applied batch by batch."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

BATCH = 250
DIGITS = 6
PICTURE_ONLY = {"json": False}  # metadata of a field that is too large for the JSON file


def batches(images: np.ndarray, size: int = BATCH) -> Iterator[np.ndarray]:
    """Yields images (N, H, W, C) in batches of at most `size` images."""
    for start in range(0, len(images), size):
        yield images[start : start + size]


def logits(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Returns the outputs (N, classes) of a model.

    Calls the model directly, because `predict` may reuse a function that was compiled before the model changed.
    """
    return np.concatenate([ops.convert_to_numpy(model(x, training=False)) for x in batches(images)])


def error(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> float:
    """Returns the fraction of images that a model classifies wrongly."""
    return float(np.mean(logits(model, images).argmax(-1) != labels))


def chance(labels: np.ndarray) -> float:
    """Returns the accuracy of always guessing the most frequent class of `labels` (N,)."""
    return float(np.bincount(labels.astype(int)).max() / len(labels))


def to_json(value: Any) -> Any:
    """Converts a result to values that a JSON file can hold.

    A dataclass becomes a dictionary, an array a list, a complex number [Re, Im], and infinity and NaN become None. Floats are
    rounded to `DIGITS` significant digits. Fields with the metadata `PICTURE_ONLY` are left out.

    Example:
        >>> to_json({"a": np.array([1 + 2j, 1 / 3]), "b": float("nan")})
        {'a': [[1.0, 2.0], [0.333333, 0.0]], 'b': None}
    """
    if dataclasses.is_dataclass(value):
        shown = [field.name for field in dataclasses.fields(value) if field.metadata.get("json", True)]
        value = {name: getattr(value, name) for name in shown}
    if isinstance(value, Mapping):
        return {str(key): to_json(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [to_json(entry) for entry in value]
    if isinstance(value, (complex, np.complexfloating)):
        return [to_json(float(value.real)), to_json(float(value.imag))]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
