"""What the server refuses: bad requests, hostile bytes, connections that owe the rest."""

import contextlib
import json
import re
import socket
import struct
import subprocess
import sys
import textwrap
import zlib

import grpc
import httpx
import numpy as np
import psutil
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from keras_mgnet.benchmarks.serving_hostile import hostile, progressive
from support.rest import JPEG, MAX_BYTES, PREDICT, b64, check_rows, head, rest_of, rows
from support.served import NAME, SIZE, encoded, pixels, served


def png_of_size(width, height):
    """A PNG whose header promises many pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [header, b"IDAT" + zlib.compress(b"\0")]
    packed = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def instances(values, signature="serving_default"):
    return {"body": {"instances": values, "signature_name": signature}}


def picture(content):
    return instances([content if isinstance(content, dict) else b64(content)], "serving_bytes")


def with_value(value):
    image = rows(1)
    image[0][2][3][1] = value
    return image


GIF = encoded(pixels(1)[0], "GIF")
BAD = {  # name -> (the request, status, what the message names)
    # JSON
    "empty body": ({"body": b""}, 400, "body"),
    "cut JSON": ({"body": b'{"instances": [[1, 2'}, 400, "body"),
    "JSON with a comma too many": ({"body": b'{"instances": [1,]}'}, 400, "body"),
    "no UTF-8": ({"body": b'{"instances": ["\xff"]}'}, 400, "body"),
    "an array": ({"body": b"[1, 2]"}, 400, "body"),
    "null": ({"body": b"null"}, 400, "body"),
    "deep nesting": ({"body": b'{"instances": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"}, 400, "body|instances"),
    "nesting that JSON allows": ({"body": b'{"instances": ' + b"[" * 900 + b"1" + b"]" * 900 + b"}"}, 400, "instances"),
    "NaN": ({"body": b'{"instances": [[[[NaN, 0, 0]]]]}'}, 400, "body"),
    "a number beyond floats": ({"body": b'{"instances": [1e999]}'}, 400, "instances"),
    # keys
    "no values": ({"body": {"signature_name": "serving_default"}}, 400, "instances"),
    "rows and columns": ({"body": {"instances": rows(), "inputs": rows()}}, 400, "inputs"),
    "a misspelt key": ({"body": {"instances": rows(), "signature": "serving_default"}}, 400, "signature"),
    "an unknown signature": (instances(rows(), "serving_defualt"), 400, "signature_name.*serving_default"),
    "a signature that is no text": ({"body": {"instances": rows(), "signature_name": 3}}, 400, "signature_name"),
    "an unknown input": (instances([{"picture": rows()[0]}]), 400, "picture"),
    "an input too many": (instances([{"image": rows()[0], "size": 3}]), 400, r"instances\[0\]"),
    "an input too few": (instances([{}]), 400, "image"),
    "an unknown column": ({"body": {"inputs": {"picture": rows()}}}, 400, "picture"),
    # shapes
    "no rows": (instances([]), 400, "instances"),
    "rows that are no list": (instances(3), 400, "instances"),
    "rows that are null": (instances(None), 400, "instances"),
    "empty columns": ({"body": {"inputs": []}}, 400, "inputs"),
    "an image without its batch": (instances(rows()[0]), 400, "instances"),
    "one number": ({"body": {"inputs": 3}}, 400, "inputs"),
    "one channel": (instances(np.zeros((1, SIZE, SIZE, 1)).tolist()), 400, "length >= 3.*instances"),
    "ragged": (instances([[[[1, 2], [3]]]]), 400, "instances"),
    "empty images": (instances([[], []]), 400, "instances"),
    "too many images": (instances(np.zeros((129, SIZE, SIZE, 3), int).tolist()), 400, "length <= 128.*instances"),
    # numbers
    "text": (instances(with_value("white")), 400, "instances.*|str"),
    "digits as text": (instances([[[["1"] * 3] * SIZE] * SIZE]), 400, "str.*instances"),
    "null inside": (instances(with_value(None)), 400, "null.*instances"),
    "truth values": (instances([[[[True] * 3] * SIZE] * SIZE]), 400, "bool.*instances"),
    "beyond float32": (instances(with_value(1e39)), 400, "image.*finite"),
    "base64 where numbers belong": (instances([b64(JPEG)]), 400, r"instances\[0\]"),
    "numbers called base64": (instances([{"b64": rows()[0]}]), 400, "only 'image'. Received: b64"),
    "a column called base64": ({"body": {"inputs": {"b64": rows()}}}, 400, "only 'image'. Received: b64"),
    # encoded images
    "truncated PNG": (picture(encoded(pixels(1)[0])[:-30]), 400, "image_bytes|serving_bytes"),
    "a JPEG's header alone": (picture(JPEG[:20]), 400, r"image_bytes\[0\]"),
    "GIF": (picture(GIF), 400, r"image_bytes\[0\].*JPEG or PNG"),
    "PostScript": (picture(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n{} loop\n"), 400, r"image_bytes\[0\].*JPEG or PNG"),
    "the second of two": (instances([b64(JPEG), b64(b"hello")], "serving_bytes"), 400, r"image_bytes\[1\]"),
    "decompression bomb": (picture(png_of_size(50_000, 50_000)), 400, r"image_bytes\[0\].*pixels"),
    "a larger one": (picture(png_of_size(2**31 - 1, 2**31 - 1)), 400, "image_bytes"),
    "many pixels together": (instances([b64(png_of_size(3000, 3000))] * 2, "serving_bytes"), 400, r"image_bytes\[1\].*pixels"),
    "many scans": (picture(progressive(200, 64)), 400, r"image_bytes\[0\].*at most 32 scans of a JPEG"),
    "no base64": (picture({"b64": "%%%"}), 400, r"image_bytes\[0\].*base64"),
    "base64 cut": (picture({"b64": "AAAAA"}), 400, r"image_bytes\[0\].*base64"),
    "base64 that is a number": (picture({"b64": 3}), 400, r"instances\[0\]"),
    "no b64": (instances([{"image_bytes": {"base64": "AAAA"}}], "serving_bytes"), 400, r"image_bytes\[0\].*b64"),
    "an empty object": (picture({}), 400, "image_bytes"),
    "numbers where images belong": (instances([[1, 2]], "serving_bytes"), 400, "instances"),
    # addresses and headers
    "another model": ({"path": "/v1/models/timy:predict", "body": {"instances": rows()}}, 404, "timy.*tiny"),
    "a very long name": ({"path": f"/v1/models/{'a' * 5000}:predict", "body": {"instances": rows()}}, 404, "aaa.*tiny"),
    "another version": ({"path": f"/v1/models/{NAME}/versions/9:predict", "body": {"instances": rows()}}, 404, "version '9'"),
    "a version in words": ({"path": f"/v1/models/{NAME}/versions/one:predict", "body": {"instances": rows()}}, 404, "one"),
    "another method": ({"path": f"/v1/models/{NAME}:classify", "body": {}}, 405, "tiny:classify"),
    "an image as the body": ({"body": JPEG, "headers": {"Content-Type": "image/jpeg"}}, 415, "Content-Type"),
    "text, as a web page may post it": ({"body": {}, "headers": {"Content-Type": "text/plain"}}, 415, "Content-Type"),
    "no type": ({"body": {"instances": rows()}, "headers": {"Content-Type": ""}}, 415, "Content-Type"),
    "another Host": ({"body": {"instances": rows()}, "headers": {"Host": "evil.example:8501"}}, 403, "Host"),
    "compressed": ({"body": zlib.compress(b"{}"), "headers": {"Content-Encoding": "deflate"}}, 415, "Content-Encoding"),
    "too large": ({"body": b" " * (MAX_BYTES + 1)}, 413, f"at most {MAX_BYTES} bytes"),
}  # fmt: skip


BAD_UINT8 = {
    "negative": (instances(with_value(-1), "serving_uint8"), 400, "int` >= 0.*instances"),
    "above 255": (instances(with_value(256), "serving_uint8"), 400, "int` <= 255.*instances"),
    "beyond 64 bits": (instances(with_value(10**30), "serving_uint8"), 400, "instances"),
    "a fraction": (instances(with_value(0.5), "serving_uint8"), 400, "float.*instances"),
}


def check_bad(http, server, bad, expected):
    request, status, named = bad
    body = request["body"] if isinstance(request["body"], bytes) else json.dumps(request["body"])
    headers = {"Content-Type": "application/json"} | request.get("headers", {})

    answer = http.post(f"{server.url}{request.get('path', PREDICT)}", content=body, headers=headers)

    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert len(answer.json()["error"]) < 1000
    assert re.search(named, answer.json()["error"]), answer.text
    good = http.post(f"{server.model_url}:predict", json={"instances": rows(4)})
    check_rows(good.json()["predictions"], expected)


@pytest.mark.parametrize("name", BAD)
def test_bad_requests(http, server, expected, name):
    check_bad(http, server, BAD[name], expected)


@pytest.mark.parametrize("name", BAD_UINT8)
def test_bad_pixels(http, savedmodel_server, expected, name):
    check_bad(http, savedmodel_server, BAD_UINT8[name], expected)


@pytest.mark.parametrize(
    "path", ["/healthz", "/monitoring/prometheus/metrics", "/nowhere", "/v1/models/x:classify", PREDICT]
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_another_host_learns_nothing_on_any_path(http, server, method, path):
    answer = http.request(method, f"{server.url}{path}", headers={"Host": "evil.example:8501"})
    assert answer.status_code == 403 and "Host" in answer.json()["error"]


def tensor_proto(values, **fields):
    proto = tf.make_tensor_proto(values)
    for name, value in fields.items():
        if isinstance(value, list):
            proto.ClearField(name)
            getattr(proto, name).extend(value)
        else:
            setattr(proto, name, value)
    return proto


def sized(*sizes):
    proto = tf.make_tensor_proto(pixels(1).astype("float32"))
    for dim, size in zip(proto.tensor_shape.dim, sizes, strict=True):
        dim.size = size
    return proto


IMAGE = pixels(1).astype("float32")
BAD_GRPC = {  # name -> (inputs, what the message names)
    "no input": ({}, "only 'image'"),
    "an input too many": ({"image": tf.make_tensor_proto(IMAGE), "size": tf.make_tensor_proto(3)}, "only 'image'"),
    "another name": ({"picture": tf.make_tensor_proto(IMAGE)}, "picture"),
    "another type": ({"image": tf.make_tensor_proto(IMAGE.astype("float64"))}, "float32"),
    "NaN": ({"image": tf.make_tensor_proto(IMAGE * np.nan)}, "finite"),
    "a negative length": ({"image": sized(-1, SIZE, SIZE, 3)}, "at most 128"),
    "a huge batch": ({"image": sized(2**40, SIZE, SIZE, 3)}, "at most 128"),
    "a batch too large": ({"image": sized(129, SIZE, SIZE, 3)}, "at most 128"),
    "too few bytes": ({"image": tensor_proto(IMAGE, tensor_content=b"1234")}, "image"),
    "a strange type": ({"image": tensor_proto(IMAGE, dtype=99)}, "DataType 99"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_GRPC)
def test_bad_requests_over_grpc(savedmodel_server, name):
    inputs, named = BAD_GRPC[name]
    request = predict_pb2.PredictRequest(inputs=inputs)
    request.model_spec.name = NAME
    with grpc.insecure_channel(savedmodel_server.grpc) as channel:
        with pytest.raises(grpc.RpcError) as error:
            PredictionServiceStub(channel).Predict(request, timeout=60)
        assert error.value.code().name == "INVALID_ARGUMENT"
        assert re.search(named, error.value.details()) and len(error.value.details()) < 1000
        request.ClearField("inputs")
        request.inputs["image"].CopyFrom(tf.make_tensor_proto(IMAGE))
        assert PredictionServiceStub(channel).Predict(request, timeout=60).outputs


UNFIT = {  # of other signatures: signature -> (input, tensor, what the message names)
    "files without content": ("serving_bytes", "image_bytes", tensor_proto([b"x"], string_val=[]), "Received: 0"),
    "pixels beyond bytes": ("serving_uint8", "image", tensor_proto(pixels(1), tensor_content=b"", int_val=[300]), "image"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNFIT)
def test_tensors_that_do_not_hold_what_they_say(savedmodel_server, name):
    signature, key, proto, named = UNFIT[name]
    request = predict_pb2.PredictRequest(inputs={key: proto})
    request.model_spec.name, request.model_spec.signature_name = NAME, signature
    with grpc.insecure_channel(savedmodel_server.grpc) as channel:
        with pytest.raises(grpc.RpcError, match="INVALID_ARGUMENT") as error:
            PredictionServiceStub(channel).Predict(request, timeout=60)
        assert named in error.value.details()


def test_repeated_outputs_and_labels_over_grpc(savedmodel_server):
    request = predict_pb2.PredictRequest(output_filter=["classes"] * 20_000)
    request.model_spec.name = NAME
    request.inputs["image"].CopyFrom(tf.make_tensor_proto(IMAGE))
    with grpc.insecure_channel(savedmodel_server.grpc) as channel:
        assert len(PredictionServiceStub(channel).Predict(request, timeout=60).outputs) == 1
        request.model_spec.version_label = "stable"
        with pytest.raises(grpc.RpcError, match="NOT_FOUND"):
            PredictionServiceStub(channel).Predict(request, timeout=60)


def test_a_body_above_the_limit_is_refused_unread(server):
    """The answer comes though not a byte of the announced body was sent."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head(10**12))
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_body_without_length_is_refused_at_the_limit(http, server):
    sent = []

    def body():
        for _ in range(1000):
            sent.append(None)
            yield b" " * (MAX_BYTES // 10)

    try:
        answer = http.post(f"{server.url}{PREDICT}", content=body(), headers={"Content-Type": "application/json"})
    except httpx.WriteError:  # the server closed while the client was still sending
        assert len(sent) < 1000
        return
    assert answer.status_code == 413
    assert "bytes" in answer.json()["error"]


def memory_of(server):
    return psutil.Process(server.process.pid).memory_info().rss


HOSTILE = hostile()  # what a server with the default limits receives


@pytest.fixture(scope="module")
def open_server(bases):
    with served(bases["onnx"]) as server:
        yield server


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bodies_are_refused_and_cost_little_memory(http, open_server, name):
    before = memory_of(open_server)
    headers = {"Content-Type": "application/json"}
    answer = http.post(f"{open_server.url}{PREDICT}", content=HOSTILE[name], headers=headers)
    assert answer.status_code == 400 and len(answer.content) < 1000
    assert memory_of(open_server) - before < 200e6  # the body itself is 16 MB, the old answer to the first took 2 GB
    assert http.post(f"{open_server.url}{PREDICT}", json={"instances": rows()}).status_code == 200


OWING = {
    "half a header": b"POST / HTTP/1.1\r\nHost: local",
    "half a body": head(99) + b"{",
    "a byte after an answer": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n\r\n",
}


@pytest.mark.parametrize("name", OWING)
def test_connections_that_owe_the_rest_lock_nobody_out(http, onnx_server, name):
    host, port = onnx_server.url.removeprefix("http://").split(":")
    silent = []
    try:
        for _ in range(700):
            silent.append(socket.create_connection((host, int(port)), timeout=10))
            silent[-1].sendall(OWING[name])
        assert http.post(f"{onnx_server.url}{PREDICT}", json={"instances": rows()}).status_code == 200
        assert rest_of(silent[0]).startswith(
            b"HTTP/1.1 200" if "answer" in name else b""
        )  # and closed: the oldest made room
    finally:
        for connection in silent:
            connection.close()


@pytest.mark.parametrize("more", [b"X: " + b"a" * 2**20, b"X:\r\n" * 2**18], ids=["one long line", "many lines"])
def test_a_header_has_an_end(server, more):
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + more + b"\r\n\r\n")
        assert rest_of(connection) == b""


