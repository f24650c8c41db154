"""Exports SavedModels in the layout of TensorFlow Serving: BASE/<version>/."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_mgnet.export.comparison import compare
from keras_mgnet.export.metadata import ASSET, entries
from keras_mgnet.export.servable import Normalization, Servable
from keras_mgnet.export.signatures import served_signatures
from keras_mgnet.export.tfserving import config_files, write_warmup
from keras_mgnet.files import publish, workspace, write_json

CLASS_NAMES = "assets/class_names.txt"


def savedmodel(
    model: keras.Model,
    base_dir: str | Path,
    *,
    class_names: Sequence[str] | None = None,
    normalization: Normalization | None = None,
    samples: np.ndarray | None = None,
    answers: str | None = None,
) -> Path:
    """Writes a model as the next version in a folder, and returns the folder of that version.

    The signatures take float32, uint8 or encoded images, and one signature returns the features of every level: see
    `export.signatures.served_signatures`. After `tf.saved_model.load`, the object has the attributes of an object that Keras
    exports: `serve`, `variables`, `trainable_variables`. Every weight is stored once.

    A version appears under its number only if its outputs agree with Keras. The version folder contains a warm-up request for
    each signature, and the metadata of `export.read_metadata`. The function also writes `batching.config`, `models.config`
    and `monitoring.config` for TensorFlow Serving next to the versions, unless these files exist.

    Args:
        model: a network of this package with its classifier, a denoiser, or any functional Keras model with one image as input
            and one output (N, classes).
        base_dir: the folder of all versions; created if missing. The number of the new version is the highest number plus one.
            The name of the folder is the name of the served model.
        class_names: one name per class, for the metadata and `assets/class_names.txt`.
        normalization: (mean, std) per channel, for pixels scaled to [0, 1]. The SavedModel then takes images 0..255 and
            normalises them. With None, the SavedModel takes images as `model` does.
        samples: images (N, H, W, C) on which the SavedModel is compared with Keras, in the form that the SavedModel takes; None
            for random images.
        answers: as in `export_formats`.

    Raises:
        ValueError: if arguments do not fit the model, or the outputs disagree with Keras. No version is written then.
        OSError: if the folder cannot be written; raised before the conversion if possible.
        ImportError: if the export packages are not installed.

    Example:
        >>> import tempfile
        >>> from keras_mgnet import MgNet
        >>> with tempfile.TemporaryDirectory() as out:
        ...     savedmodel(MgNet((1,), 4, input_shape=(8, 8, 1)), out).name
        '1'
    """
    servable = Servable(model, normalization, answers)
    samples = servable.images(samples)
    told = entries(servable, class_names)
    base = Path(base_dir)
    name = base.resolve().name
    configs = config_files(name)
    with workspace(base) as folder:
        staged = folder / "version"
        signatures = _write(servable, staged, told)
        compare(servable, staged, samples)
        write_warmup(staged, name, signatures, samples.shape[1:], float(samples.mean()))
        version = _publish_next(staged, base)
        _publish_missing(configs, folder, base)
        return version


def _write(servable: Servable, staged: Path, told: dict[str, Any]) -> dict:
    import tensorflow as tf

    served, signatures = served_signatures(servable)
    tf.saved_model.save(served, str(staged), signatures)
    write_json(staged / ASSET, told)
    if "class_names" in told:
        (staged / CLASS_NAMES).write_text("\n".join(told["class_names"]) + "\n", encoding="utf-8")
    return signatures


def _publish_next(staged: Path, base: Path) -> Path:
    while True:
        version = 1 + max((int(entry.name) for entry in base.iterdir() if entry.name.isdecimal()), default=0)
        try:
            return publish(staged, base / str(version))
        except OSError:
            if not (base / str(version)).exists():  # otherwise another export has just taken the number
                raise


def _publish_missing(files: dict[str, str], folder: Path, base: Path) -> None:
    for name, text in files.items():
        if not (base / name).exists():
            (folder / name).write_text(text)
            publish(folder / name, base / name)
