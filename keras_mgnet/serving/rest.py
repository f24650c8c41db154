"""TensorFlow Serving's REST interface for one model, with health checks and metrics."""

from collections.abc import Callable

from msgspec.json import encode
from prometheus_client import CONTENT_TYPE_LATEST as METRICS_TYPE
from prometheus_client import generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router

from keras_mgnet.serving.gate import Gate
from keras_mgnet.serving.model import Model
from keras_mgnet.serving.tensors import MAX_VALUES, NAME, RequestError, Tensor, read

DTYPES = {"float32": "DT_FLOAT", "float64": "DT_DOUBLE"}  # others: DT_<NAME>


def application(model: Model, max_request_bytes: int, loopback: bool) -> Starlette:
    """Returns the ASGI application that serves a model."""

    def route(path: str, reply: Callable, method: str = "GET") -> Route:
        async def endpoint(request: Request) -> Response:
            model.check(**request.path_params)
            content = reply(model) if method == "GET" else await model.answer("rest", reply, request.scope["body"])
            headers = {} if model.ready else {"connection": "close"}
            return content if isinstance(content, Response) else _json(content, headers=headers)

        return Route(path, endpoint, methods=[method])

    routes = []  # the first match answers, so predictions come first
    for path in ("/v1/models/{name}", "/v1/models/{name}/versions/{version}"):
        routes += [route(f"{path}:predict", answer, "POST"), route(f"{path}/metadata", metadata), route(path, status)]
    routes += [
        route("/healthz", lambda model: {"alive": True}),
        route("/readyz", lambda model: _json({"ready": model.ready}, 200 if model.ready else 503)),
        route("/monitoring/prometheus/metrics", lambda model: Response(generate_latest(), media_type=METRICS_TYPE)),
    ]
    gate = Gate(Router(routes, redirect_slashes=False), max_request_bytes, loopback)
    handlers = {RequestError: _on_refusal, HTTPException: _on_http_error}
    return Starlette(routes=[Mount("/", gate)], exception_handlers=handlers)


def answer(model: Model, body: bytearray) -> bytes:
    """Returns the JSON answer to a predict request: rows for `instances`, columns for `inputs`. May raise RequestError."""
    name = read(body, NAME).signature_name
    array, by_rows = model.signature(name).array(body)
    outputs = model.run(name, array)
    if sum(output.size for output in outputs.values()) > MAX_VALUES:
        raise RequestError(f"expected fewer images: an answer has at most {MAX_VALUES} values. Received: {len(array)}")
    values = {key: output.tolist() for key, output in outputs.items()}
    if len(values) == 1:
        (content,) = values.values()  # a single output is not named
    else:
        rows = zip(*values.values(), strict=True)
        content = [dict(zip(values, row, strict=True)) for row in rows] if by_rows else values
    return encode({"predictions" if by_rows else "outputs": content})


def metadata(model: Model) -> dict:
    """Returns the signatures as JSON of TensorFlow's SignatureDefs, and the class names or null."""
    definitions = {
        name: {
            "inputs": {signature.input.name: _tensor_info(signature.input)},
            "outputs": {tensor.name: _tensor_info(tensor) for tensor in signature.outputs.values()},
            "method_name": "tensorflow/serving/predict",
        }
        for name, signature in model.engine.signatures.items()
    }
    told = {"signature_def": {"signature_def": definitions}, "class_names": model.engine.class_names}
    return {"model_spec": {"name": model.name, "signature_name": "", "version": str(model.number)}, "metadata": told}


def status(model: Model) -> dict:
    """Returns the status of the model. The only version is always available."""
    status = {"error_code": "OK", "error_message": ""}
    return {"model_version_status": [{"version": str(model.number), "state": "AVAILABLE", "status": status}]}


def _tensor_info(tensor: Tensor) -> dict:
    dims = [{"size": str(-1 if size is None else size), "name": ""} for size in tensor.shape]
    dtype = DTYPES.get(tensor.dtype, f"DT_{tensor.dtype.upper()}")
    return {"dtype": dtype, "tensor_shape": {"dim": dims, "unknown_rank": False}, "name": tensor.name}


def _json(content: dict | bytes, status: int = 200, headers=None) -> Response:
    body = content if isinstance(content, bytes) else encode(content)
    return Response(body, status, headers, media_type="application/json")


async def _on_refusal(request: Request, error: RequestError) -> Response:
    unread = {"connection": "close"} if error.status in (403, 408, 413, 415, 503) else {}
    return _json({"error": str(error)}, error.status, unread)


async def _on_http_error(request: Request, error: HTTPException) -> Response:
    message = f"{request.method} {request.url.path[:200]}: {error.detail}"
    return _json({"error": message}, error.status_code, error.headers)
