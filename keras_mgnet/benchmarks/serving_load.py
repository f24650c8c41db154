"""Measures throughput, latency, errors and memory of the embedded server under load, and compares them with another server.

    python -m keras_mgnet.benchmarks.serving_load [--network digits|cifar] [--against 'COMMAND {base} ...'] [--out FOLDER]

Exports an MgNet as SavedModel and as ONNX, and serves each export in its own process. With --against, COMMAND starts another
server for the same export. This server must print its address in the same words as our server. Clients send requests with one
or several images over kept-alive REST connections, and to our server also by gRPC. Each client waits for the answer before it
sends the next request. The servers take turns of a few seconds. A figure is the median over the turns of a server. A ratio is
the median of the ratios of the rounds. Prints Markdown. With --out, writes Markdown and JSON.
"""

import argparse
import asyncio
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import msgspec
import numpy as np
import psutil

from keras_mgnet.benchmarks import report

NETWORKS = {  # nu, channels, image shape
    "digits": ((2, 2, 2), (16, 32, 48), (8, 8, 1)),
    "cifar": ((2, 2, 2, 2), 64, (32, 32, 3)),
}
OURS = f"{sys.executable} -m keras_mgnet serve {{base}} --rest-port 0 --grpc-port 0 --drain-seconds 0"
ANNOUNCED = re.compile(r"at http://127\.0\.0\.1:(\d+)/\S+(?: and by gRPC at (\S+))?")
WARM_UP_SECONDS = 2
PACKAGES = ("uvicorn", "onnxruntime", "tensorflow", "numpy", "msgspec", "uvloop", "grpcio")
COLUMNS = {
    "file": "file", "protocol": "protocol", "images": "images a request", "clients": "clients", "rate": "images/s",
    "p50": "p50, ms", "p99": "p99, ms", "errors": "errors", "memory": "memory, MB", "rate_against": "images/s of the other",
    "p50_against": "p50, ms", "p99_against": "p99, ms", "ratio": "ours over the other",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--network", choices=NETWORKS, default="digits")
    parser.add_argument("--seconds", type=float, default=5, help="length of a turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--images", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--against", help="command of another server; {base} stands for the folder of versions")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        report.in_process(export_model, folder, options.network)
        for kind in ("savedmodel", "onnx"):
            base = Path(folder, kind, options.network)
            with ExitStack() as stack:
                commands = [OURS, *([options.against] if options.against else [])]
                servers = [stack.enter_context(served(command.format(base=base))) for command in commands]
                for images in options.images:
                    for clients in options.clients:
                        rows += measure(kind, servers, images, clients, options)
    text = report.markdown(rows, COLUMNS)
    print(text)
    if options.out:
        turns = {"seconds": options.seconds, "rounds": options.rounds}
        record = {"environment": report.environment(*PACKAGES), "turns": turns, "rows": rows}
        report.write(options.out, options.network, record, text)


def export_model(folder: str, network: str) -> None:
    from keras_mgnet import MgNet, export

    nu, channels, image_shape = NETWORKS[network]
    model = MgNet(nu, channels, input_shape=image_shape, name=network)
    options = {"normalization": (0.5, 0.25)}
    export.savedmodel(model, Path(folder, "savedmodel", network), **options)
    export.onnx(model, Path(folder, "onnx", network, "1", "model.onnx"), **options)


@contextmanager
def served(command: str):
    """Starts a server, yields (port of REST, address of gRPC or None, process), and ends the server afterwards."""
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(shlex.split(command), **quiet) as process:
        try:
            announced = ANNOUNCED.search(process.stdout.readline())
            yield int(announced[1]), announced[2], psutil.Process(process.pid)
        finally:
            process.terminate()


def measure(kind: str, servers: list, images: int, clients: int, options) -> list[dict]:
    """Returns the row for REST and, for a SavedModel, the row for gRPC, which is measured only on our server."""
    request = rest_request(options.network, images)
    turns = [[] for _ in servers]
    for port, _, _ in servers:
        asyncio.run(load(rest_client(port, request), clients, WARM_UP_SECONDS))
    for _ in range(options.rounds):
        for (port, _, _), results in zip(servers, turns, strict=True):
            results.append(asyncio.run(load(rest_client(port, request), clients, options.seconds)))
    row = {"file": kind, "protocol": "REST", "images": images, "clients": clients, **summary(turns[0], images)}
    if len(servers) > 1:
        row |= {f"{key}_against": value for key, value in summary(turns[1], images).items()}
        row["ratio"] = statistics.median(a["requests"] / b["requests"] for a, b in zip(*turns, strict=True))
    _, address, process = servers[0]
    rows = [row | {"memory": process.memory_info().rss / 1e6}]
    if kind == "savedmodel":
        results = [
            asyncio.run(load(grpc_client(address, options.network, images), clients, options.seconds)) for _ in range(3)
        ]
        rows.append(row | dict.fromkeys([key for key in row if "against" in key or key == "ratio"]))
        rows[-1] |= {"protocol": "gRPC", **summary(results, images), "memory": process.memory_info().rss / 1e6}
    return rows


def summary(turns: list[dict], images: int) -> dict:
    """Returns the medians over turns, and the sum of errors."""
    middle = {key: statistics.median(turn[key] for turn in turns) for key in ("requests", "p50", "p99")}
    errors = sum(turn["errors"] for turn in turns)
    return {"rate": images * middle["requests"], "p50": middle["p50"], "p99": middle["p99"], "errors": errors}


async def load(connect, clients: int, seconds: float) -> dict:
    """Lets clients send requests for some seconds. Returns requests per second, latencies in ms and the number of errors.

    `connect()` is an asynchronous context manager. Its value is a coroutine function that sends one request and returns whether
    the request succeeded.
    """
    latencies, errors, end = [], [], time.perf_counter() + seconds

    async def client():
        async with connect() as ask:
            while (start := time.perf_counter()) < end:
                errors.append(not await ask())
                latencies.append(time.perf_counter() - start)

    await asyncio.gather(*(client() for _ in range(clients)))
    p50, p99 = (1000 * np.percentile(latencies, [50, 99])).tolist()
    return {"requests": len(latencies) / seconds, "p50": p50, "p99": p99, "errors": sum(errors)}


def rest_client(port: int, request: bytes):
    """Returns the argument `connect` of `load` for REST: one kept-alive connection, with the same bytes in every request."""

    @asynccontextmanager
    async def connect():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def ask() -> bool:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
            return head.startswith(b"http/1.1 200")

        yield ask
        writer.close()

    return connect


def grpc_client(address: str, network: str, images: int):
    """Returns the argument `connect` of `load` for gRPC: one channel to the PredictionService."""
    import tensorflow as tf
    from grpc import aio
    from tensorflow_serving.apis.predict_pb2 import PredictRequest
    from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

    request = PredictRequest(inputs={"image": tf.make_tensor_proto(images_of(network, images))})
    request.model_spec.name = network

    @asynccontextmanager
    async def connect():
        async with aio.insecure_channel(address) as channel:
            stub = PredictionServiceStub(channel)

            async def ask() -> bool:
                return bool((await stub.Predict(request)).outputs)

            yield ask

    return connect


def rest_request(network: str, images: int) -> bytes:
    """Returns the bytes of a predict request."""
    body = msgspec.json.encode({"instances": images_of(network, images).astype("uint8").tolist()})
    head = f"POST /v1/models/{network}:predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def images_of(network: str, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (size, *NETWORKS[network][2])).astype("float32")


if __name__ == "__main__":
    main()
