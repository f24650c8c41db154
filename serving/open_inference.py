"""KServe's open inference protocol, over REST and gRPC, in front of a `Model`."""

from __future__ import annotations

import struct

import kserve
import numpy as np
from grpc import StatusCode, aio
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from kserve.protocol.grpc.interceptors import ExceptionToStatusInterceptor
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.infer_type import InferInput, InferOutput, InferRequest, InferResponse
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.utils.numpy_codec import from_np_dtype

from keras_mgnet.errors import unknown
from keras_mgnet.serving.engine import DEFAULT, Arrays
from keras_mgnet.serving.errors import RequestError, described
from keras_mgnet.serving.metrics import observed
from keras_mgnet.serving.model import Model, Version
from keras_mgnet.serving.rest import SIGNATURE
from keras_mgnet.serving.signature import STRING, Tensor

MAX_CALLS = 256  # of gRPC at a time
STATUS_CODES = {
    400: StatusCode.INVALID_ARGUMENT,
    404: StatusCode.NOT_FOUND,
    501: StatusCode.UNIMPLEMENTED,
    503: StatusCode.UNAVAILABLE,
}


class ServedModel(kserve.Model):
    """A `Model` as KServe's servers call it. The parameter `signature_name` picks a signature, else the inputs do."""

    def __init__(self, model: Model):
        super().__init__(model.name)
        self._model = model

    async def healthy(self) -> bool:
        """Returns whether requests are welcome."""
        return self._model.ready

    def load(self) -> bool:
        """Returns whether it is loaded, which is not KServe's to change."""
        return self._model.ready

    def get_input_types(self) -> list[dict]:
        """Returns the inputs of the default signature."""
        return [_described(tensor) for tensor in self._model.version().signature().inputs.values()]

    def get_output_types(self) -> list[dict]:
        """Returns the outputs of the default signature."""
        return [_described(tensor) for tensor in self._model.version().signature().outputs.values()]

    async def predict(self, payload: InferRequest, headers=None, response_headers=None) -> InferResponse:
        """Returns the outputs of a request; raises RequestError for one that cannot be answered."""
        with observed(self.name, "grpc" if payload.from_grpc else "rest_v2"):
            version = self._model.version(_number(payload.model_version))
            name = _signature_name(payload, version)
            outputs = await version.run(name, _inputs(payload, version, name))
            return _response(payload, version, outputs)


class ServedDataPlane(DataPlane):
    """KServe's data plane for one model that is ready when its `Model` is."""

    def __init__(self, model: Model):
        registry = kserve.ModelRepository()
        registry.update(ServedModel(model))
        super().__init__(registry)
        self._model = model

    async def ready(self) -> bool:
        """Returns whether requests are welcome."""
        return self._model.ready

    def decode(self, body, headers, *args, **kwargs):
        """Returns KServe's decoded request; what it trips over becomes a RequestError."""
        try:
            return super().decode(body, headers, *args, **kwargs)
        except (KeyError, TypeError, ValueError, AttributeError, struct.error) as error:
            raise RequestError(f"expected a body of the open inference protocol. Received: {error!r}") from error


class FixedRepository(ModelRepositoryExtension):
    """No client loads or unloads what the folder decides."""

    async def load(self, model_name: str) -> None:
        """Refuses."""
        raise RequestError(f"expected no request to load '{model_name}': the folder of versions decides", status=501)

    unload = load


class StatusInterceptor(ExceptionToStatusInterceptor):
    """Says in gRPC's codes what `described` says in HTTP's."""

    async def handle_exception(self, ex, request_or_iterator, context, method_name) -> None:
        """Ends a call with the code and the message of an error."""
        status, message = described(ex)
        await context.abort(STATUS_CODES.get(status, StatusCode.INTERNAL), message)


def grpc_server(data_plane: ServedDataPlane, address: str, max_request_bytes: int) -> tuple[aio.Server, int]:
    """Returns a gRPC server bound to "host:port", not started, and its port.

    Raises:
        OSError: where the port is taken.
    """
    options = {
        "grpc.max_receive_message_length": max_request_bytes,
        "grpc.max_send_message_length": -1,
        "grpc.so_reuseport": 0,  # else two servers would share a port unnoticed
    }
    server = aio.server(
        interceptors=[StatusInterceptor()], options=list(options.items()), maximum_concurrent_rpcs=MAX_CALLS
    )
    servicer = InferenceServicer(data_plane, FixedRepository(data_plane.model_registry))
    add_GRPCInferenceServiceServicer_to_server(servicer, server)
    try:
        return server, server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"expected a free address for gRPC. Received: {address} ({error})") from error


def _number(version: str | None) -> int | None:
    if not version:
        return None
    try:
        return int(version)
    except ValueError as error:
        raise RequestError(f"expected 'model_version' to be a number. Received: {version!r}", status=404) from error


def _signature_name(payload: InferRequest, version: Version) -> str:
    if payload.parameters and SIGNATURE in payload.parameters:
        value = payload.parameters[SIGNATURE]
        return getattr(value, "string_param", value)
    types = {tensor.name: tensor.datatype for tensor in payload.inputs}
    fitting = [
        name
        for name, signature in version.engine.signatures.items()
        if {tensor.name: _datatype(tensor) for tensor in signature.inputs.values()} == types
    ]
    return fitting[0] if fitting and DEFAULT not in fitting else DEFAULT


def _inputs(payload: InferRequest, version: Version, name: str) -> Arrays:
    signature = version.signature(name)
    signature.check_names([tensor.name for tensor in payload.inputs], "'inputs'")
    return {tensor.name: _array(signature.inputs[tensor.name], tensor) for tensor in payload.inputs}


def _array(tensor: Tensor, received: InferInput) -> np.ndarray:
    if received.datatype != _datatype(tensor):
        raise RequestError(
            f"expected '{tensor.name}' with the datatype {_datatype(tensor)}. Received: {received.datatype!r}"
        )
    tensor.check_shape(tuple(received.shape))
    try:
        array = received.as_numpy()
    except (ValueError, TypeError, OverflowError, struct.error) as error:
        raise RequestError(f"expected '{tensor.name}' to hold its data. Received: {error}") from error
    if tensor.dtype != STRING:
        return tensor.array(array)
    for index, item in np.ndenumerate(array):
        if not isinstance(item, str | bytes):
            raise RequestError(f"expected '{tensor.name}' to hold bytes. Received: {item!r}")
        array[index] = item.encode() if isinstance(item, str) else item
    return array


def _response(payload: InferRequest, version: Version, outputs: Arrays) -> InferResponse:
    asked = [output.name for output in payload.request_outputs or ()] or list(outputs)
    tensors = []
    for name in asked:
        if name not in outputs:
            raise RequestError(f"'outputs': {unknown('output', name, outputs)}")
        array = np.ascontiguousarray(outputs[name])
        tensor = InferOutput(name, list(array.shape), from_np_dtype(array.dtype))
        tensor.set_data_from_numpy(array, binary_data=payload.use_binary_outputs)
        tensors.append(tensor)
    return InferResponse(
        response_id=payload.id or "",
        model_name=payload.model_name,
        model_version=str(version.number),
        infer_outputs=tensors,
        use_binary_outputs=payload.use_binary_outputs,
    )


def _described(tensor: Tensor) -> dict:
    shape = [-1 if size is None else size for size in tensor.shape]
    return {"name": tensor.name, "datatype": _datatype(tensor), "shape": shape}


def _datatype(tensor: Tensor) -> str:
    return "BYTES" if tensor.dtype == STRING else from_np_dtype(np.dtype(tensor.dtype))
