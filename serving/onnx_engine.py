"""An ONNX file in ONNX Runtime: its graph as `serving_default`, and encoded images in front of it as `serving_bytes`."""

import json
from collections.abc import Iterator
from pathlib import Path

import onnxruntime

from keras_mgnet.serving.engine import DEFAULT, Arrays
from keras_mgnet.serving.pictures import MODES, decode
from keras_mgnet.serving.signature import STRING, Signature, Tensor

BYTES, PICTURES = "serving_bytes", "image_bytes"
DTYPES = {"float": "float32", "double": "float64"}  # ONNX's names that NumPy spells otherwise


class OnnxEngine:
    """An opened .onnx file; see `keras_mgnet.serving.engine.Engine`.

    `serving_bytes` is there for a graph with one float input (N, H, W, C) of known size with 1, 3 or 4 channels.

    Raises:
        ValueError: where the file holds no whole graph.
    """

    platform = "onnx_onnxv1"

    def __init__(self, path: Path):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # leaves the cores to the server
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except RuntimeError as error:  # the base of what ONNX Runtime raises
            raise ValueError(f"expected a whole ONNX graph in '{path}'. Received: {error}") from error
        class_names = self._session.get_modelmeta().custom_metadata_map.get("class_names")
        self.class_names = None if class_names is None else json.loads(class_names)
        inputs, outputs = _tensors(self._session.get_inputs()), _tensors(self._session.get_outputs())
        self.signatures = {DEFAULT: Signature(inputs, outputs)}
        if _takes_pictures(inputs):
            self.signatures[BYTES] = Signature({PICTURES: Tensor(PICTURES, STRING, (None,))}, outputs)

    def run(self, signature: str, inputs: Arrays) -> Arrays:
        """Returns the outputs of one signature."""
        if signature == BYTES:
            image = next(iter(self.signatures[DEFAULT].inputs.values()))
            inputs = {image.name: decode(PICTURES, inputs[PICTURES], image.shape[1:])}
        names = list(self.signatures[DEFAULT].outputs)
        return dict(zip(names, self._session.run(names, inputs), strict=True))

    def recorded_requests(self) -> Iterator[tuple[str, Arrays]]:
        """Yields nothing: no warm-up file is defined for ONNX."""
        yield from ()


def _tensors(nodes) -> dict[str, Tensor]:
    return {node.name: Tensor(node.name, _dtype(node.type), _shape(node.shape)) for node in nodes}


def _dtype(kind: str) -> str:
    name = kind.removeprefix("tensor(").removesuffix(")")
    return DTYPES.get(name, name)


def _shape(shape) -> tuple[int | None, ...]:
    return tuple(size if isinstance(size, int) else None for size in shape)


def _takes_pictures(inputs: dict[str, Tensor]) -> bool:
    shapes = [tensor.shape for tensor in inputs.values() if tensor.dtype == "float32"]
    return (
        len(inputs) == len(shapes) == 1 and len(shapes[0]) == 4 and None not in shapes[0][1:] and shapes[0][3] in MODES
    )
