"""Opens exported models in their runtimes. Both engine classes have `signatures`, `class_names` and the method `run`."""

from binascii import a2b_base64
from pathlib import Path

import numpy as np

from keras_mgnet.errors import one_line
from keras_mgnet.extras import SERVE, extra
from keras_mgnet.files import read_lines, without_brackets
from keras_mgnet.images import decode
from keras_mgnet.notes import hidden_notes
from keras_mgnet.schema import parse_json
from keras_mgnet.serving.tensors import STRING, RequestError, Signature, Tensor

DEFAULT, BYTES, PICTURES = "serving_default", "serving_bytes", "image_bytes"
SAVED_MODEL, ONNX = ARTIFACTS = ("saved_model.pb", "model.onnx")  # a version folder contains one of them
BLACK_PNG = a2b_base64("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
FREE_AXIS = 32  # length of a free axis in a warm-up request


def versions(base: Path) -> dict[int, Path]:
    """Returns {number: path} of the versions that can be served: the folders BASE/<number>, or an .onnx file as version 1.

    Raises ValueError if there is no version.
    """
    if base.is_file() and base.suffix == ".onnx":
        return {1: base}
    folders = [file.parent for name in ARTIFACTS for file in base.glob(f"*/{name}")]
    found = {int(folder.name): folder for folder in folders if folder.name.isdecimal()}
    if not found:
        places = " or ".join(f"<number>/{name}" for name in ARTIFACTS)
        wanted = f"an .onnx file, or a folder with {places}" if base.exists() else "an existing file or folder"
        raise ValueError(f"expected {wanted}. Received: '{base}'")
    return found


def open_engine(path: Path):
    """Opens a version folder or an .onnx file and runs every signature once.

    Raises ValueError if the model is damaged, and ImportError if its runtime is not installed.
    """
    try:
        is_savedmodel = (path / SAVED_MODEL).is_file()
        engine = SavedModelEngine(path) if is_savedmodel else OnnxEngine(path if path.is_file() else path / ONNX)
        for name, signature in engine.signatures.items():
            engine.run(name, _zero(signature.input))
    except ImportError:
        raise
    except Exception as error:  # a damaged file may raise anything
        raise ValueError(f"expected a whole model in '{path}'. Received: {one_line(error)}") from error
    return engine


class SavedModelEngine:
    """Runs a SavedModel in TensorFlow, with the signatures of the SavedModel."""

    def __init__(self, folder: Path):
        with hidden_notes(), without_brackets(folder) as place:
            tf = extra("tensorflow", SERVE)
            self._loaded = tf.saved_model.load(str(place))  # owns the variables
        names = folder / "assets/class_names.txt"
        self.class_names = read_lines(names) if names.is_file() else None
        self._functions, self.signatures = dict(self._loaded.signatures), {}
        for name, function in self._functions.items():
            (tensor,) = _tf_tensors(function.structured_input_signature[1]).values()
            self.signatures[name] = Signature(tensor, _tf_tensors(function.structured_outputs))

    def run(self, signature: str, array: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the outputs of a signature. Raises RequestError if TensorFlow refuses the input."""
        import tensorflow as tf

        try:
            outputs = self._functions[signature](**{self.signatures[signature].input.name: tf.constant(array)})
        except tf.errors.InvalidArgumentError as error:
            raise RequestError(f"'{signature}': {error.message.partition(chr(10))[0]}") from error
        return {name: tensor.numpy() for name, tensor in outputs.items()}


class OnnxEngine:
    """Runs an .onnx file in ONNX Runtime. `serving_default` runs the file; `serving_bytes` first decodes image files."""

    def __init__(self, path: Path):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # spares the server's cores
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        told = self._session.get_modelmeta().custom_metadata_map
        self.class_names = parse_json(told.get("class_names", "null"), list[str] | None)
        (image,) = _onnx_tensors(self._session.get_inputs()).values()
        outputs = _onnx_tensors(self._session.get_outputs())
        self.signatures = {DEFAULT: Signature(image, outputs)}
        if None not in image.shape[1:] and image.shape[3] in (1, 3):
            self.signatures[BYTES] = Signature(Tensor(PICTURES, STRING, (None,)), outputs)

    def run(self, signature: str, array: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the outputs of a signature. Raises RequestError if an image cannot be decoded."""
        image, outputs = self.signatures[DEFAULT].input, list(self.signatures[DEFAULT].outputs)
        if signature == BYTES:
            height, width, channels = image.shape[1:]
            try:
                array = np.stack([decode(picture, (width, height), channels) for picture in array]).astype("float32")
            except ValueError as error:
                raise RequestError(f"'{PICTURES}': {error}") from error
        return dict(zip(outputs, self._session.run(outputs, {image.name: array}), strict=True))


def _tf_tensors(specs: dict) -> dict[str, Tensor]:
    return {name: Tensor(name, spec.dtype.name, tuple(spec.shape.as_list())) for name, spec in specs.items()}


def _onnx_tensors(nodes) -> dict[str, Tensor]:
    types = {"tensor(float)": "float32", "tensor(int64)": "int64"}  # the types in our files
    return {
        node.name: Tensor(node.name, types[node.type], tuple(n if isinstance(n, int) else None for n in node.shape))
        for node in nodes
    }


def _zero(tensor: Tensor) -> np.ndarray:
    shape = tuple((FREE_AXIS if axis else 1) if size is None else size for axis, size in enumerate(tensor.shape))
    return np.full(shape, BLACK_PNG, object) if tensor.dtype == STRING else np.zeros(shape, tensor.dtype)
