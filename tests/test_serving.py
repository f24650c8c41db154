"""The embedded server over HTTP and gRPC: TensorFlow Serving's answers, patience with bad requests, no request lost.

The tests of the section "conformance" also run against a TensorFlow Serving that KERAS_MGNET_TF_SERVING names:

    python tests/served.py served
    docker run --rm -p 127.0.0.1:8501:8501 -v $PWD/served/tiny:/models/tiny -e MODEL_NAME=tiny tensorflow/serving
    KERAS_MGNET_TF_SERVING=http://127.0.0.1:8501 python -m pytest tests/test_serving.py -k conformance
"""

import base64
import functools
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
import zlib
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from served import CLASSES, NAME, SIZE, encoded, logits, pixels, served, tiny, write_onnx, write_savedmodel

TF_SERVING = os.environ.get("KERAS_MGNET_TF_SERVING")
EMBEDDED = ("savedmodel", "onnx")
MAX_BYTES = 300_000


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    out = tmp_path_factory.mktemp("served")
    bases = {"savedmodel": out / "savedmodel" / NAME, "onnx": out / "onnx" / NAME}
    write_savedmodel(bases["savedmodel"])
    write_onnx(bases["onnx"])
    return bases


@pytest.fixture(scope="module")
def savedmodel_server(bases):
    with served(bases["savedmodel"], f"--max-request-bytes={MAX_BYTES}") as server:
        yield server


@pytest.fixture(scope="module")
def onnx_server(bases):
    with served(bases["onnx"], f"--max-request-bytes={MAX_BYTES}") as server:
        yield server


@pytest.fixture(scope="module", params=EMBEDDED)
def server(request):
    return request.getfixturevalue(f"{request.param}_server")


@pytest.fixture(scope="module", params=[*EMBEDDED, *(["tensorflow_serving"] if TF_SERVING else [])])
def model_url(request):
    """The model's URL in each server."""
    if request.param == "tensorflow_serving":
        return f"{TF_SERVING}/v1/models/{NAME}"
    return request.getfixturevalue(f"{request.param}_server").model_url


