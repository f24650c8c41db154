"""The HTTP routes: TensorFlow Serving's, KServe's open inference protocol, health and metrics."""

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from kserve.errors import InvalidInput, ModelNotFound, ModelNotReady, ServerNotReady
from kserve.protocol.rest.server import metrics_handler
from kserve.protocol.rest.v2_endpoints import register_v2_endpoints
from starlette.applications import Starlette
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from keras_mgnet.errors import unknown
from keras_mgnet.serving.errors import INTERNAL_ERROR, RequestError, described
from keras_mgnet.serving.metrics import observed
from keras_mgnet.serving.model import Model, Version
from keras_mgnet.serving.open_inference import FixedRepository, ServedDataPlane
from keras_mgnet.serving.rest import decode, encode, metadata, parse

JSON_TYPES = ("application/json", "application/x-www-form-urlencoded", "text/plain")  # curl -d says the second


class _Word(StringConvertor):
    """A part of a path up to the colon before what is to be done."""

    regex = "[^/:]+"


register_url_convertor("word", _Word())


def application(model: Model, data_plane: ServedDataPlane) -> Starlette:
    """Returns the ASGI application that serves a model: KServe's part in FastAPI, what must be fast in front of it.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> from pathlib import Path
        >>> model = Model(Path("missing"), "digits", ThreadPoolExecutor())
        >>> [route.path for route in application(model, ServedDataPlane(model)).routes][1]
        '/v1/models/{name:word}:predict'
    """
    open_inference = FastAPI(openapi_url=None, exception_handlers=HANDLERS)
    register_v2_endpoints(open_inference, data_plane, FixedRepository(data_plane.model_registry))
    routes = [
        *Predictions(model).routes(),
        Route("/", _alive),
        Route("/metrics", metrics_handler),
    ]
    app = Starlette(routes=routes, exception_handlers=HANDLERS)
    app.router.redirect_slashes, app.router.default = False, open_inference
    return app


class Predictions:
    """TensorFlow Serving's REST interface of one model; `ready` and `name` in its status are KServe's."""

    def __init__(self, model: Model):
        self._model = model

    def routes(self) -> list[Route]:
        """Returns the routes below /v1."""
        one = "/v1/models/{name:word}"
        chosen = (one, f"{one}/versions/{{version:word}}", f"{one}/labels/{{label:word}}")
        return [
            Route("/v1/models", self.models),
            *(Route(f"{path}:predict", self.predict, methods=["POST"]) for path in chosen),
            *(Route(f"{path}/metadata", self.metadata) for path in chosen),
            *(Route(path, self.status) for path in chosen),
        ]

    async def models(self, request: Request) -> Response:
        """Lists the one model."""
        return _json({"models": [self._model.name]})

    async def predict(self, request: Request) -> Response:
        """Answers a predict request, by rows or by columns."""
        body = await request.body()
        self._check_name(request)
        with observed(self._model.name, "rest_v1"):
            _check_headers(request)
            asked = parse(body)
            version = self._version(request)
            inputs = decode(asked, version.signature(asked.signature_name))
            outputs = await version.run(asked.signature_name, inputs)
            return Response(encode(outputs, asked.by_rows), media_type="application/json")

    async def metadata(self, request: Request) -> Response:
        """Describes the signatures of a version."""
        self._check_name(request)
        version = self._version(request)
        engine = version.engine
        return _json(metadata(self._model.name, version.number, engine.signatures, engine.class_names))

    async def status(self, request: Request) -> Response:
        """Lists the state of every version, or of the one that is asked for."""
        self._check_name(request)
        if request.path_params.keys() > {"name"}:
            states = {self._version(request).number: ("AVAILABLE", "")}
        else:
            states = {number: ("END", reason) for number, (_, reason) in self._model.failed.items()}
            states |= dict.fromkeys(self._model.versions, ("AVAILABLE", ""))
        content = {
            "model_version_status": [
                {
                    "version": str(number),
                    "state": state,
                    "status": {"error_code": "UNKNOWN" if reason else "OK", "error_message": reason},
                }
                for number, (state, reason) in sorted(states.items(), reverse=True)
            ]
        }
        return _json(content | {"name": self._model.name, "ready": self._model.ready})

    def _check_name(self, request: Request) -> None:
        name = request.path_params["name"]
        if name != self._model.name:
            raise RequestError(str(unknown("model", name, [self._model.name])), status=404)

    def _version(self, request: Request) -> Version:
        number = request.path_params.get("version")
        try:
            number = None if number is None else int(number)
        except ValueError as error:
            raise RequestError(f"expected a number as the version. Received: {number!r}", status=404) from error
        return self._model.version(number, request.path_params.get("label"))


async def _alive(request: Request) -> Response:
    return _json({"status": "alive"})


async def _on_error(request: Request, error: Exception) -> Response:
    status, message = described(error)
    return _json({"error": message}, status)


async def _on_unexpected(request: Request, error: Exception) -> Response:
    """Answers alone: Starlette raises the error again, and the server logs it."""
    return _json({"error": INTERNAL_ERROR}, 500)


async def _on_http_error(request: Request, error: HTTPException) -> Response:
    if isinstance(error.__cause__, RequestError):  # FastAPI's own error for whatever happens while it reads a body
        return await _on_error(request, error.__cause__)
    return _json({"error": f"{request.method} {request.url.path}: {error.detail}"}, error.status_code, error.headers)


def _check_headers(request: Request) -> None:
    kind, _, options = request.headers.get("content-type", JSON_TYPES[0]).lower().partition(";")
    if kind.strip() not in JSON_TYPES or ("charset" in options and "utf-8" not in options):
        received = request.headers["content-type"]
        raise RequestError(f"expected Content-Type: application/json in UTF-8. Received: {received!r}", status=415)
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise RequestError(f"expected a body without Content-Encoding. Received: {encoding!r}", status=415)


def _json(content: object, status: int = 200, headers=None) -> Response:
    return Response(orjson.dumps(content), status, headers, media_type="application/json")


HANDLERS = {
    Exception: _on_unexpected,
    HTTPException: _on_http_error,
    **dict.fromkeys(
        (RequestError, RequestValidationError, InvalidInput, ModelNotFound, ModelNotReady, ServerNotReady,
         NotImplementedError), _on_error),
}  # fmt: skip
