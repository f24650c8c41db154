"""One artifact, opened in its runtime: named functions from arrays to arrays."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from keras_mgnet.serving.pictures import encoded_png
from keras_mgnet.serving.signature import STRING, Signature

Arrays = dict[str, np.ndarray]

DEFAULT = "serving_default"
SAVED_MODEL, ONNX = ARTIFACTS = ("saved_model.pb", "model.onnx")  # one of them makes a folder a version
FREE_AXIS = 32  # length of a free axis in a warm-up request


class Engine(Protocol):
    """An opened artifact.

    Attributes:
        signatures: what it serves, by name.
        platform: the name of its runtime in the open inference protocol.
        class_names: one per class, where the artifact holds them.
    """

    signatures: dict[str, Signature]
    platform: str
    class_names: list[str] | None

    def run(self, signature: str, inputs: Arrays) -> Arrays:
        """Returns the outputs; raises RequestError where the content of the inputs is refused."""

    def recorded_requests(self) -> Iterator[tuple[str, Arrays]]:
        """Yields the warm-up requests that lie beside the artifact, each a signature with its inputs."""


def open_engine(path: Path) -> Engine:
    """Opens a version folder or an .onnx file and runs its warm-up requests, or else zeros through every signature.

    Raises:
        ValueError: where it is neither, or is damaged.

    Example:
        >>> open_engine(Path("missing"))
        Traceback (most recent call last):
        ValueError: expected a folder with saved_model.pb or model.onnx, or an .onnx file. Received: 'missing'
    """
    path = Path(path)
    if (path / SAVED_MODEL).is_file():
        from keras_mgnet.serving.savedmodel_engine import SavedModelEngine

        engine = SavedModelEngine(path)
    elif (path / ONNX).is_file() or (path.is_file() and path.suffix == ".onnx"):
        from keras_mgnet.serving.onnx_engine import OnnxEngine

        engine = OnnxEngine(path if path.is_file() else path / ONNX)
    else:
        raise ValueError(f"expected a folder with {SAVED_MODEL} or {ONNX}, or an .onnx file. Received: '{path}'")
    for signature, inputs in list(engine.recorded_requests()) or _zeros(engine):
        engine.run(signature, inputs)
    return engine


def _zeros(engine: Engine) -> Iterator[tuple[str, Arrays]]:
    for name, signature in engine.signatures.items():
        yield name, {tensor.name: _zero(tensor) for tensor in signature.inputs.values()}


def _zero(tensor) -> np.ndarray:
    shape = tuple((FREE_AXIS if axis else 1) if size is None else size for axis, size in enumerate(tensor.shape))
    if tensor.dtype == STRING:
        return np.full(shape, encoded_png(1, 1), object)
    return np.zeros(shape, tensor.dtype)
