"""One list of cases over REST and gRPC, answered as TensorFlow Serving answers.

The cases also run against a TensorFlow Serving that KERAS_MGNET_TF_SERVING names:

    python tests/support/served.py served
    docker run --rm -p 127.0.0.1:8501:8501 -p 127.0.0.1:8500:8500 -v $PWD/served/tiny:/models/tiny -e MODEL_NAME=tiny \\
        tensorflow/serving:2.21.0
    KERAS_MGNET_TF_SERVING=127.0.0.1:8501,127.0.0.1:8500 python -m pytest tests/serving/test_conformance.py
"""

import os
from dataclasses import dataclass

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from support.numerics import assert_close
from support.rest import EMBEDDED, JPEG, b64
from support.served import NAME, SIZE, encoded, pixels

TF_SERVING = os.environ.get("KERAS_MGNET_TF_SERVING")


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
