"""A SavedModel in TensorFlow, with the signatures that it declares."""

from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from keras_mgnet.export.tfserving import WARM_UP
from keras_mgnet.serving.engine import DEFAULT, Arrays
from keras_mgnet.serving.errors import RequestError
from keras_mgnet.serving.signature import Signature, Tensor

CLASS_NAMES = "assets/class_names.txt"


class SavedModelEngine:
    """An opened SavedModel folder; see `keras_mgnet.serving.engine.Engine`.

    Raises:
        ValueError: where the folder holds no whole SavedModel.
    """

    platform = "tensorflow_savedmodel"

    def __init__(self, folder: Path):
        self._folder = folder
        try:
            self._loaded = tf.saved_model.load(str(folder))  # owns the variables
        except (OSError, ValueError, KeyError, AttributeError, tf.errors.OpError) as error:
            raise ValueError(f"expected a whole SavedModel in '{folder}'. Received: {error}") from error
        names = folder / CLASS_NAMES
        self.class_names = names.read_text(encoding="utf-8").splitlines() if names.is_file() else None
        self._functions = dict(self._loaded.signatures)
        self.signatures = {name: _signature(function) for name, function in self._functions.items()}

    def run(self, signature: str, inputs: Arrays) -> Arrays:
        """Returns the outputs of one signature; raises RequestError for content that it refuses."""
        tensors = {name: tf.constant(array) for name, array in inputs.items()}
        try:
            outputs = self._functions[signature](**tensors)
        except tf.errors.InvalidArgumentError as error:
            raise RequestError(f"'{signature}': {error.message.partition(chr(10))[0]}") from error
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    def recorded_requests(self) -> Iterator[tuple[str, Arrays]]:
        """Yields TensorFlow Serving's warm-up requests, where its protocol is installed to read them."""
        path = self._folder / WARM_UP
        try:
            from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog
        except ImportError:
            return
        if path.is_file():
            for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
                request = PredictionLog.FromString(record).predict_log.request
                inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
                yield request.model_spec.signature_name or DEFAULT, inputs


def _signature(function) -> Signature:
    inputs = function.structured_input_signature[1]
    return Signature(*({name: _tensor(name, spec) for name, spec in specs.items()}
                       for specs in (inputs, function.structured_outputs)))  # fmt: skip


def _tensor(name: str, spec: tf.TensorSpec) -> Tensor:
    return Tensor(name, spec.dtype.name, tuple(spec.shape.as_list()))
