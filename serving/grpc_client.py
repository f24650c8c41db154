"""A model behind gRPC: KServe's open inference protocol, or else the PredictionService of TensorFlow Serving."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import sleep as pause
from typing import Any

import numpy as np

from keras_mgnet.extras import EXPORT, SERVE, extra
from keras_mgnet.serving.image_input import Image, ImageInput, image_input

URL = re.compile(r"grpc://(?P<address>[^/?#]+)(?:/(?P<name>[^/?#]+))?/*")
OPTIONS = [
    ("grpc.max_receive_message_length", -1),  # the server has the limits
    ("grpc.max_send_message_length", -1),
    ("grpc.max_reconnect_backoff_ms", 400),  # so that each further attempt connects anew
]
IS_LIVE = "/inference.GRPCInferenceService/ServerLive"
DATATYPES = {
    "BYTES": ("serving_bytes", "bytes"),
    "UINT8": ("serving_uint8", "uint8"),
    "FP32": ("serving_default", "float32"),
}
TYPES = {7: "bytes", 4: "uint8", 1: "float32"}  # TensorFlow's DataType
PROBABILITIES = "probabilities"
REFUSED = ("INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "OUT_OF_RANGE", "UNIMPLEMENTED")
FIRST_PAUSE = 0.5  # seconds, doubled before each further attempt


def open_grpc(url: str, name: str | None, timeout: float, retries: int) -> "GrpcModel":
    """Returns the model at grpc://HOST:PORT[/NAME], by the protocol that answers there.

    Raises:
        ValueError: for another URL, no name, or a server that refuses it.
        OSError: where no server answers.
        ImportError: where the packages of that protocol are not installed.
    """
    parts = URL.fullmatch(url)
    name = name or (parts and parts["name"])
    if not name:
        raise ValueError(f"expected a URL grpc://HOST:PORT/NAME, or the model's name besides. Received: {url!r}")
    channel = extra("grpc", SERVE).insecure_channel(parts["address"], options=OPTIONS)
    call = _Call(url, timeout)
    try:
        protocol = OpenInferenceModel if _speaks_open_protocol(channel, call, retries) else PredictionModel
        return protocol(channel, name, call)
    except BaseException:
        channel.close()
        raise


class _Call:
    """Calls methods of a server within a time; what goes wrong becomes one line."""

    def __init__(self, url: str, timeout: float):
        self._url, self._timeout = url, timeout

    def __call__(self, method: Callable, request: Any) -> Any:
        with self._in_words():
            return method(request, timeout=self._timeout)

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        grpc = extra("grpc", SERVE)
        try:
            yield
        except grpc.RpcError as error:
            code, details = error.code().name, " ".join(error.details().split())
            if code == "UNAVAILABLE":
                raise ConnectionError(f"expected a server at {self._url}. Received: {details}") from error
            if code == "DEADLINE_EXCEEDED":
                raise OSError(
                    f"expected an answer from {self._url} within {self._timeout:g} s. Received: none"
                ) from error
            kind = ValueError if code in REFUSED else OSError
            raise kind(f"expected an answer from {self._url}. Received: {code} {details}") from error


class GrpcModel:
    """A `RemoteModel` behind an open channel, which it closes."""

    class_names = None  # no protocol tells them

    def __init__(self, channel, name: str, call: _Call):
        self._channel, self._name, self._call = channel, name, call
        self.signatures: dict[str, ImageInput] = self._find_signatures()
        if not self.signatures:
            raise ValueError(f"expected a model that takes images. Received: '{name}'")

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        self._channel.close()

    def _find_signatures(self) -> dict[str, ImageInput]:
        raise NotImplementedError

    def probabilities(self, signature: str, images: Sequence[Image]) -> np.ndarray:
        """Returns (N, classes) in one request."""
        raise NotImplementedError


class OpenInferenceModel(GrpcModel):
    """A model of KServe's protocol, which tells the inputs of the default signature alone."""

    def _find_signatures(self) -> dict[str, ImageInput]:
        messages = extra("kserve.protocol.grpc.grpc_predict_v2_pb2", SERVE)
        self._stub = extra("kserve.protocol.grpc.grpc_predict_v2_pb2_grpc", SERVE).GRPCInferenceServiceStub(
            self._channel
        )
        metadata = self._call(self._stub.ModelMetadata, messages.ModelMetadataRequest(name=self._name))
        found = {}
        for tensor in metadata.inputs:
            signature, dtype = DATATYPES.get(tensor.datatype, (None, None))
            if taken := image_input(tensor.name, dtype, tensor.shape):
                found[signature] = taken
        return found

    def probabilities(self, signature: str, images: Sequence[Image]) -> np.ndarray:
        """Returns (N, classes) in one request."""
        protocol = extra("kserve.protocol.infer_type", SERVE)
        array = _stacked(images, self.signatures[signature])
        datatype = next(key for key, (name, _) in DATATYPES.items() if name == signature)
        tensor = protocol.InferInput(self.signatures[signature].name, list(array.shape), datatype)
        tensor.set_data_from_numpy(array)
        outputs = [protocol.RequestedOutput(PROBABILITIES)]
        request = protocol.InferRequest(self._name, [tensor], request_outputs=outputs)
        reply = self._call(self._stub.ModelInfer, request.to_grpc())
        return protocol.InferResponse.from_grpc(reply).get_output_by_name(PROBABILITIES).as_numpy()


class PredictionModel(GrpcModel):
    """A model of TensorFlow Serving; its messages hold TensorFlow's, so this loads TensorFlow."""

    def _find_signatures(self) -> dict[str, ImageInput]:
        messages = extra("tensorflow_serving.apis.get_model_metadata_pb2", EXPORT)
        services = extra("tensorflow_serving.apis.prediction_service_pb2_grpc", EXPORT)
        self._stub = services.PredictionServiceStub(self._channel)
        request = messages.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = self._name
        reply, definitions = self._call(self._stub.GetModelMetadata, request), messages.SignatureDefMap()
        reply.metadata["signature_def"].Unpack(definitions)
        found = {name: _defined_input(definition) for name, definition in definitions.signature_def.items()}
        return {name: taken for name, taken in found.items() if taken}

    def probabilities(self, signature: str, images: Sequence[Image]) -> np.ndarray:
        """Returns (N, classes) in one request."""
        import tensorflow as tf

        expected = self.signatures[signature]
        request = extra("tensorflow_serving.apis.predict_pb2", EXPORT).PredictRequest(output_filter=[PROBABILITIES])
        request.model_spec.name, request.model_spec.signature_name = self._name, signature
        request.inputs[expected.name].CopyFrom(tf.make_tensor_proto(_stacked(images, expected)))
        return tf.make_ndarray(self._call(self._stub.Predict, request).outputs[PROBABILITIES])


def _speaks_open_protocol(channel, call: _Call, retries: int) -> bool:
    for attempt in range(retries + 1):
        try:
            call(channel.unary_unary(IS_LIVE), b"")
            return True
        except ValueError:  # no such method
            return False
        except ConnectionError:
            if attempt == retries:
                raise
            pause(FIRST_PAUSE * 2**attempt)


def _defined_input(definition) -> ImageInput | None:
    if PROBABILITIES not in definition.outputs or len(definition.inputs) != 1:
        return None
    ((name, tensor),) = definition.inputs.items()
    return image_input(name, TYPES.get(tensor.dtype), [axis.size for axis in tensor.tensor_shape.dim])


def _stacked(images: Sequence[Image], expected: ImageInput) -> np.ndarray:
    return np.array(images, object) if expected.dtype == "bytes" else np.stack(images).astype(expected.dtype)
