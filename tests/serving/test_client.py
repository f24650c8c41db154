"""`keras-mgnet predict --server`: the client, against the embedded server and against servers that misbehave."""

import gzip
import json
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from keras_mgnet import MgNet, export
from keras_mgnet.cli import command_line
from keras_mgnet.images import decode
from keras_mgnet.serving import client
from keras_mgnet.serving.client import RemoteModel, classify
from support.numerics import randomize


def free_ports():
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


NAMES = ["cat", "dog", "fish"]
KERAS_MGNET = Path(sys.executable).with_name("keras-mgnet")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """A small network as ONNX file."""
    model = randomize(MgNet((1,), 4, input_shape=(8, 8, 3), classes=3))
    path = tmp_path_factory.mktemp("artifact") / "tiny.onnx"
    return export.onnx(model, path, class_names=NAMES, normalization=(0.5, 0.25))


@pytest.fixture(scope="module")
def server(artifact):
    """Its address in an embedded server."""
    rest, grpc = free_ports()
    words = [KERAS_MGNET, "serve", artifact, "--rest-port", rest, "--grpc-port", grpc, "--drain-seconds", 0]
    process = subprocess.Popen([str(w) for w in words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{rest}/v1/models/tiny"
        RemoteModel(address, retries=8)  # tries again until it is there
        yield address
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


def probabilities(artifact, pictures):
    """Returns those of the artifact itself, decoded here."""
    return export.open_artifact(artifact)(np.stack([decode(path, (8, 8), 3) for path in pictures]))["probabilities"]


@pytest.fixture(scope="module")
def expected(artifact, pictures):
    return probabilities(artifact, pictures)


def rows(predictions, names=NAMES):
    return np.array([[prediction["classes"][name] for name in names] for prediction in predictions])


def predict(*arguments):
    words = ["predict", *map(str, arguments)]
    result = CliRunner().invoke(command_line(words), words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


# what it answers


@pytest.mark.parametrize("signature", [None, "serving_default", "serving_bytes"])
@pytest.mark.parametrize("suffix", ["", "/versions/1"])
def test_rest_gives_what_the_artifact_gives(server, pictures, expected, signature, suffix):
    predictions = classify(RemoteModel(server + suffix), pictures, signature=signature)
    assert [prediction["image"] for prediction in predictions] == [str(path) for path in pictures]
    np.testing.assert_allclose(rows(predictions), expected, atol=1e-6)


@pytest.mark.parametrize("signature", ["serving_bytes", "serving_uint8", "serving_default"])
def test_a_savedmodel_too(savedmodel_server, bases, pictures, signature):
    model, expected = RemoteModel(savedmodel_server.model_url), probabilities(bases["savedmodel"] / "1", pictures)
    assert set(model.signatures) == {"serving_default", "serving_uint8", "serving_bytes"}  # not `features`
    found = rows(classify(model, pictures, signature=signature), "012")
    np.testing.assert_allclose(found, expected, atol=2e-2)  # resizes unrounded


def test_pixels_in_memory_are_asked_in_order(server):
    images = np.random.default_rng(3).integers(0, 256, (20, 8, 8, 3)).astype("float32")
    model = RemoteModel(server)
    together = model.probabilities(images, "serving_default")
    alone = [model.probabilities(images[i : i + 1], "serving_default")[0] for i in range(20)]
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_the_command_prints_what_it_prints_for_a_run(server, pictures, tmp_path):
    (tmp_path / "names.txt").write_text("\ufeffred\ngreen\nblue\n", encoding="utf-8")  # as editors of Windows do
    top = json.loads(predict("--server", server, pictures[0], "--json", "--top", 2))
    named = json.loads(predict(pictures[0], "--server", server, "--json", "--class-names", tmp_path / "names.txt"))
    table = predict("--server", server, *pictures)

    whole = json.loads(predict("--server", server, pictures[0].parent, "--json"))
    assert [Path(entry["image"]).name for entry in whole] == sorted(path.name for path in pictures)
    assert len(top[0]["classes"]) == 2 and top[0]["classes"].keys() <= set(NAMES)
    assert named[0]["classes"].keys() == {"red", "green", "blue"}
    assert list(named[0]["classes"].values())[:2] == list(top[0]["classes"].values())
    assert "probability" in table and table.count("\n") >= len(pictures) * len(NAMES)


def test_classes_without_names_are_numbers(server, pictures):
    model = RemoteModel(server)
    model.class_names = None
    (prediction,) = classify(model, pictures[:1])
    assert prediction["classes"].keys() == {"0", "1", "2"}


def test_it_loads_neither_tensorflow_nor_keras(server, pictures):
    code = (
        "import sys; from keras_mgnet.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print({'tensorflow', 'keras', 'jax', 'torch', 'grpc'} & {*sys.modules})"
    )
    words = [sys.executable, "-c", code, "predict", "--server", server, str(pictures[0])]
    result = subprocess.run(words, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "set()"


# what goes wrong


@contextmanager
def stub(answer):
    """Runs a REST server; `answer` maps a path to (status, body), bytes or JSON, to seconds of silence, or to what answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            said = answer(self.path)
            if isinstance(said, float):
                time.sleep(said)
                return
            if callable(said):
                said(self)
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
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))  # seconds between looks whether to stop
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


def drip(handler):
    """A byte every 0.1 s, for ever."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    with suppress(ConnectionError):
        while True:
            handler.wfile.write(b" ")
            time.sleep(0.1)


def drip_header(handler):
    with suppress(ConnectionError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.1)


def flood(handler):
    handler.send_response(200)
    handler.end_headers()
    with suppress(ConnectionError):
        for _ in range(1000):
            handler.wfile.write(b" " * 2**20)


BOMB = gzip.compress(b" " * 10**8)


def compressed(handler):
    """A bomb for a client that unpacks what it has not asked for."""
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.send_header("Content-Length", str(len(BOMB)))
    handler.end_headers()
    handler.wfile.write(BOMB)


def shaped(**changes):
    """A model's metadata, and how parts of it are told instead."""
    told = described()
    tensor = told["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]["image"]
    tensor["tensor_shape"] |= changes
    return told


ODD_METADATA = {
    "an array": [],
    "no metadata": {"model_spec": {}},
    "text": {"metadata": "none"},
    "signatures that are a list": {"metadata": {"signature_def": {"signature_def": ["serving_default"]}}},
    "a signature without inputs": {"metadata": {"signature_def": {"signature_def": {"x": {"outputs": {}}}}}},
    "an axis without length": shaped(dim=[{"name": ""}] * 4),
    "a length in words": shaped(dim=[{"size": "eight"}] * 4),
    "a length of 5000 digits": shaped(dim=[{"size": "9" * 5000}] * 4),
    "class names that are a number": {"metadata": described()["metadata"] | {"class_names": 3}},
}
OF_NO_IMAGES = {
    "an axis too few": shaped(dim=[{"size": "8"}] * 3),
    "images too large": shaped(dim=[{"size": "99999"}] * 4),
}


@pytest.mark.parametrize("name", [*ODD_METADATA, *OF_NO_IMAGES])
def test_odd_metadata_is_one_line(name, pictures, refused):
    with stub(lambda path: (200, (ODD_METADATA | OF_NO_IMAGES)[name])) as url:
        error = refused("predict", "--server", f"{url}/v1/models/m", pictures[0])
    assert ("expected signatures from" if name in ODD_METADATA else "expected a signature from images") in error, error


ODD_ANSWERS = {
    "no rows": {"predictions": []},
    "text": {"predictions": [{"probabilities": ["high", "low"]}]},
    "a number beyond floats": {"predictions": [{"probabilities": [10**400, 0]}]},
}


@pytest.mark.parametrize("name", ODD_ANSWERS)
def test_odd_probabilities_are_one_line(name, pictures, refused):
    with stub(lambda path: METADATA.get(path, (200, ODD_ANSWERS[name]))) as url:
        error = refused("predict", "--server", f"{url}/v1/models/m", pictures[0])
    assert "expected probabilities from" in error, error


def test_a_server_s_words_do_not_command_the_terminal(pictures, refused):
    names = ["\x1b[2Jcat", "[red]dog[/]", "fi\rsh"]
    told = {"metadata": described()["metadata"] | {"class_names": names}}
    row = {"predictions": [{"probabilities": [0.25, 0.5, 0.25]}]}
    with stub(lambda path: (200, told if path.endswith("metadata") else row)) as url:
        shown = predict("--server", f"{url}/v1/models/m", pictures[0])
    assert "[red]dog[/]" in shown and "\x1b" not in shown and "\r" not in shown
    with stub(lambda path: (400, {"error": "\x1b]0;owned\x07 [bold]no[/]"})) as url:
        error = refused("predict", "--server", f"{url}/v1/models/m", pictures[0])
    assert "]0;owned" in error and "[bold]no[/]" in error and error.isprintable()


METADATA = {"/v1/models/m/metadata": (200, described())}
STUBS = {
    "no JSON": (lambda path: (200, b"<html>"), "/v1/models/m", "expected signatures from .*/metadata. Received: 200 OK <html>"),
    "not a server of models": (lambda path: (404, b"nothing here"), "/x/v1/models/m", "/x/v1/models/m/metadata.* 404 Not Found"),
    "broken": (lambda path: (503, {"error": "loading\n  still"}), "/v1/models/m", "Received: 503 loading still$"),
    "no signatures": (lambda path: (200, {"metadata": {}}), "/v1/models/m", "expected signatures from"),
    "no images": (
        lambda path: (200, described(dtype="DT_INT64", sizes=(-1, 5))), "/v1/models/m", "expected a signature from images to prob"
    ),
    "refused": (
        lambda path: METADATA.get(path, (400, {"error": "image: bad"})), "/v1/models/m", ":predict. Received: 400 image: bad"
    ),
    "other outputs": (
        lambda path: METADATA.get(path, (200, {"predictions": [[0.1, 0.9]]})), "/v1/models/m", "expected probabilities from"
    ),
    "silent": (lambda path: 1.0, "/v1/models/m", "within 0.5 s. Received: none"),
    "an answer that drips": (lambda path: drip, "/v1/models/m", "within 0.5 s. Received: none"),
    "a header that drips": (lambda path: drip_header, "/v1/models/m", "within 0.5 s. Received: none"),
    "an endless answer": (lambda path: flood, "/v1/models/m", "expected at most 1000000 bytes from .*. Received: more"),
    "a compressed answer": (lambda path: compressed, "/v1/models/m", "expected signatures from .*. Received: 200 OK"),
}  # fmt: skip


@pytest.mark.parametrize("case", STUBS)
def test_a_server_s_trouble_is_one_line(case, pictures, refused, monkeypatch):
    monkeypatch.setattr(client, "MAX_ANSWER_BYTES", 10**6)
    answer, suffix, message = STUBS[case]
    with stub(answer) as url:
        error = refused("predict", "--server", url + suffix, "--timeout", "0.5", pictures[0])
    assert re.search(message, error), error


def test_nobody_there(pictures, refused):
    port, _ = free_ports()
    url = f"http://127.0.0.1:{port}/v1/models/m"
    error = refused("predict", "--server", url, pictures[0])
    assert f"expected a server at {url}" in error and "All connection attempts failed" in error


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8501/v1/models/m",
        "ftp://127.0.0.1/v1/models/m",
        "http:///v1/models/m",
        "http://127.0.0.1:8501",
        "http://127.0.0.1:99999/v1/models/m",
        "http://127.0.0.1:-1/v1/models/m",
        "http://127.0.0.1:8501/v1/models/m/versions/last",
    ],
)
def test_wrong_urls(url, pictures, refused):
    error = refused("predict", "--server", url, pictures[0])
    assert f"expected a model, http[s]://HOST:PORT/v1/models/NAME. Received: '{url}'" in error


def test_wrong_requests(server, pictures, tmp_path, refused):
    (tmp_path / "no.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (tmp_path / "cut.jpg").write_bytes(pictures[1].read_bytes()[:300])
    (tmp_path / "text.txt").write_text("text")
    (tmp_path / "names.txt").write_text("one\ntwo\n")
    latin = tmp_path / "latin.txt"
    latin.write_bytes("rot\ngrün\n".encode("latin-1"))
    for arguments, message in [
        (["--server", server, tmp_path / "no.png"], "Received: 400 'image_bytes[0]': expected an image, JPEG or PNG"),
        (["--server", server, tmp_path / "cut.jpg"], "Received: 400 'image_bytes"),
        (["--server", server, tmp_path / "text.txt"], f"expected a readable image. Received: '{tmp_path}/text.txt'"),
        (["--server", server, tmp_path / "none.png"], "No such file"),
        (["--server", server.replace("tiny", "tyni"), pictures[0]], "404 unknown model 'tyni'"),
        (["--server", f"{server}/versions/7", pictures[0]], "404 unknown version '7'"),
        (["--server", server, "--signature", "serving_byte", pictures[0]], "did you mean 'serving_bytes'"),
        (["--server", server, "--class-names", tmp_path / "names.txt", pictures[0]], "expected 3 class names"),
        (
            ["--server", server, "--class-names", latin, pictures[0]],
            f"expected text in UTF-8. Received: b'gr\\xfcn' in line 2 of '{latin}'",
        ),
        ([pictures[0]], "expected a run directory or an exported file, then image files"),
    ]:
        assert message in refused("predict", *arguments)


# what it sends


def test_what_a_server_may_not_decode_is_sent_as_png(server, tmp_path):
    smooth = np.add.outer(np.arange(8), np.arange(8)).astype("uint8")[..., None] * np.array([1, 10, 20], "uint8")
    for name in ("x.tiff", "x.png"):
        Image.fromarray(smooth).save(tmp_path / name)
    as_png, as_it_is = RemoteModel(server).probabilities([tmp_path / "x.tiff", tmp_path / "x.png"], "serving_bytes")
    np.testing.assert_allclose(as_png, as_it_is, atol=1e-6)