@pytest.fixture(scope="module")
def http():
    with httpx.Client(timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def expected():
    """What Keras computes of four images."""
    return logits(tiny(), pixels(4))


def b64(content: bytes) -> dict:
    return {"b64": base64.b64encode(content).decode()}


def rows(n=1) -> list:
    return pixels(n).tolist()


def check_rows(predictions, expected):
    assert [set(row) for row in predictions] == [{"logits", "probabilities", "classes"}] * len(expected)
    np.testing.assert_allclose([row["logits"] for row in predictions], expected, rtol=1e-4, atol=1e-4)
    assert [row["classes"] for row in predictions] == expected.argmax(-1).tolist()
    np.testing.assert_allclose(np.sum([row["probabilities"] for row in predictions], axis=-1), 1, atol=1e-5)


# conformance with TensorFlow Serving's REST interface


@pytest.mark.parametrize("n", [1, 4])
def test_conformance_rows(http, model_url, expected, n):
    answer = http.post(f"{model_url}:predict", json={"instances": rows(n)})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["predictions"]
    check_rows(answer.json()["predictions"], expected[:n])


def test_conformance_named_rows(http, model_url, expected):
    named = [{"image": image} for image in rows(4)]
    answer = http.post(f"{model_url}:predict", json={"signature_name": "serving_default", "instances": named})
    check_rows(answer.json()["predictions"], expected)


@pytest.mark.parametrize("named", [False, True])
def test_conformance_columns(http, model_url, expected, named):
    answer = http.post(f"{model_url}:predict", json={"inputs": {"image": rows(4)} if named else rows(4)})
    outputs = answer.json()["outputs"]
    assert {name: np.shape(values) for name, values in outputs.items()} == {
        "logits": (4, CLASSES), "probabilities": (4, CLASSES), "classes": (4,)}  # fmt: skip
    np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_conformance_as_curl_sends_it(http, model_url, expected, content_type):
    body = json.dumps({"instances": rows(1)})
    answer = http.post(f"{model_url}:predict", content=body, headers={"Content-Type": content_type})
    check_rows(answer.json()["predictions"], expected[:1])


@pytest.mark.parametrize("named", [False, True])
def test_conformance_encoded_images(http, model_url, expected, named):
    images = [b64(encoded(image)) for image in pixels(4)]
    values = [{"image_bytes": image} for image in images] if named else images
    answer = http.post(f"{model_url}:predict", json={"signature_name": "serving_bytes", "instances": values})
    check_rows(answer.json()["predictions"], expected)


def test_conformance_encoded_images_of_other_sizes(http, model_url):
    images = [np.full((height, width, 3), 90, "uint8") for height, width in ((5, 20), (30, 11))]
    columns = {"image_bytes": [b64(encoded(image, "JPEG")) for image in images]}
    answer = http.post(f"{model_url}:predict", json={"signature_name": "serving_bytes", "inputs": columns})
    constant = logits(tiny(), np.full((2, SIZE, SIZE, 3), 90))
    np.testing.assert_allclose(answer.json()["outputs"]["logits"], constant, rtol=1e-4, atol=1e-3)


def test_conformance_status(http, model_url):
    versions = http.get(model_url).json()["model_version_status"]
    assert versions == [{"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}]
    assert http.get(f"{model_url}/versions/1").json()["model_version_status"] == versions


def test_conformance_metadata(http, model_url):
    answer = http.get(f"{model_url}/metadata").json()
    assert (answer["model_spec"]["name"], answer["model_spec"]["version"]) == (NAME, "1")
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    image = signature["inputs"]["image"]
    assert image["dtype"] == "DT_FLOAT"
    assert [dim["size"] for dim in image["tensor_shape"]["dim"]] == ["-1", "8", "8", "3"]
    assert {name: output["dtype"] for name, output in signature["outputs"].items()} == {
        "logits": "DT_FLOAT", "probabilities": "DT_FLOAT", "classes": "DT_INT64"}  # fmt: skip


def test_conformance_versions(http, model_url, expected):
    check_rows(
        http.post(f"{model_url}/versions/1:predict", json={"instances": rows(1)}).json()["predictions"], expected[:1]
    )
    for path in ("/versions/7:predict", "/labels/stable:predict"):
        answer = http.post(f"{model_url}{path}", json={"instances": rows(1)})
        assert answer.status_code in (400, 404)
        assert list(answer.json()) == ["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[1]",
        b'{"instances": []}',
        b'{"instances": [[[[1, 2]]]]}',
        b'{"instances": [[1], [1, 2]]}',
        b'{"instances": ["cat"]}',
        b'{"signature_name": "unknown", "instances": [1]}',
        b'{"instances": [1], "inputs": [1]}',
        b'{"other": [1]}',
    ],
)
def test_conformance_bad_requests(http, model_url, body):
    answer = http.post(f"{model_url}:predict", content=body)
    assert answer.status_code in (400, 404)
    assert list(answer.json()) == ["error"]


def test_savedmodels_serve_what_they_declare(http, savedmodel_server, expected):
    url = savedmodel_server.model_url
    definitions = http.get(f"{url}/metadata").json()["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "serving_bytes", "serving_uint8", "features"} <= definitions.keys()
    request = {"signature_name": "serving_uint8", "instances": rows(4)}
    check_rows(http.post(f"{url}:predict", json=request).json()["predictions"], expected)

    features = http.post(f"{url}:predict", json={"signature_name": "features", "inputs": rows(2)}).json()["outputs"]
    assert features.keys() == definitions["features"]["outputs"].keys()
    assert all(len(values) == 2 for values in features.values())


# bad requests


def png_of_size(width, height):
    """A PNG whose header promises many pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [header, b"IDAT" + zlib.compress(b"\0")]
    packed = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def instances(values, signature=None):
    return {"body": {"instances": values} | ({"signature_name": signature} if signature else {})}


def picture(content):
    return instances([content if isinstance(content, dict) else b64(content)], "serving_bytes")


def with_value(value):
    image = rows(1)
    image[0][2][3][1] = value
    return image


JPEG, GIF = encoded(pixels(1)[0], "JPEG"), encoded(pixels(1)[0], "GIF")
WIDE = np.zeros((1, SIZE, SIZE + 1, 3)).tolist()
ONES = "[" * 3 + "1" + "]" * 3

BAD = {  # name -> (the request, status, what the message names)
    # JSON
    "empty body": ({"body": b""}, 400, "body"),
    "cut JSON": ({"body": b'{"instances": [[1, 2'}, 400, "body"),
    "JSON with a comma too many": ({"body": b'{"instances": [1,]}'}, 400, "body"),
    "no UTF-8": ({"body": b'{"instances": ["\xff"]}'}, 400, "body"),
    "an array": ({"body": b"[1, 2]"}, 400, "body"),
    "null": ({"body": b"null"}, 400, "body"),
    "deep nesting": ({"body": b'{"instances": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"}, 400, "body"),
    "nesting that JSON allows": ({"body": b'{"instances": ' + b"[" * 900 + b"1" + b"]" * 900 + b"}"}, 400, "image"),
    "NaN": ({"body": b'{"instances": [[[[NaN, 0, 0]]]]}'}, 400, "instances"),
    "Infinity": ({"body": b'{"inputs": [[[[-Infinity, 0, 0]]]]}'}, 400, "inputs"),
    "a number beyond floats": ({"body": b'{"instances": [1e999]}'}, 400, "body"),
    # keys
    "no values": ({"body": {"signature_name": "serving_default"}}, 400, "instances"),
    "rows and columns": ({"body": {"instances": rows(), "inputs": rows()}}, 400, "inputs"),
    "a misspelt key": ({"body": {"instances": rows(), "signature": "serving_default"}}, 400, "signature_name"),
    "an unknown signature": (instances(rows(), "serving_defualt"), 400, "signature_name.*serving_default"),
    "a signature that is no text": ({"body": {"instances": rows(), "signature_name": 3}}, 400, "signature_name"),
    "an unknown input": (instances([{"picture": rows()[0]}]), 400, r"instances\[0\].*picture"),
    "an input too many": (instances([{"image": rows()[0], "size": 3}]), 400, r"instances\[0\].*size"),
    "an input too few": (instances([{}]), 400, r"instances\[0\].*image"),
    "one row named": (instances([{"image": rows()[0]}, rows()[0]]), 400, r"instances\[1\]"),
    "one row unnamed": (instances([rows()[0], {"image": rows()[0]}]), 400, "image"),
    "an unknown column": ({"body": {"inputs": {"picture": rows()}}}, 400, "inputs.*picture"),
    "a column too many": ({"body": {"inputs": {"image": rows(), "size": [3]}}}, 400, "inputs.*size"),
    # shapes
    "no rows": (instances([]), 400, "instances"),
    "rows that are no list": (instances(3), 400, "instances"),
    "rows that are null": (instances(None), 400, "instances"),
    "empty columns": ({"body": {"inputs": []}}, 400, "image"),
    "columns of null": ({"body": {"inputs": None}}, 400, "image"),
    "an image without its batch": (instances(rows()[0]), 400, "image"),
    "one axis too many": (instances([rows()]), 400, "image"),
    "one number": ({"body": {"inputs": 3}}, 400, "image"),
    "too wide": (instances(WIDE), 400, r"image.*\(N, 8, 8, 3\).*\(1, 8, 9, 3\)"),
    "one channel": (instances(np.zeros((1, SIZE, SIZE, 1)).tolist()), 400, "image"),
    "ragged": (instances([[[[1, 2], [3]]]]), 400, "image"),
    "images of two sizes": (instances([rows()[0], WIDE[0]]), 400, "image"),
    "empty images": (instances([[], []]), 400, "image"),
    "too many images": (instances(np.zeros((129, SIZE, SIZE, 3), int).tolist()), 400, "128 rows in 'image'"),
    # numbers
    "text": (instances(with_value("white")), 400, "image"),
    "digits as text": (instances([[[["1"] * 3] * SIZE] * SIZE]), 400, "image.*text"),
    "null inside": (instances(with_value(None)), 400, "image"),
    "an object inside": (instances(with_value({"b64": "AAAA"})), 400, "image"),
    "truth values": (instances([[[[True] * 3] * SIZE] * SIZE]), 400, "image"),
    "beyond float32": (instances(with_value(1e39)), 400, "image.*finite"),
    "base64 where numbers belong": (instances([b64(JPEG)]), 400, "image"),
    # encoded images
    "truncated JPEG": (picture(JPEG[: len(JPEG) // 2]), 400, "image_bytes|serving_bytes"),
    "truncated PNG": (picture(encoded(pixels(1)[0])[:-30]), 400, "image_bytes|serving_bytes"),
    "a JPEG's header alone": (picture(JPEG[:20]), 400, r"image_bytes\[0\]"),
    "no image": (picture(b"hello"), 400, r"image_bytes\[0\]"),
    "an empty image": (picture(b""), 400, r"image_bytes\[0\]"),
    "GIF": (picture(GIF), 400, r"image_bytes\[0\].*JPEG or PNG"),
    "the second of two": (instances([b64(JPEG), b64(b"hello")], "serving_bytes"), 400, r"image_bytes\[1\]"),
    "decompression bomb": (picture(png_of_size(50_000, 50_000)), 400, r"image_bytes.*pixels"),
    "a larger one": (picture(png_of_size(2**31 - 1, 2**31 - 1)), 400, "image_bytes"),
    "many pixels together": (instances([b64(png_of_size(3000, 3000))] * 2, "serving_bytes"), 400, r"pixels.*image_bytes\[1\]"),
    "no base64": (picture({"b64": "%%%"}), 400, r"image_bytes\[0\].*b64"),
    "base64 cut": (picture({"b64": "AAAAA"}), 400, r"image_bytes\[0\].*b64"),
    "base64 that is a number": (picture({"b64": 3}), 400, r"image_bytes\[0\].*b64"),
    "no b64": (instances([{"image_bytes": {"base64": "AAAA"}}], "serving_bytes"), 400, r"image_bytes\[0\].*b64"),
    "numbers where images belong": (instances([[1, 2]], "serving_bytes"), 400, r"image_bytes\[0\].*b64"),
    "encoded columns without batch": ({"body": {"signature_name": "serving_bytes", "inputs": b64(JPEG)}}, 400, "image_bytes"),
    # addresses and headers
    "another model": ({"path": "/v1/models/timy:predict", "body": {"instances": rows()}}, 404, "timy.*tiny"),
    "another version": ({"path": f"/v1/models/{NAME}/versions/9:predict", "body": {"instances": rows()}}, 404, "version '9'"),
    "a version in words": ({"path": f"/v1/models/{NAME}/versions/one:predict", "body": {"instances": rows()}}, 404, "one"),
    "an unknown label": ({"path": f"/v1/models/{NAME}/labels/beta:predict", "body": {"instances": rows()}}, 404, "beta"),
    "another method": ({"path": f"/v1/models/{NAME}:classify", "body": {}}, 404, "tiny:classify"),
    "an image as the body": ({"body": JPEG, "headers": {"Content-Type": "image/jpeg"}}, 415, "Content-Type"),
    "a form": ({"body": b"--x--", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 415, "Content-Type"),
    "another encoding": ({"headers": {"Content-Type": "application/json; charset=utf-16"}, "body": b"{}"}, 415, "utf-16"),
    "compressed": ({"body": zlib.compress(b"{}"), "headers": {"Content-Encoding": "deflate"}}, 415, "Content-Encoding"),
    "too large": ({"body": b" " * (MAX_BYTES + 1)}, 413, f"at most {MAX_BYTES} bytes"),
    # the open inference protocol
    "V2 without inputs": ({"path": f"/v2/models/{NAME}/infer", "body": {}}, 400, "inputs"),
    "V2 with another name": (
        {"path": f"/v2/models/{NAME}/infer",
         "body": {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}}, 400, "inputs.*x"),
    "V2 with another type": (
        {"path": f"/v2/models/{NAME}/infer",
         "body": {"inputs": [{"name": "image", "shape": [1], "datatype": "FP99", "data": [1]}]}}, 400, "image.*FP32"),
    "V2 with another shape": (
        {"path": f"/v2/models/{NAME}/infer",
         "body": {"inputs": [{"name": "image", "shape": [1, 8, 8, 1], "datatype": "FP32", "data": [1]}]}}, 400, "image"),
    "V2 with too few numbers": (
        {"path": f"/v2/models/{NAME}/infer",
         "body": {"inputs": [{"name": "image", "shape": [1, 8, 8, 3], "datatype": "FP32", "data": [1]}]}}, 400, "image"),
    "V2 with a negative shape": (
        {"path": f"/v2/models/{NAME}/infer",
         "body": {"inputs": [{"name": "image", "shape": [-1, 8, 8, 3], "datatype": "FP32", "data": [1]}]}}, 400, "image"),
    "V2 with a wrong length": (
        {"path": f"/v2/models/{NAME}/infer", "body": b"{}", "headers": {
            "Content-Type": "application/octet-stream", "Inference-Header-Content-Length": "x"}}, 400, "body"),
    "V2 of another model": ({"path": "/v2/models/timy/infer", "body": {"inputs": []}}, 404, "timy"),
}  # fmt: skip

BAD_UINT8 = {
    "negative": (instances(with_value(-1), "serving_uint8"), 400, "image.*uint8.*-1"),
    "above 255": (instances(with_value(256), "serving_uint8"), 400, "image.*uint8.*256"),
    "beyond 64 bits": (instances(with_value(10**30), "serving_uint8"), 400, "image"),
    "a fraction": (instances(with_value(0.5), "serving_uint8"), 400, "image.*fractions"),
}


def check_bad(http, server, bad, expected):
    request, status, named = bad
    body = request["body"] if isinstance(request["body"], bytes) else json.dumps(request["body"])
    path = request.get("path", f"/v1/models/{NAME}:predict")
    headers = {"Content-Type": "application/json"} | request.get("headers", {})

    answer = http.post(f"{server.url}{path}", content=body, headers=headers)

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


def test_a_body_above_the_limit_is_refused_unread(server):
    """The answer comes though not a byte of the announced body was sent."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"POST /v1/models/tiny:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("path", [f"/v1/models/{NAME}:predict", f"/v2/models/{NAME}/infer"])
def test_a_body_without_length_is_refused_at_the_limit(http, server, path):
    sent = []

    def body():
        for _ in range(1000):
            sent.append(None)
            yield b" " * (MAX_BYTES // 10)

    try:
        answer = http.post(f"{server.url}{path}", content=body())
    except httpx.WriteError:  # the server closed while the client was still sending
        assert len(sent) < 1000
        return
    assert answer.status_code == 413
    assert "bytes" in answer.json()["error"]


# the open inference protocol


def v2_inputs(images):
    data = np.asarray(images, "float32")
    return [{"name": "image", "shape": list(data.shape), "datatype": "FP32", "data": data.ravel().tolist()}]


def test_open_inference_over_rest(http, server, expected):
    url = f"{server.url}/v2/models/{NAME}"
    answer = http.post(f"{url}/infer", json={"id": "a", "inputs": v2_inputs(pixels(4))}).json()
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert (answer["model_name"], answer["model_version"], answer["id"]) == (NAME, "1", "a")
    assert (outputs["logits"]["datatype"], outputs["logits"]["shape"]) == ("FP32", [4, CLASSES])
    np.testing.assert_allclose(np.reshape(outputs["logits"]["data"], (4, CLASSES)), expected, rtol=1e-4, atol=1e-4)
    assert outputs["classes"]["data"] == expected.argmax(-1).tolist()

    asked = {"inputs": v2_inputs(pixels(1)), "outputs": [{"name": "classes"}]}
    assert [output["name"] for output in http.post(f"{url}/infer", json=asked).json()["outputs"]] == ["classes"]
    described = http.get(url).json()
    assert described["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, SIZE, SIZE, 3]}]
    assert http.get(f"{url}/ready").json() == {"name": NAME, "ready": True}


def test_no_client_loads_or_unloads_a_model(http, server):
    for action in ("load", "unload"):
        answer = http.post(f"{server.url}/v2/repository/models/{NAME}/{action}")
        assert answer.status_code == 501
    assert http.post(f"{server.model_url}:predict", json={"instances": rows()}).status_code == 200


@pytest.fixture
def stub(server):
    import grpc
    from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

    with grpc.insecure_channel(server.grpc) as channel:
        yield GRPCInferenceServiceStub(channel)


def grpc_request(images, **fields):
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages

    data = np.asarray(images, "float32")
    tensor = messages.ModelInferRequest.InferInputTensor(name="image", datatype="FP32", shape=data.shape)
    fields = {"model_name": NAME, "inputs": [tensor], "raw_input_contents": [data.tobytes()]} | fields
    return messages.ModelInferRequest(**fields)


def test_open_inference_over_grpc(stub, expected):
    answer = stub.ModelInfer(grpc_request(pixels(4), model_version="1"))
    raw = dict(zip([output.name for output in answer.outputs], answer.raw_output_contents, strict=True))
    np.testing.assert_allclose(np.frombuffer(raw["logits"], "float32").reshape(4, -1), expected, rtol=1e-4, atol=1e-4)
    assert np.frombuffer(raw["classes"], "int64").tolist() == expected.argmax(-1).tolist()


def test_encoded_images_over_grpc(stub, expected):
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages

    images = [encoded(image) for image in pixels(4)]
    tensor = messages.ModelInferRequest.InferInputTensor(name="image_bytes", datatype="BYTES", shape=[4])
    tensor.contents.bytes_contents.extend(images)
    answer = stub.ModelInfer(messages.ModelInferRequest(model_name=NAME, inputs=[tensor]))
    classes = next(output for output in answer.outputs if output.name == "classes")
    assert list(classes.contents.int64_contents) == expected.argmax(-1).tolist()


@pytest.mark.parametrize(
    "fields, code, named",
    [
        ({"model_name": "timy"}, "NOT_FOUND", "timy"),
        ({"model_version": "9"}, "NOT_FOUND", "version '9'"),
        ({"model_version": "one"}, "NOT_FOUND", "model_version"),
        ({"raw_input_contents": [b"abc"]}, "INVALID_ARGUMENT", "image"),
        ({"inputs": [], "raw_input_contents": []}, "INVALID_ARGUMENT", "image"),
    ],
)
def test_bad_requests_over_grpc(stub, fields, code, named):
    import grpc

    with pytest.raises(grpc.RpcError) as error:
        stub.ModelInfer(grpc_request(pixels(1), **fields))
    assert error.value.code().name == code
    assert named in error.value.details()
    assert stub.ModelInfer(grpc_request(pixels(1))).outputs


# operation


def test_health_and_metrics(http, server):
    assert http.get(f"{server.url}/v2/health/live").json() == {"live": True}
    assert http.get(f"{server.url}/v2/health/ready").json() == {"ready": True}

    def counts():
        lines = http.get(f"{server.url}/metrics").text.splitlines()
        return {
            line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
            for line in lines
            if "request_seconds_count{" in line
        }

    def series(status):
        return f'keras_mgnet_request_seconds_count{{model_name="{NAME}",protocol="rest_v1",status="{status}"}}'

    before = counts()
    for body in ({"instances": rows()}, {"instances": rows()}, {"instances": 3}):
        http.post(f"{server.model_url}:predict", json=body)
    http.post(f"{server.url}/v1/models/other:predict", json={"instances": rows()})
    after = counts()
    assert after[series(200)] - before.get(series(200), 0) == 2
    assert after[series(400)] - before.get(series(400), 0) == 1
    assert not any("other" in name for name in after), "strangers must not add series"


def test_listens_on_this_machine_alone(server):
    process = psutil.Process(server.process.pid)
    listening = [c.laddr for c in process.connections("inet") if c.status == psutil.CONN_LISTEN]
    assert {address.ip for address in listening} <= {"127.0.0.1", "::ffff:127.0.0.1"}
    assert {f"127.0.0.1:{address.port}" for address in listening} == {server.url.removeprefix("http://"), server.grpc}


def test_onnx_is_served_without_tensorflow_and_keras(onnx_server, bases):
    libraries = Path(f"/proc/{onnx_server.process.pid}/maps")
    if libraries.exists():  # Linux
        assert "onnxruntime" in libraries.read_text()
        assert "tensorflow" not in libraries.read_text()
    code = """
        import sys
        from pathlib import Path
        import keras_mgnet.serving.server
        from keras_mgnet.serving.engine import open_engine
        open_engine(Path(sys.argv[1]))
        print({"tensorflow", "keras", "jax", "torch"} & sys.modules.keys())
    """
    command = [sys.executable, "-c", textwrap.dedent(code), bases["onnx"] / "1"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "set()\n"


@pytest.mark.parametrize(
    "prepare, message",
    [
        (lambda base: None, "No such file"),
        (lambda base: base.mkdir(), "no version"),
        (lambda base: (base / "1").mkdir(parents=True), "no version"),
        (
            lambda base: [(base / "1").mkdir(parents=True), (base / "1" / "model.onnx").write_bytes(b"onnx")],
            "version 1: ",
        ),
    ],
    ids=["missing", "empty", "half-written", "damaged"],
)
def test_nothing_to_serve(tmp_path, prepare, message):
    from keras_mgnet.serving.server import serve

    prepare(tmp_path / "base")
    with pytest.raises((ValueError, OSError), match=message):
        serve(tmp_path / "base", rest_port=0, grpc_port=None)


def test_a_taken_port_is_named(onnx_server, bases):
    from keras_mgnet.serving.server import serve

    port = int(onnx_server.url.rpartition(":")[2])
    with pytest.raises(OSError, match=f"expected a free address for REST. Received: 127.0.0.1:{port}"):
        serve(bases["onnx"], rest_port=port, grpc_port=None)
    port = int(onnx_server.grpc.rpartition(":")[2])
    with pytest.raises(OSError, match=f"expected a free address for gRPC. Received: 127.0.0.1:{port}"):
        serve(bases["onnx"], rest_port=0, grpc_port=port)


# versions and signals under load


class Load:
    """Threads that send images until they are told to stop or the server says goodbye, and keep every answer."""

    def __init__(self, model_url: str, clients: int = 4):
        self.model_url, self.answers, self.failures = model_url, [], []
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
                sent = time.monotonic()
                try:
                    answer = http.post(f"{self.model_url}:predict", json={"instances": rows(1)})
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                    return
                self.answers.append((sent, answer.status_code, answer.text))
                if answer.headers.get("connection") == "close":
                    return

    def seeds(self, since: float = 0.0) -> set:
        """The seeds of the models that answered requests sent since then."""
        return {seed_of(text) for sent, status, text in list(self.answers) if sent >= since and status == 200}

    def check(self):
        assert self.failures == []
        assert {status for _, status, _ in self.answers} == {200}


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@functools.cache
def first_logits(seed):
    return logits(tiny(seed), pixels(1))[0]


@functools.cache
def seed_of(text: str):
    """The seed of the model that gave an answer, None where it is none of those used here."""
    found = json.loads(text)["predictions"][0]["logits"]
    return next((seed for seed in range(4) if np.allclose(found, first_logits(seed), rtol=1e-3, atol=1e-3)), None)


def states(server) -> dict:
    return {int(row["version"]): row["state"] for row in httpx.get(server.model_url).json()["model_version_status"]}


def test_versions_change_under_load_without_a_lost_request(tmp_path):
    base, prepared = tmp_path / NAME, tmp_path / "prepared"
    write_onnx(base, seed=0)
    for number in (2, 3):
        write_onnx(prepared, seed=number, version=number)
    whole = (prepared / "3" / "model.onnx").read_bytes()

    with served(base, "--poll-seconds=0.1") as server, Load(server.model_url) as load:
        wait_for(lambda: load.answers)
        (base / ".staged-x").mkdir()
        (base / ".staged-x" / "model.onnx").write_bytes(b"half")
        (base / "3").mkdir()
        (base / "3" / "model.onnx").write_bytes(whole[: len(whole) // 2])
        wait_for(lambda: states(server) == {3: "END", 1: "AVAILABLE"})
        assert load.seeds() == {0}

        (prepared / "2").rename(base / "2")
        wait_for(lambda: states(server) == {3: "END", 2: "AVAILABLE"})
        switched = time.monotonic()
        wait_for(lambda: load.seeds(switched))
        assert load.seeds(switched) == {2}

        (base / "3" / "model.onnx").write_bytes(whole)  # the copy is finished at last
        wait_for(lambda: states(server) == {3: "AVAILABLE"} and 3 in load.seeds())
        shutil.rmtree(base / "3")
        wait_for(lambda: states(server) == {2: "AVAILABLE"})
    load.check()
    assert load.seeds() == {0, 2, 3}


@pytest.mark.slow
def test_savedmodels_change_under_load_without_a_lost_request(tmp_path):
    base = tmp_path / NAME
    write_savedmodel(base, seed=0)
    with served(base, "--poll-seconds=0.1") as server, Load(server.model_url) as load:
        wait_for(lambda: load.answers)
        for number in (2, 3):
            write_savedmodel(base, seed=number)
            wait_for(lambda number=number: states(server) == {number: "AVAILABLE"} and number in load.seeds())
    load.check()
    assert load.seeds() == {0, 2, 3}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_loses_no_request(bases, number):
    with served(bases["onnx"], "--drain-seconds=1") as server, Load(server.model_url) as load:
        wait_for(lambda: len(load.answers) > 20)
        body = json.dumps({"instances": rows(1)}).encode()
        head = f"POST /v1/models/{NAME}:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(server.url.removeprefix("http://").split(":")) as slow:
            slow.sendall(head.encode() + body[:10])
            time.sleep(0.2)
            server.process.send_signal(number)
            time.sleep(0.3)
            ready = httpx.get(f"{server.url}/v2/health/ready")
            assert (ready.status_code, list(ready.json())) == (503, ["error"])
            for thread in load.threads:
                thread.join()
            time.sleep(1.2)
            with pytest.raises(httpx.ConnectError):
                httpx.get(server.url)
            slow.sendall(body[10:])
            answer = b""
            while part := slow.recv(4096):
                answer += part
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(timeout=30) == 0
    load.check()


def test_labels_keep_older_versions(tmp_path):
    base = tmp_path / NAME
    for number in (1, 2, 3):
        write_onnx(base, seed=number, version=number)
    (base / "labels.json").write_text('{"stable": 1}')
    with served(base, "--poll-seconds=0.1") as server, httpx.Client() as http:

        def asked(path):
            answer = http.post(f"{server.model_url}{path}:predict", json={"instances": rows(1)})
            return seed_of(answer.text)

        assert states(server) == {3: "AVAILABLE", 1: "AVAILABLE"}
        assert asked("/labels/stable") == 1
        assert asked("") == 3

        (base / "labels.json").write_text('{"stable": ')
        time.sleep(0.5)
        assert asked("/labels/stable") == 1

        (base / "labels.json").write_text('{"stable": 2}')
        wait_for(lambda: states(server) == {3: "AVAILABLE", 2: "AVAILABLE"})
        assert asked("/labels/stable") == 2
