"""The embedded server from start to stop: what it serves, what its health tells, no request lost under a signal."""

import base64
import json
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from support.numerics import assert_close
from support.rest import b64, check_rows, head, rest_of, rows
from support.served import NAME, SIZE, encoded, logits, pixels, served, tiny, write_onnx, write_savedmodel

# what our server does besides


def test_savedmodels_serve_what_they_declare(http, savedmodel_server):
    url = savedmodel_server.model_url
    definitions = http.get(f"{url}/metadata").json()["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "serving_bytes", "serving_uint8", "features"} <= definitions.keys()
    features = http.post(f"{url}:predict", json={"signature_name": "features", "inputs": rows(2)}).json()["outputs"]
    assert features.keys() == definitions["features"]["outputs"].keys()
    assert all(len(values) == 2 for values in features.values())


def test_files_of_other_sizes_are_resized(http, server):
    images = [np.full((height, width, 3), 90, "uint8") for height, width in ((5, 20), (30, 11))]
    columns = {"image_bytes": [b64(encoded(image, "JPEG")) for image in images]}
    answer = http.post(f"{server.model_url}:predict", json={"signature_name": "serving_bytes", "inputs": columns})
    constant = logits(tiny(), np.full((2, SIZE, SIZE, 3), 90))
    assert_close(answer.json()["outputs"]["logits"], constant, 1e-3)


def test_base64_in_lines_is_taken(http, server, expected):
    text = base64.encodebytes(encoded(pixels(1)[0])).decode()
    assert "\n" in text.strip()
    answer = http.post(
        f"{server.model_url}:predict", json={"signature_name": "serving_bytes", "instances": [{"b64": text}]}
    )
    check_rows(answer.json()["predictions"], expected[:1])


def test_health_and_metrics(http, server):
    assert http.get(f"{server.url}/healthz").json() == {"alive": True}
    assert http.get(f"{server.url}/readyz").json() == {"ready": True}

    def counts():
        lines = http.get(f"{server.url}/monitoring/prometheus/metrics").text.splitlines()
        found = (
            re.fullmatch(r'keras_mgnet_request_seconds_count\{protocol="rest",status="(\d+)"\} (\S+)', line)
            for line in lines
        )
        return {match[1]: float(match[2]) for match in found if match}

    before = counts()
    for body in ({"instances": rows()}, {"instances": rows()}, {"instances": 3}):
        http.post(f"{server.model_url}:predict", json=body)
    after = counts()
    assert after["200"] - before.get("200", 0) == 2
    assert after["400"] - before.get("400", 0) == 1


def test_listens_on_this_machine_alone(server):
    own = [c for c in psutil.net_connections("inet") if c.pid == server.process.pid]  # Process has it from psutil 6 on
    listening = [c.laddr for c in own if c.status == psutil.CONN_LISTEN]
    assert {address.ip for address in listening} <= {"127.0.0.1", "::ffff:127.0.0.1"}
    ports = {server.url.removeprefix("http://"), *filter(None, [server.grpc])}
    assert {f"127.0.0.1:{address.port}" for address in listening} == ports


def test_onnx_is_served_without_tensorflow_and_keras(onnx_server, bases):
    libraries = Path(f"/proc/{onnx_server.process.pid}/maps")
    if libraries.exists():  # Linux
        assert "onnxruntime" in libraries.read_text()
        assert "tensorflow" not in libraries.read_text()
    code = """
        import sys
        from pathlib import Path
        import keras_mgnet.serving.server
        from keras_mgnet.serving.engines import open_engine
        open_engine(Path(sys.argv[1]))
        print({"tensorflow", "keras", "jax", "torch"} & sys.modules.keys())
    """
    command = [sys.executable, "-c", textwrap.dedent(code), bases["onnx"] / "1"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "set()\n"


def test_the_highest_version_is_served(tmp_path):
    for number in (2, 10):
        write_onnx(tmp_path / NAME, seed=number, version=number)
    (tmp_path / NAME / "11").mkdir()  # half an export
    with served(tmp_path / NAME) as server:
        answer = httpx.post(f"{server.model_url}/versions/10:predict", json={"instances": rows(4)}).json()
        assert_close([row["logits"] for row in answer["predictions"]], logits(tiny(10), pixels(4)))
        assert httpx.post(f"{server.model_url}/versions/2:predict", json={"instances": rows(4)}).status_code == 404


# signals under load


class Load:
    """Threads that send images until they are told to stop or the server says goodbye, and keep every status."""

    def __init__(self, model_url: str, clients: int = 4):
        self.model_url, self.statuses, self.failures = model_url, [], []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._send) for _ in range(clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def _send(self):
        with httpx.Client(timeout=60) as http:
            while not self.stopping.is_set():
                try:
                    answer = http.post(f"{self.model_url}:predict", json={"instances": rows(1)})
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                    return
                self.statuses.append(answer.status_code)
                if answer.headers.get("connection") == "close":
                    return


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_loses_no_request(bases, number):
    with served(bases["onnx"], "--drain-seconds=1") as server, Load(server.model_url) as load:
        wait_for(lambda: len(load.statuses) > 20)
        body = json.dumps({"instances": rows(1)}).encode()
        with socket.create_connection(server.url.removeprefix("http://").split(":")) as slow:
            slow.sendall(head(len(body)) + body[:10])
            time.sleep(0.2)
            server.process.send_signal(number)
            time.sleep(0.3)
            ready = httpx.get(f"{server.url}/readyz")
            assert (ready.status_code, ready.json()) == (503, {"ready": False})
            for thread in load.threads:
                thread.join()
            time.sleep(1.2)
            with pytest.raises(httpx.ConnectError):
                httpx.get(server.url)
            slow.sendall(body[10:])
            answer = rest_of(slow)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(timeout=30) == 0
    assert load.failures == [] and {*load.statuses} == {200}


# starting


DAMAGES = {
    "cut graph": lambda version: cut(version / "saved_model.pb"),
    "no index": lambda version: (version / "variables" / "variables.index").unlink(),
    "cut variables": lambda version: cut(next((version / "variables").glob("*.data*"))),
}


def cut(file: Path):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_savedmodel_is_not_served(tmp_path, damage):
    from keras_mgnet.serving.engines import open_engine

    version = write_savedmodel(tmp_path / NAME)
    DAMAGES[damage](version)
    with pytest.raises(ValueError, match="expected a whole model in"):
        open_engine(version)


def test_a_server_that_cannot_start_says_why_in_one_line(onnx_server, bases, tmp_path, refused):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.onnx").write_bytes(b"onnx")
    (tmp_path / "half" / "1" / "variables").mkdir(parents=True)
    port = onnx_server.url.rpartition(":")[2]
    for words, message in [
        (
            [bases["onnx"], "--rest-port", port],
            f"Address already in use (while attempting to bind on address ('127.0.0.1', {port})",
        ),
        ([tmp_path / "missing"], "expected an existing file or folder. Received: '"),
        ([tmp_path / "half"], "or <number>/model.onnx. Received: "),
        ([tmp_path], "expected a whole model in"),
        ([bases["onnx"], "--name", "a/b"], "expected a name of letters"),
        ([bases["onnx"], "--host", "localhost"], "expected an IP address such as 127.0.0.1"),
    ]:
        assert message in refused("serve", *words, *([] if "--rest-port" in words else ["--rest-port", 0]))


def test_a_taken_grpc_port_is_named(savedmodel_server, bases, refused):
    port = savedmodel_server.grpc.rpartition(":")[2]
    error = refused("serve", bases["savedmodel"], "--rest-port", 0, "--grpc-port", port)
    assert f"expected a free address for gRPC. Received: 127.0.0.1:{port}" in error


def test_what_starts_the_server_loads_nothing_before_it_knows_what_to_serve():
    code = "import sys, keras_mgnet.cli.serve; print({'tensorflow', 'keras', 'grpc', 'starlette'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_onnx_and_savedmodel_decode_alike(tmp_path):
    from keras_mgnet.serving.engines import open_engine

    engines = [open_engine(write(tmp_path / write.__name__ / NAME)) for write in (write_savedmodel, write_onnx)]
    smooth = np.add.outer(np.arange(30), np.arange(23))[..., None] * np.array([1, 2, 3]) % 256
    images = np.empty(3, object)
    images[:] = [encoded(smooth.astype("uint8")), encoded(pixels(1)[0], "JPEG"), encoded(pixels(1)[0][..., 0])]
    found = [engine.run("serving_bytes", images)["logits"] for engine in engines]
    assert_close(found[0], found[1], 2e-2)  # one rounds the resized image to whole grey values
