"""TensorFlow Serving's gRPC services, PredictionService and ModelService, for one SavedModel."""

import logging

import tensorflow as tf
from google.protobuf.json_format import ParseDict
from grpc import StatusCode, aio
from tensorflow_serving.apis import get_model_metadata_pb2 as metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2 as status_pb2
from tensorflow_serving.apis import model_service_pb2_grpc, predict_pb2, prediction_service_pb2_grpc

from keras_mgnet.errors import unknown
from keras_mgnet.serving import rest
from keras_mgnet.serving.model import Model
from keras_mgnet.serving.tensors import RequestError, Tensor

log = logging.getLogger(__name__)
logging.getLogger("grpc._cython.cygrpc").setLevel(logging.CRITICAL)  # it logs a traceback for each malformed message
MAX_CALLS = 32  # at a time, each with a body of the largest size
CODES = {404: StatusCode.NOT_FOUND, 503: StatusCode.UNAVAILABLE}


def grpc_server(model: Model, address: str, max_request_bytes: int) -> tuple[aio.Server, int]:
    """Returns the gRPC server, bound but not started, and its port. Raises OSError if the address is taken."""
    options = [("grpc.max_receive_message_length", max_request_bytes), ("grpc.so_reuseport", 0)]
    server, services = aio.server(options=options, maximum_concurrent_rpcs=MAX_CALLS), Services(model)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(services, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(services, server)
    try:
        return server, server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"expected a free address for gRPC. Received: {address} ({error})") from error


def predict(model: Model, request) -> predict_pb2.PredictResponse:
    """Returns the outputs of a signature, or only those in `output_filter`. Raises RequestError for an invalid request."""
    name = request.model_spec.signature_name
    signature = model.signature(name)
    if request.inputs.keys() != {signature.input.name}:
        received = ", ".join(request.inputs)[:60] or "none"
        raise RequestError(f"'inputs': expected only '{signature.input.name}'. Received: {received}")
    wanted = set(request.output_filter) or signature.outputs.keys()
    for output in wanted - signature.outputs.keys():
        raise RequestError(f"'output_filter': {unknown('output', output[:60], signature.outputs)}")
    outputs = model.run(name, _array(signature.input, request.inputs[signature.input.name]))
    tensors = {key: tf.make_tensor_proto(outputs[key]) for key in wanted}
    reply = predict_pb2.PredictResponse(outputs=tensors, model_spec=request.model_spec)
    reply.model_spec.version.value = model.number
    return reply


def metadata(model: Model, request) -> metadata_pb2.GetModelMetadataResponse:
    """Returns the signatures, for a GetModelMetadata call."""
    if list(request.metadata_field) != ["signature_def"]:
        raise RequestError("expected metadata_field ['signature_def']. Received: other fields")
    reply, told = metadata_pb2.GetModelMetadataResponse(), rest.metadata(model)
    ParseDict(told["model_spec"], reply.model_spec)
    reply.metadata["signature_def"].Pack(ParseDict(told["metadata"]["signature_def"], metadata_pb2.SignatureDefMap()))
    return reply


def status(model: Model, request) -> status_pb2.GetModelStatusResponse:
    """Returns the status for a GetModelStatus call. The only version is always available."""
    return ParseDict(rest.status(model), status_pb2.GetModelStatusResponse())


def _array(tensor: Tensor, proto):
    shape, dtype = [dim.size for dim in proto.tensor_shape.dim], tf.as_dtype(tensor.dtype)
    tensor.check_shape(shape)
    if proto.dtype != dtype.as_datatype_enum:
        raise RequestError(f"expected '{tensor.name}' of type {dtype.name}. Received: DataType {proto.dtype}")
    if dtype == tf.string and len(proto.string_val) != shape[0]:
        raise RequestError(f"expected {shape[0]} strings in '{tensor.name}'. Received: {len(proto.string_val)}")
    try:
        array = tf.make_ndarray(proto)
    except (TypeError, IndexError, ValueError, OverflowError) as error:
        raise RequestError(f"expected a complete tensor '{tensor.name}'. Received: {error}") from error
    return tensor.check_finite(array)


def _method(work):
    async def method(self, request, context):
        spec = request.model_spec
        try:
            if spec.version_label:
                raise RequestError(f"expected no version_label. Received: {spec.version_label[:60]!r}", status=404)
            self.model.check(spec.name, str(spec.version.value) if spec.HasField("version") else None)
            return await self.model.answer("grpc", work, request)
        except RequestError as error:
            await context.abort(CODES.get(error.status, StatusCode.INVALID_ARGUMENT), str(error))
        except Exception:
            log.exception("a call failed")
            await context.abort(StatusCode.INTERNAL, "internal error")

    return method


class Services(prediction_service_pb2_grpc.PredictionServiceServicer, model_service_pb2_grpc.ModelServiceServicer):
    """The gRPC methods Predict, GetModelMetadata and GetModelStatus. All other methods answer UNIMPLEMENTED."""

    def __init__(self, model: Model):
        self.model = model

    Predict, GetModelMetadata, GetModelStatus = map(_method, (predict, metadata, status))
