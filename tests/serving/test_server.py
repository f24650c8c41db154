"""The embedded server: TensorFlow Serving's answers over REST and gRPC, patience with strangers, no request lost.

The conformance cases also run against a TensorFlow Serving that KERAS_MGNET_TF_SERVING names:

    python tests/support/served.py served
    docker run --rm -p 127.0.0.1:8501:8501 -p 127.0.0.1:8500:8500 -v $PWD/served/tiny:/models/tiny -e MODEL_NAME=tiny \\
        tensorflow/serving
    KERAS_MGNET_TF_SERVING=127.0.0.1:8501,127.0.0.1:8500 python -m pytest tests/serving/test_server.py -k conformance
"""

import base64
import contextlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import numpy as np
import psutil
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from keras_mgnet.benchmarks.serving_hostile import hostile, progressive
from support.numerics import assert_close
from support.served import NAME, SIZE, encoded, logits, pixels, served, tiny, write_onnx, write_savedmodel

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
    with served(bases["savedmodel"], f"--max-request-mb={MAX_BYTES / 2**20}") as server:
        yield server


@pytest.fixture(scope="module")
def onnx_server(bases):
    with served(bases["onnx"], f"--max-request-mb={MAX_BYTES / 2**20}") as server:
        yield server


@pytest.fixture(scope="module", params=EMBEDDED)
def server(request):
    return request.getfixturevalue(f"{request.param}_server")


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
    assert_close([row["logits"] for row in predictions], expected)
    assert [row["classes"] for row in predictions] == expected.argmax(-1).tolist()
    np.testing.assert_allclose(np.sum([row["probabilities"] for row in predictions], axis=-1), 1, atol=1e-5)


# conformance: one list of cases, over REST and gRPC


@dataclass
class Case:
    """A request: its images or encoded files, and either how many of four images it answers or how it is refused."""

    values: object
    signature: str = "serving_default"
    model: str = NAME
    version: int | None = None
    refused: tuple[int, ...] = ()  # HTTP statuses; the other codes follow


def refusal(values=None, *statuses, **options):
    return Case(pixels(1).astype("float32") if values is None else values, refused=statuses or (400,), **options)


