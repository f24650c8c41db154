"""`keras-mgnet predict --server`: the client, against the embedded server and against servers that misbehave.

TensorFlow Serving cannot run here. `PredictionDouble` stands for its gRPC service, with its own protocol messages in front
of a real SavedModel, and `stub` for REST servers that answer whatever a test says. All else is the embedded server.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import numpy as np
import pytest
import yaml
from conftest import ROOT, randomize
from pages import blocks
from PIL import Image
from test_launch import free_ports
from typer.testing import CliRunner

from keras_mgnet import MgNet, export
from keras_mgnet.cli import command_line
from keras_mgnet.serving import client, grpc_client
from keras_mgnet.serving.client import classify, connect
from keras_mgnet.serving.image_input import ImageInput
from keras_mgnet.serving.launch import CURL
from keras_mgnet.training.images import decode

NAMES = ["cat", "dog", "fish"]
KERAS_MGNET = Path(sys.executable).with_name("keras-mgnet")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """One small network as ONNX file and as SavedModel."""
    folder = tmp_path_factory.mktemp("artifacts")
    model = randomize(MgNet((1,), 4, input_shape=(8, 8, 3), classes=3))
    options = {"class_names": NAMES, "normalization": (0.5, 0.25)}
    return export.onnx(model, folder / "tiny.onnx", **options), export.savedmodel(model, folder / "saved", **options)


@pytest.fixture(scope="module")
def servers(artifacts):
    """The REST and the gRPC address of the embedded server with the ONNX file."""
    rest, ports = free_ports()
    words = [KERAS_MGNET, "serve", artifacts[0], "--with", "embedded", "--rest-port", rest, "--grpc-port", ports]
    process = subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with connect(f"http://127.0.0.1:{rest}", retries=8):  # tries again until it is there
            yield f"http://127.0.0.1:{rest}", f"grpc://127.0.0.1:{ports}"
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 0


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Image files of several sizes, colours and formats."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    shapes = {
        "exact.png": (8, 8, 3),
        "large.jpg": (40, 30, 3),
        "grey.png": (9, 9),
        "other.webp": (12, 8, 3),
        "x.bmp": (8, 9, 3),
    }
    for name, shape in shapes.items():
        Image.fromarray(rng.integers(0, 256, shape).astype("uint8")).save(folder / name)
    return [folder / name for name in shapes]


@pytest.fixture(scope="module")
def expected(artifacts, pictures):
    """The probabilities of the pictures by the artifact itself, decoded here."""
    return export.open_artifact(artifacts[0])(np.stack([decode(path, (8, 8), 3) for path in pictures]))["probabilities"]


def rows(predictions, names=NAMES):
    return np.array([[prediction["classes"][name] for name in names] for prediction in predictions])


def predict(*arguments):
    words = ["predict", *map(str, arguments)]
    result = CliRunner().invoke(command_line(words), words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


# what it answers


@pytest.mark.parametrize("signature", [None, "serving_default", "serving_bytes"])
@pytest.mark.parametrize("suffix", ["", "/v1/models/tiny", "/v1/models/tiny/versions/1:predict"])
def test_rest_gives_what_the_artifact_gives(servers, pictures, expected, signature, suffix):
    with connect(servers[0] + suffix) as model:
        predictions = classify(model, pictures, signature=signature)
    assert [prediction["image"] for prediction in predictions] == [str(path) for path in pictures]
    np.testing.assert_allclose(rows(predictions), expected, atol=2e-2)  # the server resizes without rounding
    np.testing.assert_allclose(rows(predictions)[0], expected[0], atol=1e-6)  # of the model's own size


def test_grpc_gives_what_the_artifact_gives(servers, pictures, expected):
    with connect(f"{servers[1]}/tiny") as model:
        assert list(model.signatures) == ["serving_default"]  # all that the protocol tells
        predictions = classify(model, pictures, class_names=NAMES)
    np.testing.assert_allclose(rows(predictions), expected, atol=1e-6)


def test_the_command_prints_what_it_prints_for_a_run(servers, pictures, tmp_path):
    (tmp_path / "names.txt").write_text("red\ngreen\nblue\n")
    top = json.loads(predict("--server", servers[0], pictures[0], "--json", "--top", 2))
    named = json.loads(predict(pictures[0], "--server", servers[0], "--json", "--class-names", tmp_path / "names.txt"))
    table = predict("--server", servers[0], *pictures)

    assert len(top[0]["classes"]) == 2 and top[0]["classes"].keys() <= set(NAMES)
    assert named[0]["classes"].keys() == {"red", "green", "blue"}
    assert list(named[0]["classes"].values())[:2] == list(top[0]["classes"].values())
    assert "probability" in table and table.count("\n") >= len(pictures) * len(NAMES)


def test_classes_without_names_are_numbers(servers, pictures):
    (prediction,) = json.loads(predict("--server", servers[1], "--name", "tiny", pictures[0], "--json"))
    assert prediction["classes"].keys() == {"0", "1", "2"}


def test_it_loads_neither_tensorflow_nor_keras(servers, pictures):
    code = (
        "import sys; from keras_mgnet.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print({'tensorflow', 'keras', 'jax', 'torch', 'kserve'} & {*sys.modules})"
    )
    for server, loaded in [(servers[0], "set()"), (f"{servers[1]}/tiny", "{'kserve'}")]:
        words = [sys.executable, "-c", code, "predict", "--server", server, str(pictures[0])]
        result = subprocess.run(words, capture_output=True, text=True, check=True)
        assert result.stdout.splitlines()[-1] == loaded


class PredictionDouble:
    """TensorFlow Serving's PredictionService, as far as the client asks it, over one SavedModel."""

    def __init__(self, folder):
        import tensorflow as tf
        from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2

        self._tf, self._metadata, self._predict = tf, get_model_metadata_pb2, predict_pb2
        self._loaded = tf.saved_model.load(str(folder))
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:  # as a server reads the definitions
            self._definitions = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(folder)).signature_def

    def GetModelMetadata(self, request, context):
        if request.model_spec.name != "saved":
            context.abort(
                grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Latest({request.model_spec.name})"
            )
        reply, definitions = self._metadata.GetModelMetadataResponse(), self._metadata.SignatureDefMap()
        for name, definition in self._definitions.items():
            definitions.signature_def[name].CopyFrom(definition)
        reply.metadata["signature_def"].Pack(definitions)
        return reply

    def Predict(self, request, context):
        function = self._loaded.signatures[request.model_spec.signature_name]
        inputs = {name: self._tf.constant(self._tf.make_ndarray(proto)) for name, proto in request.inputs.items()}
        try:
            outputs = function(**inputs)
        except self._tf.errors.InvalidArgumentError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
        reply = self._predict.PredictResponse()
        for name in request.output_filter:
            reply.outputs[name].CopyFrom(self._tf.make_tensor_proto(outputs[name].numpy()))
        return reply


