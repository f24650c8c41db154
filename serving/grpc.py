"""TensorFlow Serving's gRPC services, PredictionService and ModelService, of one SavedModel."""

import logging

import tensorflow as tf
from google.protobuf.json_format import ParseDict
from grpc import StatusCode, aio
from tensorflow_serving.apis import get_model_metadata_pb2 as metadata_pb2
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from keras_mgnet.errors import unknown
from keras_mgnet.serving import rest
from keras_mgnet.serving.model import Model
from keras_mgnet.serving.tensors import RequestError, Tensor

log = logging.getLogger(__name__)
logging.getLogger("grpc._cython.cygrpc").setLevel(logging.CRITICAL)  # a traceback for each message that is none
MAX_CALLS = 32  # at a time, each of the largest body
CODES = {404: StatusCode.NOT_FOUND, 503: StatusCode.UNAVAILABLE}


def grpc_server(model: Model, address: str, max_request_bytes: int) -> tuple[aio.Server, int]:
    """Returns the server, bound but not started, and its port; raises OSError where the address is taken."""
    options = [("grpc.max_receive_message_length", max_request_bytes), ("grpc.so_reuseport", 0)]
    server, services = aio.server(options=options, maximum_concurrent_rpcs=MAX_CALLS), Services(model)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(services, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(services, server)
    try:
        return server, server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"expected a free address for gRPC. Received: {address} ({error})") from error


class Services(prediction_service_pb2_grpc.PredictionServiceServicer, model_service_pb2_grpc.ModelServiceServicer):
    """Predict, GetModelMetadata and GetModelStatus; the other methods say that they are not implemented."""

    def __init__(self, model: Model):
        self._model = model

    async def Predict(self, request, context):
        return await self._answer(predict, request, context)

    async def GetModelMetadata(self, request, context):
        return await self._answer(metadata, request, context)

    async def GetModelStatus(self, request, context):
        return await self._answer(status, request, context)

    async def _answer(self, work, request, context):
        spec = request.model_spec
        try:
            if spec.version_label:
                raise RequestError(f"expected no version_label. Received: {spec.version_label[:60]!r}", status=404)
            self._model.check(spec.name, str(spec.version.value) if spec.HasField("version") else None)
            return await self._model.answer("grpc", work, request)
        except Exception as error:
            if not isinstance(error, RequestError):
                log.exception("a call failed")
                await context.abort(StatusCode.INTERNAL, "internal error")
            await context.abort(CODES.get(error.status, StatusCode.INVALID_ARGUMENT), str(error))


def predict(model: Model, request) -> predict_pb2.PredictResponse:
    """Returns the outputs of a signature, or those that `output_filter` names; raises RequestError for a wrong request."""
    name = request.model_spec.signature_name
    signature = model.signature(name)
    if request.inputs.keys() != {signature.input.name}:
        received = ", ".join(request.inputs)[:60] or "none"
        raise RequestError(f"'inputs': expected '{signature.input.name}' alone. Received: {received}")
    wanted = set(request.output_filter) or signature.outputs.keys()
    for output in wanted - signature.outputs.keys():
        raise RequestError(f"'output_filter': {unknown('output', output[:60], signature.outputs)}")
    outputs = model.run(name, _array(signature.input, request.inputs[signature.input.name]))
    reply = predict_pb2.PredictResponse(outputs={key: tf.make_tensor_proto(outputs[key]) for key in wanted})
    ParseDict(rest.specification(model, name), reply.model_spec)
    return reply


def metadata(model: Model, request) -> metadata_pb2.GetModelMetadataResponse:
    """Returns the signatures."""
    if list(request.metadata_field) != ["signature_def"]:
        raise RequestError("expected metadata_field ['signature_def']. Received: another")
    reply, told = metadata_pb2.GetModelMetadataResponse(), rest.metadata(model)
    ParseDict(told["model_spec"], reply.model_spec)
    reply.metadata["signature_def"].Pack(ParseDict(told["metadata"]["signature_def"], metadata_pb2.SignatureDefMap()))
    return reply


def status(model: Model, request) -> get_model_status_pb2.GetModelStatusResponse:
    """Returns that the one version is available."""
    return ParseDict(rest.status(model), get_model_status_pb2.GetModelStatusResponse())


def _array(tensor: Tensor, proto):
    tensor.check_shape([dim.size for dim in proto.tensor_shape.dim])
    dtype = tf.as_dtype(tensor.dtype)
    if proto.dtype != dtype.as_datatype_enum:
        raise RequestError(f"expected '{tensor.name}' of type {dtype.name}. Received: DataType {proto.dtype}")
    if dtype == tf.string and len(proto.string_val) != proto.tensor_shape.dim[0].size:
        raise RequestError(
            f"expected {proto.tensor_shape.dim[0].size} of '{tensor.name}'. Received: {len(proto.string_val)}"
        )
    try:
        array = tf.make_ndarray(proto)
    except (TypeError, IndexError, ValueError, OverflowError) as error:
        raise RequestError(f"expected '{tensor.name}' whole. Received: {error}") from error
    return tensor.check_finite(array)
