"""Runs exported files as in deployment. Running a TFLite or ONNX file loads neither TensorFlow nor Keras."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from keras_mgnet.errors import one_line
from keras_mgnet.extras import EXPORT, extra
from keras_mgnet.files import without_brackets

SAVED_MODEL = "saved_model.pb"
Runner = Callable[[np.ndarray], dict[str, np.ndarray]]
Opened = tuple[
    Runner, Sequence[int | str | None]
]  # with the shape of its input; an axis of any length is no positive integer


def open_artifact(path: str | Path) -> Runner:
    """Opens a SavedModel version folder, a .tflite or a .onnx file.

    Returns:
        A function of images (N, H, W, C), for any N. The function returns arrays: {"logits": (N, classes), "probabilities":
        (N, classes), "classes": (N,)}, or for a denoiser {"denoised": (N, H, W, C)}.

    Raises:
        ValueError: if `path` is not such a folder or file, or is damaged.
        ImportError: if the runtime is not installed.

    Example:
        >>> import tempfile
        >>> from keras_mgnet import MgNet, export
        >>> with tempfile.TemporaryDirectory() as out:
        ...     run = open_artifact(export.onnx(MgNet((1,), 4, input_shape=(8, 8, 1)), f"{out}/model.onnx"))
        >>> run(np.zeros((5, 8, 8, 1)))["classes"].shape
        (5,)
    """
    run, _ = open_with_shape(path)
    return run


def open_with_shape(path: str | Path) -> tuple[Runner, tuple[int | None, ...]]:
    """Opens a file as `open_artifact` does. Also returns (height, width, channels) of its images, with None for any length."""
    path = Path(path)
    opened = OPENERS[artifact_format(path)]
    with undamaged(path):
        run, axes = opened(path)
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in axes[1:])
    return lambda images: run(np.asarray(images, dtype="float32")), shape


def artifact_format(path: str | Path) -> str:
    """Returns the format of an exported file or folder, a key of `OPENERS`. Raises ValueError for any other path."""
    path = Path(path)
    if (path / SAVED_MODEL).is_file():
        return "savedmodel"
    if path.is_file() and path.suffix in SUFFIXES:
        return SUFFIXES[path.suffix]
    files = " or ".join(SUFFIXES)
    raise ValueError(f"expected a folder with {SAVED_MODEL} or an existing {files} file. Received: '{path}'")


def is_artifact(path: Path) -> bool:
    """Returns whether a path looks like an exported file or folder. The file may be damaged or missing."""
    return path.suffix in SUFFIXES or (path / SAVED_MODEL).is_file()


@contextmanager
def undamaged(path: Path) -> Iterator[None]:
    """Turns every error in the `with` block, except ImportError, into a ValueError that calls the file at `path` damaged."""
    try:
        yield
    except ImportError:
        raise
    except Exception as error:  # each runtime raises its own errors
        raise ValueError(f"expected an undamaged file or folder. Received: '{path}' ({one_line(error)})") from error


def tflite_dtypes(path: str | Path) -> set[str]:
    """Returns the names of the data types in a .tflite file."""
    return {np.dtype(tensor["dtype"]).name for tensor in tflite_interpreter(path).get_tensor_details()}


def tflite_interpreter(path: str | Path):
    """Returns LiteRT's interpreter for a .tflite file. Creating the interpreter checks the file."""
    return extra("ai_edge_litert.interpreter", EXPORT).Interpreter(model_path=str(path))


def onnx_session(path: str | Path):
    """Returns ONNX Runtime's session for a .onnx file, on the CPU."""
    return extra("onnxruntime", EXPORT).InferenceSession(str(path), providers=["CPUExecutionProvider"])


def _open_savedmodel(path: Path) -> Opened:
    tf = extra("tensorflow", EXPORT)
    with without_brackets(path) as folder:
        loaded = tf.saved_model.load(str(folder))
    _, named = loaded.signatures["serving_default"].structured_input_signature
    _check_input(named)

    def run(images):
        outputs = loaded.signatures["serving_default"](image=tf.constant(images))  # `loaded` keeps the variables alive
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    return run, named["image"].shape.as_list()


def _open_tflite(path: Path) -> Opened:
    serve = tflite_interpreter(path).get_signature_runner("serving_default")
    _check_input(serve.get_input_details())
    image, answers = serve.get_input_details()["image"], serve.get_output_details()

    def run(images):
        outputs = serve(image=_quantized(images, image))
        return {name: _dequantized(values, answers[name]) for name, values in outputs.items()}

    return run, image["shape_signature"].tolist()


def _quantized(x: np.ndarray, tensor: dict) -> np.ndarray:
    """Quantises float32 values for a tensor of a .tflite file, where value = scale * (stored integer - zero point)."""
    scale, zero = tensor["quantization"]
    if scale == 0:
        return x
    limits = np.iinfo(tensor["dtype"])
    return np.clip(np.round(x / scale) + zero, limits.min, limits.max).astype(tensor["dtype"])


def _dequantized(stored: np.ndarray, tensor: dict) -> np.ndarray:
    scale, zero = tensor["quantization"]
    return stored if scale == 0 else np.float32(scale) * (stored.astype("float32") - zero)


def _open_onnx(path: Path) -> Opened:
    session = onnx_session(path)
    _check_input(given.name for given in session.get_inputs())
    names = [output.name for output in session.get_outputs()]
    shape = session.get_inputs()[0].shape
    return lambda images: dict(zip(names, session.run(names, {"image": images}), strict=True)), shape


def _check_input(names: Iterable[str]) -> None:
    if (received := list(names)) != ["image"]:
        raise ValueError(f"expected one input, image. Received: {', '.join(received)}")


OPENERS = {"savedmodel": _open_savedmodel, "tflite": _open_tflite, "onnx": _open_onnx}
SUFFIXES = {".tflite": "tflite", ".onnx": "onnx"}
