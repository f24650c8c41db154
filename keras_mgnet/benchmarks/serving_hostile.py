"""Measures what hostile requests cost the embedded server: memory, and the time in which its health check does not answer.

    python -m keras_mgnet.benchmarks.serving_hostile [--rounds 5] [--out FOLDER]

Serves an MgNet as SavedModel with the default limits. Sends each hostile body a few times. Meanwhile a good client sends
requests without pause, and another client asks /healthz 10 ms after each answer. Prints Markdown. With --out, writes Markdown
and JSON.
"""

import argparse
import base64
import io
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import psutil
from PIL import Image

from keras_mgnet.benchmarks import report
from keras_mgnet.benchmarks.serving_load import export_model, images_of

NETWORK = "digits"
PREDICT = f"/v1/models/{NETWORK}:predict"
JSON = {"Content-Type": "application/json"}
COLUMNS = {
    "request": "request", "megabytes": "MB", "status": "answer", "answer_ms": "answered after, ms",
    "silent_ms": "health silent at most, ms", "memory_mb": "memory taken at most, MB", "good": "good requests meanwhile",
    "lost": "of them lost",
}  # fmt: skip


def progressive(scans: int, side: int) -> bytes:
    """Returns a progressive JPEG whose last scan is repeated many times."""
    stream = io.BytesIO()
    Image.new("RGB", (side, side), (90, 120, 40)).save(stream, "JPEG", progressive=True)
    picture, last = stream.getvalue(), stream.getvalue().rindex(b"\xff\xda")
    return picture[:last] + picture[last:-2] * scans + picture[-2:]


def of_files(*files: bytes) -> bytes:
    """Returns the body of a request with encoded images."""
    values = [{"b64": base64.b64encode(file).decode()} for file in files]
    return json.dumps({"signature_name": "serving_bytes", "instances": values}).encode()


def hostile() -> dict[str, bytes]:
    """Returns {name: body} of requests that took gigabytes or seconds in earlier versions."""
    return {
        "long text beside short": b'{"instances": ["' + b"a" * 200_000 + b'"' + b', "b"' * 2500 + b"]}",
        "16 MB of empty lists": b'{"instances": [' + b"[]," * 5_000_000 + b"[]]}",
        "16 MB of numbers": b'{"instances": [' + b"1," * 7_000_000 + b"1]}",
        "16 MB of opened lists": b'{"instances": ' + b"[" * 15_000_000,
        "a name of 15 MB": b'{"signature_name": "' + b"a" * 15_000_000 + b'", "instances": [1]}',
        "a key of 15 MB": b'{"' + b"a" * 15_000_000 + b'": 1}',
        "16 MB of empty objects": b'{"instances": [' + b"{}," * 5_000_000 + b"{}]}",
        "16 MB of objects": b'{"signature_name": "serving_bytes", "instances": [' + b'{"":{}},' * 1_900_000 + b"{}]}",
        "one row of many keys": b'{"instances": [{' + b",".join(b'"%d":1' % i for i in range(1_300_000)) + b"}]}",
        "base64 in many pieces": b'{"signature_name": "serving_bytes", "instances": [{"b64": "'
        + b"AAA " * 3_700_000
        + b'"}]}',
        "200 scans of 4096 x 4096": of_files(progressive(200, 4096)),
        "900 scans of 4096 x 4096": of_files(progressive(900, 4096)),
    }


def allowed() -> dict[str, bytes]:
    """Returns {name: body} of the most expensive requests that the server still answers."""
    return {
        "largest picture, 10 scans": of_files(progressive(1, 4096)),
        "largest picture, 32 scans": of_files(progressive(22, 4096)),
        "128 pictures of 2^17 pixels": of_files(*[progressive(1, 362)] * 128),
    }


class Watch(threading.Thread):
    """Asks /healthz repeatedly and notes the longest wait and the largest memory. Meanwhile a good client sends requests."""

    def __init__(self, url: str, process: psutil.Process):
        super().__init__(daemon=True)
        self.url, self.process, self.stopping = url, process, threading.Event()
        self.silent, self.memory, self.good, self.lost = 0.0, 0, 0, 0
        self.client = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self):
        self.start()
        self.client.start()
        time.sleep(0.2)
        return self

    def __exit__(self, *error):
        self.stopping.set()
        self.join()
        self.client.join()

    def run(self) -> None:
        with httpx.Client(timeout=60) as http:
            while not self.stopping.is_set():
                start = time.perf_counter()
                http.get(f"{self.url}/healthz").raise_for_status()
                self.silent = max(self.silent, time.perf_counter() - start)
                self.memory = max(self.memory, self.process.memory_info().rss)
                time.sleep(0.01)

    def _ask(self) -> None:
        body = {"instances": images_of(NETWORK, 1).tolist()}
        with httpx.Client(timeout=60) as http:
            while not self.stopping.is_set():
                self.good += 1
                self.lost += http.post(f"{self.url}{PREDICT}", json=body).status_code != 200


def measure(url: str, process: psutil.Process, name: str, body: bytes, rounds: int) -> dict:
    """Sends a body `rounds` times and returns the row of this body."""
    before, seconds, statuses = process.memory_info().rss, [], set()
    with Watch(url, process) as watch, httpx.Client(timeout=120) as http:
        for _ in range(rounds):
            start = time.perf_counter()
            statuses.add(http.post(f"{url}{PREDICT}", content=body, headers=JSON).status_code)
            seconds.append(time.perf_counter() - start)
    return {
        "request": name,
        "megabytes": len(body) / 1e6,
        "status": ", ".join(map(str, sorted(statuses))),
        "answer_ms": 1000 * float(np.median(seconds)),
        "silent_ms": 1000 * watch.silent,
        "memory_mb": (watch.memory - before) / 1e6,
        "good": watch.good,
        "lost": watch.lost,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report.in_process(export_model, folder, NETWORK)
        base = Path(folder, "savedmodel", NETWORK)
        command = [sys.executable, "-m", "keras_mgnet", "serve", str(base), "--rest-port", "0", "--grpc-port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            try:
                url = process.stdout.readline().partition(" at ")[2].partition("/v1")[0]
                bodies, watched = {"none": b"{}"} | hostile() | allowed(), psutil.Process(process.pid)
                rows = [measure(url, watched, name, body, options.rounds) for name, body in bodies.items()]
            finally:
                process.terminate()
    text = report.markdown(rows, COLUMNS)
    print(text)
    if options.out:
        report.write(
            options.out, "hostile", {"environment": report.environment("uvicorn", "msgspec"), "rows": rows}, text
        )


if __name__ == "__main__":
    main()
