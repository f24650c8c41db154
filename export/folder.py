"""Writes a folder with a model in several formats and a model card."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console

from keras_mgnet.console import track
from keras_mgnet.export.card import write_card
from keras_mgnet.export.formats import FLOAT32, check_formats, export_formats
from keras_mgnet.export.servable import Normalization
from keras_mgnet.export.verification import Report


def export_model(
    model: keras.Model,
    out_dir: str | Path,
    formats: Iterable[str] = FLOAT32,
    *,
    name: str | None = None,
    class_names: Sequence[str] | None = None,
    normalization: Normalization | None = None,
    samples: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    calibration: np.ndarray | None = None,
    answers: str | None = None,
    record: dict[str, Any] | None = None,
    console: Console | None = None,
) -> list[Report]:
    """Writes a model in several formats, then the model card, and returns a report of each file.

    Args:
        model, out_dir, formats, name, class_names, normalization, samples, labels, calibration, answers: as in `export_formats`.
        record: the origin of the weights for the card, as in `write_card`.
        console: shows the progress; None for standard error.

    Raises:
        ValueError: as `export_formats` does.

    Example:
        >>> import tempfile
        >>> from keras_mgnet import MgNet
        >>> with tempfile.TemporaryDirectory() as out:
        ...     _ = export_model(MgNet((1,), 4, input_shape=(8, 8, 1)), out, ["tflite"])
        ...     sorted(path.name for path in Path(out).iterdir())
        ['card.json', 'card.md', 'mgnet.tflite']
    """
    served: dict[str, Any] = {"class_names": class_names, "normalization": normalization}
    images: dict[str, Any] = {"samples": samples, "labels": labels, "calibration": calibration, "answers": answers}
    reports = []
    for format in track(check_formats(formats), "export", console):
        reports += export_formats(model, out_dir, [format], name=name, **served, **images)
    write_card(out_dir, model, reports, **served, record=record)
    return reports
