"""Starting the server, and stopping it without losing a request."""

import asyncio
import contextlib
import logging
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvicorn
from grpc import aio

from keras_mgnet.serving.app import application
from keras_mgnet.serving.launch import Service, bracketed, default_name
from keras_mgnet.serving.limits import Gate
from keras_mgnet.serving.model import Model
from keras_mgnet.serving.open_inference import ServedDataPlane, grpc_server

MAX_CONNECTIONS = 1024
RUNTIME_THREADS = 2  # calls of runtimes at a time, each with threads of its own
SECONDS_TO_ANSWER = 30  # for requests that run when the server stops
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def serve(
    base: Path,
    *,
    name: str | None = None,
    host: str = Service.host,
    rest_port: int = Service.rest_port,
    grpc_port: int | None = Service.grpc_port,
    max_request_bytes: int = Service.max_request_bytes,
    latest: int = 1,
    poll_seconds: float = 1.0,
    drain_seconds: float = 2.0,
) -> None:
    """Serves the versions below a folder until SIGTERM or SIGINT, then answers what it has accepted and returns.

    REST speaks TensorFlow Serving's predict protocol and KServe's open inference protocol, gRPC the latter. A line on
    standard output says where, once the first version is loaded.

    Args:
        base: holds <version>/saved_model.pb or <version>/model.onnx, or is an .onnx file.
        name: of the model; None for that of the folder or file.
        host: address to listen on; only this machine reaches the default.
        rest_port: port of REST; 0 for a free one.
        grpc_port: port of gRPC; 0 for a free one, None for none.
        max_request_bytes: largest body of a request.
        latest: how many of the highest versions to serve; those with a label in BASE/labels.json are served too.
        poll_seconds: time between two looks for new versions.
        drain_seconds: how long, after the signal, the server still accepts requests while it says that it is not ready.

    Raises:
        ValueError: where no version can be served.
        OSError: where `base` cannot be read or a port is taken.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("keras_mgnet").setLevel(logging.INFO)
    name = name or default_name(base)
    with ThreadPoolExecutor(RUNTIME_THREADS) as executor, _bound(host, rest_port) as rest_socket:
        model = Model(base, name, executor, latest)
        server = _Server(model, host, rest_socket, grpc_port, max_request_bytes)
        with asyncio.Runner(loop_factory=server.rest.config.get_loop_factory()) as runner:
            runner.run(server.run(poll_seconds, drain_seconds))


class _Server:
    """The REST and the gRPC server of one model."""

    def __init__(
        self, model: Model, host: str, rest_socket: socket.socket, grpc_port: int | None, max_request_bytes: int
    ):
        self.model, self.rest_socket = model, rest_socket
        self.grpc_port, self.max_request_bytes = grpc_port, max_request_bytes
        self.host = bracketed(host)
        self.data_plane = ServedDataPlane(model)
        self.rest = _Uvicorn(Gate(application(model, self.data_plane), max_request_bytes, lambda: model.draining))

    async def run(self, poll_seconds: float, drain_seconds: float) -> None:
        """Serves until a signal comes and all is answered."""
        stop = _stop_signal()
        grpc = self._bind_grpc()
        await self.model.start()
        watching = asyncio.create_task(self.model.watch(poll_seconds))
        serving = asyncio.create_task(self.rest.serve([self.rest_socket]))
        if grpc is not None:
            await grpc.start()
        self._announce()
        await asyncio.wait([asyncio.create_task(stop.wait()), serving], return_when=asyncio.FIRST_COMPLETED)

        self.model.draining = True
        await asyncio.sleep(drain_seconds)
        watching.cancel()
        self.rest.should_exit = True
        if grpc is not None:
            await grpc.stop(SECONDS_TO_ANSWER)
        await serving

    def _bind_grpc(self) -> aio.Server | None:
        if self.grpc_port is None:
            return None
        server, self.grpc_port = grpc_server(self.data_plane, f"{self.host}:{self.grpc_port}", self.max_request_bytes)
        return server

    def _announce(self) -> None:
        rest = f"http://{self.host}:{self.rest_socket.getsockname()[1]}/v1/models/{self.model.name}"
        grpc = "" if self.grpc_port is None else f" and by gRPC at {self.host}:{self.grpc_port}"
        print(f"serving version {max(self.model.versions)} of '{self.model.name}' at {rest}{grpc}", flush=True)


class _Uvicorn(uvicorn.Server):
    """Uvicorn without its handlers of signals, which raise the signal again when all is answered: the exit code is 0."""

    def __init__(self, app: Gate):
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            lifespan="off",
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=SECONDS_TO_ANSWER,
        )
        super().__init__(config)

    def capture_signals(self):
        """Leaves the signals to `_stop_signal`."""
        return contextlib.nullcontext()


def _stop_signal() -> asyncio.Event:
    """Returns the event that the first SIGTERM or SIGINT sets; a second one ends the process at once."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def on_signal():
        stop.set()
        for number in SIGNALS:
            loop.remove_signal_handler(number)

    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal)
    return stop


def _bound(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise OSError(f"expected a free address for REST. Received: {host}:{port} ({error.strerror})") from error
    return bound