JPEG = encoded(pixels(1)[0], "JPEG")
CASES = {
    "one image": Case(pixels(1).astype("float32")),
    "four images": Case(pixels(4).astype("float32")),
    "pixels": Case(pixels(4), "serving_uint8"),
    "files": Case([encoded(image) for image in pixels(4)], "serving_bytes"),
    "a version": Case(pixels(4).astype("float32"), version=1),
    "another model": refusal(None, 404, model="timy"),
    "another version": refusal(None, 404, version=7),
    "an unknown signature": refusal(None, 400, 404, signature="unknown"),
    "too wide": refusal(np.zeros((1, SIZE, SIZE + 1, 3), "float32")),
    "an axis too few": refusal(np.zeros((SIZE, SIZE, 3), "float32")),
    "no file": refusal([b"hello"], signature="serving_bytes"),
    "half a file": refusal([JPEG[: len(JPEG) // 2]], signature="serving_bytes"),
    "an empty file": refusal([b""], signature="serving_bytes"),
}
CODES = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND"}


@dataclass
class Address:
    """Where a server is asked."""

    rest: str
    grpc: str | None


@pytest.fixture(scope="module", params=[*EMBEDDED, *(["tensorflow_serving"] if TF_SERVING else [])])
def address(request):
    if request.param == "tensorflow_serving":
        return Address(*TF_SERVING.split(","))
    server = request.getfixturevalue(f"{request.param}_server")
    return Address(server.url.removeprefix("http://"), server.grpc)


def by_rest(address, case, form):
    values, name = case.values, "image_bytes" if case.signature == "serving_bytes" else "image"
    values = [b64(value) for value in values] if isinstance(values, list) else values.tolist()
    body = {
        "rows": {"instances": values},
        "named rows": {"instances": [{name: value} for value in values]},
        "columns": {"inputs": values},
        "named columns": {"inputs": {name: values}},
    }[form]
    version = "" if case.version is None else f"/versions/{case.version}"
    url = f"http://{address.rest}/v1/models/{case.model}{version}:predict"
    answer = httpx.post(url, json=body | {"signature_name": case.signature}, timeout=60)
    if answer.status_code != 200:
        assert list(answer.json()) == ["error"] and len(answer.json()["error"]) < 1000
        return answer.status_code
    told = answer.json()
    if "rows" not in form:
        assert list(told) == ["outputs"]
        return np.array(told["outputs"]["logits"])
    assert list(told) == ["predictions"]
    return np.array([row["logits"] for row in told["predictions"]])


def by_grpc(address, case):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = case.model, case.signature
    if case.version is not None:
        request.model_spec.version.value = case.version
    name = "image_bytes" if case.signature == "serving_bytes" else "image"
    request.inputs[name].CopyFrom(tf.make_tensor_proto(case.values))
    with grpc.insecure_channel(address.grpc) as channel:
        try:
            reply = PredictionServiceStub(channel).Predict(request, timeout=60)
        except grpc.RpcError as error:
            return next(status for status, code in CODES.items() if code == error.code().name)
    assert (reply.model_spec.name, reply.model_spec.version.value) == (NAME, 1)
    assert reply.outputs.keys() == {"logits", "probabilities", "classes"}
    return tf.make_ndarray(reply.outputs["logits"])


@pytest.mark.parametrize("form", ["rows", "named rows", "columns", "named columns", "grpc"])
@pytest.mark.parametrize("name", CASES)
def test_conformance(address, expected, name, form):
    case = CASES[name]
    if form == "grpc" and not address.grpc:
        pytest.skip("an ONNX file is served over REST alone")
    if not address.grpc and case.signature == "serving_uint8":
        pytest.skip("an ONNX file has no signature for uint8")
    answer = by_grpc(address, case) if form == "grpc" else by_rest(address, case, form)
    if case.refused:
        assert answer in case.refused
    else:
        assert_close(answer, expected[: len(case.values)])


def test_conformance_status_and_metadata(http, address):
    url = f"http://{address.rest}/v1/models/{NAME}"
    versions = http.get(url).json()["model_version_status"]
    assert versions == [{"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}]
    assert http.get(f"{url}/versions/1").json()["model_version_status"] == versions
    told = http.get(f"{url}/metadata").json()
    assert (told["model_spec"]["name"], told["model_spec"]["version"]) == (NAME, "1")
    signature = told["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"]["image"]["dtype"] == "DT_FLOAT"
    sizes = [dim["size"] for dim in signature["inputs"]["image"]["tensor_shape"]["dim"]]
    assert sizes == ["-1", str(SIZE), str(SIZE), "3"]
    assert {name: output["dtype"] for name, output in signature["outputs"].items()} == {
        "logits": "DT_FLOAT", "probabilities": "DT_FLOAT", "classes": "DT_INT64"}  # fmt: skip


def test_conformance_status_and_metadata_over_grpc(address):
    if not address.grpc:
        pytest.skip("an ONNX file is served over REST alone")
    with grpc.insecure_channel(address.grpc) as channel:
        asked = get_model_status_pb2.GetModelStatusRequest()
        asked.model_spec.name = NAME
        (version,) = ModelServiceStub(channel).GetModelStatus(asked, timeout=60).model_version_status
        assert (version.version, version.state) == (1, get_model_status_pb2.ModelVersionStatus.AVAILABLE)

        asked = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        asked.model_spec.name = NAME
        reply, found = PredictionServiceStub(channel).GetModelMetadata(asked), get_model_metadata_pb2.SignatureDefMap()
        assert reply.metadata["signature_def"].Unpack(found)
        image = found.signature_def["serving_default"].inputs["image"]
        assert (image.dtype, [dim.size for dim in image.tensor_shape.dim]) == (1, [-1, SIZE, SIZE, 3])


def test_conformance_grpc_returns_the_outputs_that_are_asked_for(address):
    if not address.grpc:
        pytest.skip("an ONNX file is served over REST alone")
    request = predict_pb2.PredictRequest(output_filter=["classes"])
    request.model_spec.name = NAME
    request.inputs["image"].CopyFrom(tf.make_tensor_proto(pixels(2).astype("float32")))
    with grpc.insecure_channel(address.grpc) as channel:
        assert PredictionServiceStub(channel).Predict(request).outputs.keys() == {"classes"}


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
    listening = [
        c.laddr for c in psutil.Process(server.process.pid).net_connections("inet") if c.status == psutil.CONN_LISTEN
    ]
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


# what it refuses


def png_of_size(width, height):
    """A PNG whose header promises many pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [header, b"IDAT" + zlib.compress(b"\0")]
    packed = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def head(length):
    """The first lines of a predict request."""
    fields = ("Host: localhost", "Content-Type: application/json", f"Content-Length: {length}")
    return "\r\n".join([f"POST {PREDICT} HTTP/1.1", *fields, "", ""]).encode()


def instances(values, signature="serving_default"):
    return {"body": {"instances": values, "signature_name": signature}}


def picture(content):
    return instances([content if isinstance(content, dict) else b64(content)], "serving_bytes")


def with_value(value):
    image = rows(1)
    image[0][2][3][1] = value
    return image


GIF = encoded(pixels(1)[0], "GIF")
PREDICT = f"/v1/models/{NAME}:predict"
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


# hostile bytes


def rest_of(connection):
    """What still comes until the server closes."""
    received = b""
    try:
        while part := connection.recv(4096):
            received += part
    except ConnectionResetError:
        pass
    return received


def memory_of(server):
    return psutil.Process(server.process.pid).memory_info().rss


HOSTILE = hostile()  # what a server with the default limits receives


@pytest.fixture(scope="module")
def open_server(bases):
    with served(bases["savedmodel"]) as server:
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
def test_connections_that_owe_the_rest_lock_nobody_out(http, server, name):
    host, port = server.url.removeprefix("http://").split(":")
    silent = []
    try:
        for _ in range(700):
            silent.append(socket.create_connection((host, int(port)), timeout=10))
            silent[-1].sendall(OWING[name])
        assert http.post(f"{server.url}{PREDICT}", json={"instances": rows()}).status_code == 200
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


@pytest.mark.parametrize("sent", [b"", b"POST / HT", head(99) + b"{"], ids=["silence", "half a line", "half a body"])
def test_a_connection_that_does_not_go_on_is_closed(bases, sent):
    with (
        with_limits(bases["onnx"], "gate.HEADER_SECONDS = gate.BODY_SECONDS = 0.5") as port,
        socket.create_connection(("127.0.0.1", port), timeout=20) as connection,
    ):
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
        ([tmp_path / "missing"], "expected an .onnx file, or a folder with <number>/saved_model.pb"),
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
