"""Starts the embedded server, and stops it without losing a request."""

import asyncio
import contextlib
import logging
import re
import signal
import socket
from ipaddress import ip_address
from pathlib import Path

import uvicorn

from keras_mgnet.serving.engines import SavedModelEngine
from keras_mgnet.serving.gate import ImpatientProtocol
from keras_mgnet.serving.model import Model
from keras_mgnet.serving.rest import application

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
MAX_CONNECTIONS = 1024
SECONDS_TO_ANSWER = 30  # for requests still running when the server stops
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def serve(
    base: Path,
    name: str = "",
    host: str = "127.0.0.1",
    rest_port: int = 8501,
    grpc_port: int = 8500,
    max_request_bytes: int = 16 * 2**20,
    drain_seconds: float = 2.0,
) -> None:
    """Serves the highest version of a model until SIGTERM or SIGINT, then answers all accepted requests and returns.

    The server speaks TensorFlow Serving's REST predict protocol, and for a SavedModel also TensorFlow Serving's gRPC
    protocol. When the model is loaded, the server prints its addresses on standard output.

    Args:
        base: folder of versions, each BASE/<number>/saved_model.pb or BASE/<number>/model.onnx; or an .onnx file.
        name: name of the model in URLs; "" for the name of the folder or file.
        host: IP address to listen on. Only this machine can reach the default address.
        rest_port, grpc_port: ports of REST and gRPC; 0 for any free port.
        max_request_bytes: largest size of a request.
        drain_seconds: seconds to accept requests after the signal, while /readyz answers 503.

    Raises:
        ValueError: if there is nothing to serve, or the name or the host cannot be used.
        OSError: if a port is taken.
    """
    name = name or (base.stem if base.is_file() else base.resolve().name)
    if not NAME.fullmatch(name):
        raise ValueError(f"expected a name of letters, digits, '.', '_' and '-'. Received: {name!r}")
    try:
        address = ip_address(host)
    except ValueError:
        raise ValueError(f"expected an IP address such as 127.0.0.1. Received: {host!r}") from None
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # no log line for each malformed request
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with socket.create_server((host, rest_port), family=family) as rest_socket:
        model = Model(base, name)
        config = uvicorn.Config(
            application(model, max_request_bytes, address.is_loopback),
            http=ImpatientProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=SECONDS_TO_ANSWER,
        )
        host, rest = f"[{host}]" if address.version == 6 else host, uvicorn.Server(config)
        rest.capture_signals = contextlib.nullcontext  # uvicorn's raises the signal again: no exit code 0

        async def run():
            stop, grpc, loop = asyncio.Event(), None, asyncio.get_running_loop()
            for number in SIGNALS:
                loop.add_signal_handler(number, stop.set)
            where = f"http://{host}:{rest_socket.getsockname()[1]}/v1/models/{name}"
            if isinstance(model.engine, SavedModelEngine):
                from keras_mgnet.serving.grpc import grpc_server

                grpc, port = grpc_server(model, f"{host}:{grpc_port}", max_request_bytes)
                await grpc.start()
                where += f" and by gRPC at {host}:{port}"
            serving = asyncio.create_task(rest.serve([rest_socket]))
            print(f"serving version {model.number} of '{name}' at {where}", flush=True)
            await asyncio.wait([asyncio.create_task(stop.wait()), serving], return_when=asyncio.FIRST_COMPLETED)
            for number in SIGNALS:  # a second signal ends the process at once
                loop.remove_signal_handler(number)
            model.ready = False
            await asyncio.sleep(drain_seconds)
            rest.should_exit = True
            if grpc is not None:
                await grpc.stop(SECONDS_TO_ANSWER)
            await serving

        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(run())
