"""Load on the embedded server: throughput and latency over HTTP beside those of the runtime itself, errors and memory.

    python benchmarks/serving_load.py [--network digits|cifar] [--seconds 60] [--clients 1 8 32] [--out FOLDER]

Exports an MgNet as SavedModel and as ONNX, serves each in a process of its own and sends one image a request over kept-alive
connections, each client waiting for its answer before it asks again. Beside it stand the speed of the runtime alone, measured
just before, and how fast the client itself is against a server that answers at once. Prints and writes Markdown and JSON.
"""

import argparse
import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import msgspec
import numpy as np
import psutil
import uvloop

from keras_mgnet.benchmarks import report

NETWORKS = {  # nu, channels, image shape
    "digits": ((2, 2, 2), (16, 32, 48), (8, 8, 1)),
    "cifar": ((2, 2, 2, 2), 64, (32, 32, 3)),
}
WARM_UP_SECONDS = 2
RUNTIME_SECONDS = 3
RUNTIME_BATCHES = (1, 8, 32)
PACKAGES = ("uvicorn", "onnxruntime", "tensorflow", "numpy", "msgspec", "uvloop")
COLUMNS = {
    "server": "server", "clients": "clients", "requests_per_second": "requests/s", "p50_ms": "p50, ms",
    "p99_ms": "p99, ms", "errors": "errors", "runtime_batch_1": "runtime alone, batch 1, images/s",
    "runtime_batch_8": "batch 8", "runtime_batch_32": "batch 32", "server_cores": "cores: server",
    "client_cores": "client", "rss_before_mb": "memory before, MB", "rss_after_mb": "after",
    "load_average": "load of the machine",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--network", choices=NETWORKS, default="digits")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    request = request_of(options.network)
    with tempfile.TemporaryDirectory() as folder:
        report.in_process(export_model, folder, options.network)
        rows = [{"server": "none: answers at once", **row} for row in measure_client(request, options.clients)]
        for kind in ("savedmodel", "onnx"):
            base = Path(folder, kind, options.network)
            rows += [{"server": kind, **row} for row in measure_server(base, request, options)]
    text = report.markdown(rows, COLUMNS)
    print(text)
    if options.out:
        record = {"environment": report.environment(*PACKAGES), "rows": rows}
        report.write(options.out, options.network, record, text)


def export_model(folder: str, network: str) -> None:
    from keras_mgnet import MgNet, export

    nu, channels, image_shape = NETWORKS[network]
    model = MgNet(nu, channels, input_shape=image_shape, name=network)
    options = {"normalization": (0.5, 0.25)}
    export.savedmodel(model, Path(folder, "savedmodel", network), **options)
    export.onnx(model, Path(folder, "onnx", network, "1", "model.onnx"), **options)


def measure_runtime(path: Path, network: str) -> dict:
    """Returns images a second of the runtime alone, one call after another."""
    from keras_mgnet.serving.engines import open_engine

    engine = open_engine(path)
    speeds = {}
    for size in RUNTIME_BATCHES:
        images = images_of(network, size)
        calls, end = 0, time.perf_counter() + RUNTIME_SECONDS
        while time.perf_counter() < end:
            engine.run("serving_default", images)
            calls += 1
        speeds[f"runtime_batch_{size}"] = calls * size / RUNTIME_SECONDS
    return speeds


def measure_server(base: Path, request: bytes, options) -> list[dict]:
    """Serves a folder and returns one row for each number of clients, the runtime measured just before each."""
    command = [sys.executable, "-m", "keras_mgnet", "serve", str(base), "--rest-port", "0", "--grpc-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            port = int(process.stdout.readline().partition("://127.0.0.1:")[2].partition("/")[0])
            run(port, request, 8, WARM_UP_SECONDS)
            rows = [measure_load(psutil.Process(process.pid), port, base, request, n, options) for n in options.clients]
        finally:
            process.send_signal(signal.SIGTERM)
    if process.returncode != 0:
        raise RuntimeError(f"expected the server to end with 0. Received: {process.returncode}")
    return rows


def measure_load(server: psutil.Process, port: int, base: Path, request: bytes, clients: int, options) -> dict:
    """Returns the row of a number of clients."""
    runtime = report.in_process(measure_runtime, base / "1", options.network)
    before, used = server.memory_info().rss, cpu_seconds(server)
    row = run(port, request, clients, options.seconds)
    row["server_cores"] = (cpu_seconds(server) - used) / options.seconds
    return {**runtime, **row, "rss_before_mb": before / 1e6, "rss_after_mb": server.memory_info().rss / 1e6}


def measure_client(request: bytes, clients: list[int]) -> list[dict]:
    """Returns what the client reaches against a server, in a process of its own, that sends a fixed answer at once."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=answer_at_once, args=(theirs,), daemon=True)
    process.start()
    port = ours.recv()
    rows = [run(port, request, number, RUNTIME_SECONDS) for number in clients]
    process.terminate()
    return rows


def answer_at_once(pipe) -> None:
    class AtOnce(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    async def listen():
        server = await asyncio.get_running_loop().create_server(AtOnce, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(listen())


class Client(asyncio.Protocol):
    """One connection that sends the same request as soon as the last one is answered."""

    def __init__(self, request: bytes, latencies: list[float], errors: list[str]):
        self.request, self.latencies, self.errors = request, latencies, errors
        self.buffer = b""
        self.stopping = False
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.send()

    def send(self):
        self.start = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data):
        self.buffer += data
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        if not separator or len(body) < int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]):
            return
        self.latencies.append(time.perf_counter() - self.start)
        if not head.startswith(b"HTTP/1.1 200"):
            self.errors.append(self.buffer.decode())
        self.buffer = b""
        if self.stopping:
            self.transport.close()
        else:
            self.send()

    def connection_lost(self, error):
        if not self.stopping:
            self.errors.append(f"connection lost: {error}")
        self.closed.set_result(None)


def run(port: int, request: bytes, clients: int, seconds: float) -> dict:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(load(port, request, clients, seconds))


async def load(port: int, request: bytes, clients: int, seconds: float) -> dict:
    latencies, errors = [], []
    loop, own = asyncio.get_running_loop(), psutil.Process()
    used, start = cpu_seconds(own), time.perf_counter()
    connections = [
        (await loop.create_connection(lambda: Client(request, latencies, errors), "127.0.0.1", port))[1]
        for _ in range(clients)
    ]
    await asyncio.sleep(seconds)
    elapsed, used = time.perf_counter() - start, cpu_seconds(own) - used
    answered = len(latencies)
    for connection in connections:
        connection.stopping = True
    await asyncio.gather(*(connection.closed for connection in connections))
    p50, p99 = np.percentile(latencies, [50, 99]).tolist()
    return {
        "clients": clients,
        "load_average": os.getloadavg()[0],
        "requests": answered,
        "errors": len(errors),
        "first_error": errors[0] if errors else None,
        "requests_per_second": answered / elapsed,
        "p50_ms": 1000 * p50,
        "p99_ms": 1000 * p99,
        "client_cores": used / elapsed,
    }


def request_of(network: str) -> bytes:
    """Returns a predict request with one image, as it goes over the wire."""
    body = msgspec.json.encode({"instances": images_of(network, 1).astype("uint8").tolist()})
    head = f"POST /v1/models/{network}:predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def images_of(network: str, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (size, *NETWORKS[network][2])).astype("float32")


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    main()
