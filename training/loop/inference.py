"""Uses the model of a run: evaluates it on a data set, classifies image files, and removes noise from image files."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mgnet import crops
from keras_mgnet.augmentations import AUGMENTATIONS
from keras_mgnet.errors import MissingDataError
from keras_mgnet.files import staged_file
from keras_mgnet.images import decode
from keras_mgnet.models.meaning import SOFTMAX, meaning
from keras_mgnet.models.network import Network
from keras_mgnet.registry import families
from keras_mgnet.top_classes import predictions
from keras_mgnet.training.data.dataset import DENOISING, PDE, form_of
from keras_mgnet.training.data.functions import load_pairs
from keras_mgnet.training.data.samples import read_samples
from keras_mgnet.training.data.views import normalize
from keras_mgnet.training.loop import task
from keras_mgnet.training.loop.averaging import averaged
from keras_mgnet.training.loop.config import PROBLEM, TrainConfig
from keras_mgnet.training.loop.task import Data
from keras_mgnet.training.runs.run import SAMPLES, Run

SETS = {  # kind of a network -> its data sets, in words
    "classifier": "a data set with classes",
    "denoiser": "denoise:DIR",
    "network of functions": "pde:PROBLEM or npz:FILE",
}


def load_data(run: Run, dataset: str | None = None) -> Data:
    """Loads `dataset`, by default the run's data set. Raises ValueError if the images or classes do not fit the run's model."""
    try:
        data = task.load_data(_config(run, dataset))
    except MissingDataError as error:
        advice = "" if dataset else f"; name the data set of '{run.path}' with dataset (--dataset)"
        raise MissingDataError(f"{error}{advice}") from error
    return _fitting(run, data)


def load_images(run: Run, dataset: str | None = None) -> Data:
    """Loads `dataset`, by default the run's data set, or else the few images of it that the run keeps.

    Warns if these images stand in for the data set. Raises ValueError as `load_data` does.
    """
    file = run.path / SAMPLES
    try:
        return load_data(run, dataset)
    except (MissingDataError, ImportError) as error:
        if dataset or not file.is_file():
            raise
        warnings.warn(f"{error}. Used the images in '{file}' instead", stacklevel=2)
    config = _config(run, None)
    if _kind(run) == "network of functions":
        return _fitting(run, load_pairs(f"npz:{file}"))
    return _fitting(run, read_samples(file, sigma=config.sigma, patch_size=config.patch_size))


def _fitting(run: Run, data: Data) -> Data:
    expected, received = (run.input_shape, run.class_names), (data.input_shape, list(data.class_names))
    if expected != received:
        raise ValueError(
            f"expected images {expected[0]} of the classes {expected[1]}. Received: {data.name}, {received}"
        )
    return data


def export_arguments(run: Run, checkpoint: str = "last", dataset: str | None = None) -> dict[str, Any]:
    """Returns the arguments of `keras_mgnet.export.export_model` for the model of a run.

    The arguments are the model, images of `dataset` or of the run's data set (see `load_images`), and the record for the model
    card. For a classifier, they also include the class names and the normalisation.

    Example:
        >>> arguments = export_arguments(open_run("runs/digits-mgnet-001"))  # doctest: +SKIP
        >>> export_model(**arguments, out_dir="exported", formats=["onnx"])  # doctest: +SKIP
    """
    served = {"class_names": run.class_names, "normalization": run.normalization} if run.class_names else {}
    record = {**run.record, "checkpoint": checkpoint}
    return {"model": run.load_model(checkpoint), "record": record, **served, **_export_images(run, dataset)}


def _export_images(run: Run, dataset: str | None) -> dict[str, np.ndarray]:
    """Returns images for an export. There are none if the data set of a trained network of the package is missing."""
    try:
        return load_images(run, dataset).export_images()
    except (MissingDataError, ImportError):
        if dataset or "trained" not in run.record:
            raise
        return {}


def _config(run: Run, dataset: str | None) -> TrainConfig:
    recorded = run.record["config"]
    name = dataset or recorded["dataset"]
    kind, form = _kind(run), form_of(name)
    takes = {"denoiser": form == DENOISING, "network of functions": form in (PDE, "npz")}
    if not takes.get(kind, form not in (DENOISING, PDE)):
        expected = SETS[kind]
        raise ValueError(f"expected {expected} for '{run.path}', a run of {recorded['model']}. Received: {name}")
    height, width, _ = run.input_shape
    resized = form in ("folder", "tfrecord") or recorded.get("image_size")
    square = height if resized and height == width else None
    made = {} if form_of(name) == PDE else dict.fromkeys(PROBLEM)
    try:
        return TrainConfig(**{**recorded, **made, "dataset": name, "image_size": square, "validation": None})
    except (ValueError, TypeError) as error:  # a TypeError for an unknown field
        raise ValueError(
            f"expected the configuration of a run of this version. Received: '{run.path / 'run.json'}' ({error})"
        ) from error


def check_classifier(run: Run) -> None:
    """Raises ValueError unless the run trained a classifier."""
    _check(run, "classifier")


def _check(run: Run, kind: str) -> None:
    if _kind(run) != kind:
        model = run.record["config"]["model"]
        raise ValueError(f"expected the run of a {kind}. Received: '{run.path}', a run of {model}")


def _kind(run: Run) -> str:
    return "classifier" if run.class_names else families()[run.record["model"]["family"]].frame.kind


def evaluate(
    run: Run, checkpoint: str = "last", dataset: str | None = None, views: bool = False, grid: int | None = None
) -> dict[str, Any]:
    """Evaluates the model of a run on the test images of `dataset`, by default the run's data set.

    With `views`, a classifier is also evaluated with its outputs averaged over several views of each image (see
    `averaging.averaged`). Images are mirrored if the run's augmentation mirrors them. With `grid`, a network of functions is
    evaluated on grid x grid points of `pde:PROBLEM`, see `on_grid`.

    Returns {"dataset", "checkpoint", "images", "loss"} with "accuracy", with "psnr", or with "l2" and "h1". "images" is
    the number of test images. With `views`, "views_loss" and "views_accuracy" follow.
    """
    if views:
        check_classifier(run)
    config, model = _config(run, dataset), run.load_model(checkpoint)
    if grid is None:
        data = load_data(run, dataset)
    else:
        _check(run, "network of functions")
        data = task.load_data(replace(config, grid=grid))
        model = on_grid(model, data.input_shape)
    batches = task.task(config, data, model).test_batches()
    result = model.evaluate(batches, return_dict=True, verbose=0)
    if views:
        mean = averaged(model, flip=AUGMENTATIONS[config.augment].flip)
        again = mean.evaluate(batches, return_dict=True, verbose=0)
        result |= {f"views_{key}": value for key, value in again.items()}
    return {"dataset": data.name, "checkpoint": checkpoint, "images": data.counts[1], **result}


def on_grid(model: Network, input_shape: tuple[int, int, int]) -> Network:
    """Returns a network of functions with the weights of `model` for functions on another grid, compiled.

    Raises:
        ValueError: if a weight belongs to the points of a grid, or a transfer does not divide the grid.
    """
    other = model.from_config(model.get_config() | {"input_shape": input_shape})
    ours, theirs = ([w.shape for w in network.weights] for network in (other, model))
    if ours != theirs:
        raise ValueError(
            "expected a network without pointwise normalisers and without layer normalisation for another grid. "
            f"Received: {model.name} for {model.input_shape[1:]}, and {input_shape}"
        )
    other.set_weights(model.get_weights())
    return other


def predict(run: Run, images: Sequence[Path], checkpoint: str = "last", top: int = 3) -> list[dict[str, Any]]:
    """Classifies image files. Returns [{"image": path, "classes": {name: probability, ...}}, ...].

    "classes" has the `top` likeliest classes of an image. Images are first converted to the channels and the size of the training
    images.
    """
    check_classifier(run)
    model, size = run.load_model(checkpoint), run.record["config"]["batch_size"]
    batches = [images[start : start + size] for start in range(0, len(images), size)]
    probabilities = np.concatenate([_probabilities(run, model, batch) for batch in batches])
    return predictions(images, probabilities, run.class_names, top)


def denoise(run: Run, images: Sequence[Path], out: Path, checkpoint: str = "last") -> list[dict[str, Any]]:
    """Removes the noise from grey image files NAME.*, writes out/NAME.png, and returns [{"image": path, "denoised": path}, ...].

    The pixels written are clipped and rounded to grey values 0..255.

    Raises:
        ValueError: before anything is written, if the run did not train a denoiser, two images have the same name, an image is
            smaller than the filters need, or an output would overwrite one of the images.
    """
    from PIL import Image

    _check(run, "denoiser")
    targets = {out / f"{Path(path).stem}.png": Path(path) for path in images}
    if len(targets) < len(images):
        raise ValueError(f"expected images with different names. Received: {', '.join(str(path) for path in images)}")
    if replaced := {target.resolve() for target in targets} & {path.resolve() for path in targets.values()}:
        raise ValueError(
            f"expected a folder where no image is overwritten. Received: '{out}', which contains the image {min(replaced)}"
        )
    model = run.load_model(checkpoint)
    for path in targets.values():
        _check_size(path, model.get_layer("level1").field.least)
    out.mkdir(parents=True, exist_ok=True)
    for target, path in targets.items():
        noisy = decode(path, channels=1).astype("float32")
        clean = ops.convert_to_numpy(model(noisy[None], training=False))[0, ..., 0]
        with staged_file(target) as staged:
            Image.fromarray(np.rint(clean.clip(0, 255)).astype("uint8")).save(staged, format="PNG")
    return [{"image": str(path), "denoised": str(target)} for target, path in targets.items()]


def _check_size(path: Path, least: int) -> None:
    height, width, _ = decode(path, channels=1).shape
    if min(height, width) < least:
        raise ValueError(f"expected images of at least {least} pixels a side. Received: '{path}', {width}x{height}")


def _probabilities(run: Run, model: keras.Model, images: Sequence[Path]) -> np.ndarray:
    height, width, channels = run.input_shape
    config = run.record["config"]
    crops_scales = config.get("image_size") and AUGMENTATIONS[config["augment"]].crop
    crop = partial(crops.centre, size=(width, height)) if crops_scales else None
    pixels = np.stack([decode(Path(path), (width, height), channels, crop) for path in images])
    outputs, activation = (
        model(normalize(pixels, *run.normalization), training=False),
        model.layers[-1].activation.__name__,
    )
    means = meaning(model, activation)
    if means == activation:
        return ops.convert_to_numpy(outputs)
    return ops.convert_to_numpy((ops.softmax if means == SOFTMAX else ops.sigmoid)(outputs))