@contextlib.contextmanager
def with_limits(base, limits):
    """Yields the port of a server in a process in which a line of Python has set other limits."""
    code = f"""
        from pathlib import Path
        from keras_mgnet.serving import gate, server
        {limits}
        server.serve(Path({str(base)!r}), rest_port=0, grpc_port=0)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True) as process:
        yield int(re.search(r":(\d+)/v1", process.stdout.readline())[1])
        process.kill()


@pytest.fixture(scope="module")
def impatient_port(bases):
    with with_limits(bases["onnx"], "gate.HEADER_SECONDS = gate.BODY_SECONDS = 0.5") as port:
        yield port


@pytest.mark.parametrize("sent", [b"", b"POST / HT", head(99) + b"{"], ids=["silence", "half a line", "half a body"])
def test_a_connection_that_does_not_go_on_is_closed(impatient_port, sent):
    with socket.create_connection(("127.0.0.1", impatient_port), timeout=20) as connection:
        connection.sendall(sent)
        received = rest_of(connection)
    assert received.startswith(b"HTTP/1.1 408 ") if sent.endswith(b"{") else received == b""


def test_a_request_beyond_the_connections_is_refused(bases):
    with with_limits(bases["onnx"], "server.MAX_CONNECTIONS = 3") as port, contextlib.ExitStack() as opened:
        url = f"http://127.0.0.1:{port}/healthz"
        assert httpx.get(url).status_code == 200
        for _ in range(3):
            opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
        assert httpx.get(url).status_code == 503