def prediction_server(folder, port):
    from tensorflow_serving.apis.prediction_service_pb2_grpc import add_PredictionServiceServicer_to_server

    double = PredictionDouble(folder)
    for method in ("Classify", "Regress", "MultiInference"):
        setattr(double, method, None)
    server = grpc.server(ThreadPoolExecutor(2))
    add_PredictionServiceServicer_to_server(double, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server


@pytest.fixture(scope="module")
def prediction_service(artifacts):
    port, _ = free_ports()
    server = prediction_server(artifacts[1], port)
    yield f"grpc://127.0.0.1:{port}"
    server.stop(0).wait()


@pytest.mark.parametrize("signature", ["serving_bytes", "serving_uint8", "serving_default"])
def test_the_prediction_service_is_asked_where_kserve_s_protocol_is_unknown(
    prediction_service, pictures, expected, signature
):
    with connect(f"{prediction_service}/saved") as model:
        assert set(model.signatures) == {"serving_default", "serving_uint8", "serving_bytes"}  # not `features`
        predictions = classify(model, pictures, signature=signature, class_names=NAMES)
    np.testing.assert_allclose(rows(predictions), expected, atol=2e-3)


# what goes wrong


@contextmanager
def stub(answer):
    """Runs a REST server; `answer` maps a path to (status, body), bytes or JSON, or to seconds of silence."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            said = answer(self.path)
            if isinstance(said, float):
                time.sleep(said)
                return
            status, body = said
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def tensor(dtype, *sizes):
    return {"dtype": dtype, "tensor_shape": {"dim": [{"size": str(size), "name": ""} for size in sizes]}, "name": "x:0"}


def described(input_name="image", dtype="DT_FLOAT", sizes=(-1, 8, 8, 3), output="probabilities"):
    definition = {"inputs": {input_name: tensor(dtype, *sizes)}, "outputs": {output: tensor("DT_FLOAT", -1, 3)}}
    return {
        "model_spec": {"name": "m"},
        "metadata": {"signature_def": {"signature_def": {"serving_default": definition}}},
    }


METADATA = {"/v1/models/m/metadata": (200, described())}
STUBS = {
    "no list of models": (lambda path: (404, {"error": "Not found"}), "", "--name NAME or at the end of the URL"),
    "several models": (lambda path: (200, {"models": ["a", "b"]}), "", "Received: .*, which has a, b"),
    "no JSON": (lambda path: (200, b"<html>"), "/v1/models/m", "expected JSON from GET .*/metadata. Received: 200 OK"),
    "not a server of models": (lambda path: (404, b"nothing here"), "/x/v1/models/m", "/x/v1/models/m/metadata.* 404 Not Found"),
    "broken": (lambda path: (503, {"error": "loading\n  still"}), "/v1/models/m", "Received: 503 loading still$"),
    "no signatures": (lambda path: (200, {"metadata": {}}), "/v1/models/m", "expected the signatures of a SavedModel"),
    "no images": (
        lambda path: (200, described(dtype="DT_INT64", sizes=(-1, 5))), "/v1/models/m", r"Received: \['serving_default'\]"
    ),
    "refused": (
        lambda path: METADATA.get(path, (400, {"error": "image: bad"})), "/v1/models/m", ":predict. Received: 400 image: bad"
    ),
    "other outputs": (
        lambda path: METADATA.get(path, (200, {"predictions": [[0.1, 0.9]]})), "/v1/models/m", "expected probabilities in each"
    ),
    "silent": (lambda path: 2.0, "/v1/models/m", "within 0.5 s. Received: none"),
}  # fmt: skip


@pytest.mark.parametrize("case", STUBS)
def test_a_server_s_trouble_is_one_line(case, pictures, refused):
    answer, suffix, message = STUBS[case]
    with stub(answer) as url:
        error = refused("predict", "--server", url + suffix, "--timeout", "0.5", pictures[0])
    assert re.search(message, error), error


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_nobody_there(scheme, pictures, refused):
    port, _ = free_ports()
    url = f"{scheme}://127.0.0.1:{port}/m"
    error = refused("predict", "--server", url, "--name", "m", pictures[0])
    assert f"expected a server at {url}" in error and "Connection refused" in error


def test_grpc_tries_again_until_a_server_is_there(artifacts, monkeypatch):
    port, _ = free_ports()
    servers = []

    def pause(seconds):
        servers.append(seconds)
        time.sleep(seconds)
        if len(servers) == 2:
            servers[:] = [prediction_server(artifacts[1], port)]

    monkeypatch.setattr(grpc_client, "pause", pause)
    with connect(f"grpc://127.0.0.1:{port}/saved", retries=4) as model:
        assert "serving_bytes" in model.signatures
    servers[0].stop(0).wait()


@pytest.mark.parametrize(
    ("server", "message"),
    [
        ("127.0.0.1:8501", "expected a server http://HOST:PORT"),
        ("ftp://127.0.0.1", "expected a server http://HOST:PORT"),
        ("http:///x", "expected a URL http://HOST:PORT"),
        ("grpc://127.0.0.1:1", "expected a URL grpc://HOST:PORT/NAME"),
    ],
)
def test_wrong_urls(server, message, pictures, refused):
    assert message in refused("predict", "--server", server, pictures[0])


def test_wrong_requests(servers, pictures, tmp_path, refused):
    (tmp_path / "no.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (tmp_path / "cut.jpg").write_bytes(pictures[1].read_bytes()[:300])
    (tmp_path / "text.txt").write_text("text")
    (tmp_path / "names.txt").write_text("one\ntwo\n")
    for arguments, message in [
        (
            ["--server", servers[0], tmp_path / "no.png"],
            "Received: 400 expected 'image_bytes[0]' to be a JPEG or PNG image",
        ),
        (["--server", servers[0], tmp_path / "cut.jpg"], "Received: 400 expected 'image_bytes[0]'"),
        (
            ["--server", servers[0], tmp_path / "text.txt"],
            f"expected a readable image. Received: '{tmp_path}/text.txt'",
        ),
        (["--server", servers[0], tmp_path / "none.png"], "No such file"),
        (["--server", servers[0], "--name", "tyni", pictures[0]], "404 unknown model 'tyni'"),
        (["--server", f"{servers[0]}/v1/models/tiny/versions/7", pictures[0]], "404 unknown version '7'"),
        (["--server", servers[0], "--signature", "serving_byte", pictures[0]], "did you mean 'serving_bytes'"),
        (["--server", servers[0], "--class-names", tmp_path / "names.txt", pictures[0]], "expected 3 class names"),
        (["--server", f"{servers[1]}/tyni", pictures[0]], "NOT_FOUND"),
        ([pictures[0]], "expected a run directory and image files"),
    ]:
        assert message in refused("predict", *arguments)


def test_the_prediction_service_refuses_in_one_line(prediction_service, pictures, tmp_path, refused):
    assert "NOT_FOUND Servable not found" in refused("predict", "--server", f"{prediction_service}/m", pictures[0])
    (tmp_path / "cut.jpg").write_bytes(pictures[1].read_bytes()[:300])
    assert "INVALID_ARGUMENT" in refused("predict", "--server", f"{prediction_service}/saved", tmp_path / "cut.jpg")


# how much it asks at a time


class Recorder:
    """A model that remembers its requests and tells images apart by their first byte or pixel."""

    class_names = None

    def __init__(self, expected):
        self.signatures, self.requests = {"s": expected}, []

    def probabilities(self, signature, images):
        self.requests.append(images)
        return np.array([[len(images), len(self.requests)]])[np.zeros(len(images), int)]


def noise(folder, sizes):
    rng = np.random.default_rng(0)
    paths = [folder / f"{index}.png" for index in range(len(sizes))]
    for path, (width, height) in zip(paths, sizes, strict=True):
        Image.fromarray(rng.integers(0, 256, (height, width, 3)).astype("uint8")).save(path)
    return paths


def test_requests_are_bounded_in_bytes_and_images(tmp_path, monkeypatch):
    monkeypatch.setattr(client, "MAX_REQUEST_BYTES", 6000)
    monkeypatch.setattr(client, "MAX_REQUEST_IMAGES", 5)
    paths = noise(tmp_path, [(10, 10)] * 12 + [(40, 40), (60, 60), (40, 40)])
    model = Recorder(ImageInput("image_bytes", "bytes", ()))
    predictions = classify(model, paths)

    assert [prediction["image"] for prediction in predictions] == [str(path) for path in paths]
    assert [len(request) for request in model.requests] == [5, 5, 2, 1, 1, 1]  # one that is too large goes alone
    sent = [image for request in model.requests for image in request]
    assert sent == [path.read_bytes() for path in paths]


def test_one_request_holds_no_more_pixels_than_a_server_decodes(tmp_path):
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path in paths:
        Image.new("L", (3000, 3000)).save(path)  # 9 million pixels in 9 kB
    model = Recorder(ImageInput("image_bytes", "bytes", ()))
    classify(model, paths)
    assert [len(request) for request in model.requests] == [1, 1, 1]


def test_pixels_of_different_sizes_go_in_requests_of_their_own(tmp_path):
    model = Recorder(ImageInput("image", "uint8", (None, None, 3)))
    classify(model, noise(tmp_path, [(4, 4), (4, 4), (5, 4), (4, 4)]))
    assert [np.shape(request) for request in model.requests] == [(2, 4, 4, 3), (1, 4, 5, 3), (1, 4, 4, 3)]


def test_what_a_server_may_not_decode_is_sent_as_png(tmp_path):
    grey = np.arange(30, dtype=np.uint8).reshape(5, 6)
    Image.fromarray(grey).save(tmp_path / "x.tiff")
    model = Recorder(ImageInput("image_bytes", "bytes", ()))
    classify(model, [tmp_path / "x.tiff"])
    (tmp_path / "sent.png").write_bytes(model.requests[0][0])
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "sent.png")), grey)


# what the documentation says


def test_the_printed_curl_line_works(servers, pictures, tmp_path):
    (tmp_path / "cat.jpg").write_bytes(pictures[1].read_bytes())
    line = CURL.format(url=f"{servers[0]}/v1/models/tiny")
    result = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True)
    (row,) = json.loads(result.stdout)["predictions"]
    assert row.keys() == {"logits", "probabilities", "classes"}


def test_the_python_of_the_documentation_runs(servers, prediction_service, pictures, tmp_path, monkeypatch, capsys):
    (tmp_path / "digit.png").write_bytes(pictures[0].read_bytes())
    monkeypatch.chdir(tmp_path)
    codes = [block.code.replace("http://127.0.0.1:8501", servers[0]) for block in blocks("docs/serving.md", "python")]
    for code in codes:
        code = code.replace("models/digits", "models/tiny").replace('"digits"', '"saved"')
        exec(code.replace("127.0.0.1:8500", prediction_service.removeprefix("grpc://")), {})  # our own file
    assert len(codes) == len(capsys.readouterr().out.splitlines()) == 3


def test_the_health_check_of_compose_works(servers):
    compose = yaml.safe_load((ROOT / "docs" / "deploy" / "compose.yaml").read_text())
    _, *command = next(iter(compose["services"].values()))["healthcheck"]["test"]
    port = servers[0].rpartition(":")[2]
    here = [word.replace("8501", port).replace("${NAME}", "tiny") for word in command]
    elsewhere = [word.replace("/models/tiny", "/models/other") for word in here]
    assert subprocess.run(here, env=os.environ).returncode == 0
    assert subprocess.run(elsewhere).returncode != 0
