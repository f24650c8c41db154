"""Prepares a network for export: in float32, from the images of a client to logits, numbers or denoised images."""

from collections.abc import Sequence

import keras
import numpy as np

from keras_mgnet import compat
from keras_mgnet.export.answers import CLASSES, answer_of
from keras_mgnet.export.twin import float32_twin
from keras_mgnet.extras import EXPORT, require
from keras_mgnet.images import is_scale, normalize
from keras_mgnet.models.meaning import NONE
from keras_mgnet.models.network import Network

Normalization = tuple[float | Sequence[float], float | Sequence[float]]

CALIBRATED = 256  # most images to measure the ranges of activations on; more images hardly change a range
RANDOM_IMAGES = 4
UNKNOWN_SIZE = 64  # side of a random image if the model takes any size


def check_backend() -> None:
    """Raises an error unless TensorFlow is installed and Keras runs on it, because TensorFlow traces the model."""
    require(EXPORT, "tensorflow")
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"expected the Keras backend 'tensorflow' for an export. Received: {keras.backend.backend()!r}"
        )


class Servable:
    """A network as it is exported. Maps float32 images (N, H, W, C) of a client to the output that `answer` describes.

    A network of this package is used as it is if it computes in float32 and ends without activation. Any other model is copied.
    The copy computes in float32, because files with bfloat16 convolutions do not load. The copy of a classifier returns logits,
    because logits cannot be recovered from probabilities that underflowed. The copy contains no nested models.

    Args:
        model: a functional or sequential Keras model from images (N, H, W, C) to one output (N, classes), such as a network of
            this package or a classifier around one; or a denoiser of this package.
        normalization: (mean, std) for pixels scaled to [0, 1]. Mean and std are numbers, or have one number per channel. The
            images of a client are then 0..255, and the model receives (image / 255 - mean) / std. With None the model
            receives the images unchanged. A denoiser is only possible with None.
        answers: the meaning of the output, as in `export_formats`.

    Raises:
        ValueError: if the model is of another kind, the normalization does not fit the model, or the meaning of the output is
            not known. Also if Keras runs on another backend than TensorFlow.
        ImportError: if TensorFlow is not installed.

    Example:
        >>> from keras_mgnet import MgNet
        >>> servable = Servable(MgNet((1,), 4, input_shape=(8, 8, 1)), normalization=(0.5, 0.25))
        >>> tuple(servable(servable.images()).shape)
        (4, 10)
    """

    def __init__(self, model: keras.Model, normalization: Normalization | None = None, answers: str | None = None):
        check_backend()
        _check(model)
        self.model, activation = (model, None) if _serves_as_it_is(model) else float32_twin(model, answers)
        self.image_shape = self.model.input_shape[1:]
        self.classes = self.model.output_shape[-1] if len(self.model.output_shape) == 2 else 0  # 0 for a denoiser
        if normalization is not None and not self.classes:
            raise ValueError(f"expected normalization=None for grey values. Received: normalization={normalization!r}")
        self.normalization = None if normalization is None else _per_channel(normalization, self.image_shape[-1])
        if not isinstance(model, Network) and answers != NONE:
            self._refuse_probabilities()
        self.answer = answer_of(model, activation, answers)
        if self.answer is CLASSES and self.classes < 2:
            raise ValueError(f"expected two outputs or more for classes. Received: {model.name} with one output")

    def __call__(self, image):
        return self.model(self.preprocess(image), training=False)

    def preprocess(self, image):
        """Normalises the float32 images of a client. Returns the images that the model takes."""
        return image if self.normalization is None else normalize(image, *self.normalization)

    def images(self, samples: np.ndarray | None = None) -> np.ndarray:
        """Returns samples as float32, or four random images for None. Raises ValueError if the shape does not fit the model."""
        samples = self._random_images() if samples is None else np.asarray(samples, dtype="float32")
        expected = ("N", *self.image_shape)
        if (
            samples.ndim != 4
            or len(samples) == 0
            or any(size not in (None, got) for size, got in zip(self.image_shape, samples.shape[1:], strict=True))
        ):
            raise ValueError(f"expected samples of the shape {expected}, N >= 1. Received: {samples.shape}")
        return samples

    def calibration(
        self, quantize: str | None, calibration: np.ndarray | None, samples: np.ndarray | None
    ) -> np.ndarray | None:
        """Returns at most 256 images to calibrate on, evenly spaced in `calibration`, or in `samples` if `calibration` is None.

        Returns None unless `quantize` is "int8". Raises ValueError if "int8" is given without either of the two.
        """
        if quantize != "int8":
            return None
        given = samples if calibration is None else calibration
        if given is None:
            raise ValueError(
                "expected calibration or samples for quantize='int8': real images, to measure the ranges of activations. "
                "Received: calibration=None, samples=None"
            )
        images = self.images(given)
        return images[:: -(-len(images) // CALIBRATED)]

    def check_names(self, class_names: Sequence[str]) -> list[str]:
        """Returns class_names as a list. Raises ValueError unless there is one line of text per class."""
        names = list(class_names)
        if len(names) != self.classes or not all(
            isinstance(name, str) and name.splitlines() == [name] for name in names
        ):
            raise ValueError(f"expected class_names to be {self.classes} lines of text. Received: {class_names!r}")
        return names

    def _refuse_probabilities(self) -> None:
        outputs = keras.ops.convert_to_numpy(self(self.images()))
        if outputs.min() >= 0 and np.allclose(outputs.sum(axis=-1), 1):
            raise ValueError(
                "expected logits, a softmax or a sigmoid as the last step, or answers='none'. "
                f"Received: {self.model.name}, which returns probabilities"
            )

    def _random_images(self) -> np.ndarray:
        rng = np.random.default_rng(0)
        shape = (RANDOM_IMAGES, *(size or UNKNOWN_SIZE for size in self.image_shape))
        raw = self.classes and self.normalization is None
        images = rng.standard_normal(shape) if raw else rng.integers(0, 256, shape)
        return images.astype("float32")


def _check(model: keras.Model) -> None:
    graph = compat.graph(model)
    if graph is None:
        lacks = "built" if isinstance(model, keras.Sequential) else "functional"
        received = f"{type(model).__name__}, which is not {lacks}"
    elif isinstance(model, Network) and not model.get_config().get("include_top", True):
        received = f"{model.name} with include_top=False"
    else:
        images, answers = ([tensor.shape for tensor in tensors] for tensors in (graph.inputs, graph.outputs))
        classifies = len(answers) == 1 and len(answers[0]) == 2
        if [len(shape) for shape in images] == [4] and (classifies or isinstance(model, Network)):
            return
        received = f"{model.name} from {', '.join(map(str, images))} to {', '.join(map(str, answers))}"
    raise ValueError(
        "expected a functional model from one image (N, H, W, C) to one output (N, classes) of logits, probabilities or numbers. "
        f"Received: {received}"
    )


def _serves_as_it_is(model: keras.Model) -> bool:
    is_float32 = all(layer.compute_dtype == "float32" for layer in model.layers)
    return isinstance(model, Network) and is_float32 and model.get_config().get("classifier_activation") is None


def _per_channel(normalization: Normalization, channels: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        mean, std = (np.broadcast_to(np.asarray(part, dtype="float32"), (channels,)) for part in normalization)
    except (TypeError, ValueError):
        mean = std = np.zeros(channels)
    if not is_scale(mean, std):
        raise ValueError(
            f"expected normalization=(mean, std), each one number or {channels} of them, std > 0. "
            f"Received: normalization={normalization!r}"
        )
    return mean, std
