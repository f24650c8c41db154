"""The explorer: what it writes and serves."""

import gzip
import http.client
import json
import shutil
import urllib.error
import urllib.request

import numpy as np
import onnxruntime
import pytest

from keras_mgnet.analysis.intercept import levels as levels_of
from keras_mgnet.analysis.states import STEPPING, iterates, residuals_of
from keras_mgnet.explorer import runtime
from keras_mgnet.explorer.bundle import MANIFEST, write_page
from keras_mgnet.explorer.ink import ink_of
from keras_mgnet.explorer.trace import traced
from keras_mgnet.export.servable import Servable
from keras_mgnet.export.to_onnx import converted
from keras_mgnet.layers import ResidualCorrection
from keras_mgnet.training.data import dataset as data
from keras_mgnet.training.runs.run import open_run
from support import catalogue, slow_unless
from support.command import invoked

GRID = (ResidualCorrection,)
FAST = ("mgnet", "vcycle_mgnet", "lm_resnet14", "revnet")


@pytest.mark.parametrize("name", slow_unless(FAST, catalogue.ONE_PER_FAMILY))
def test_a_traced_network_answers_with_its_states(name):
    model = catalogue.build(name)
    servable = Servable(model)
    images = servable.images()
    serve, levels = traced(servable)
    answers = serve(images)
    np.testing.assert_allclose(answers["logits"], model(images, training=False), atol=1e-5)
    expected = {}
    for symbol, kinds, states in [("u", GRID, iterates), ("x", STEPPING, iterates), ("r", GRID, residuals_of)]:
        own = {level.name for level in levels_of(model, *kinds)}
        if own:
            expected |= {(level, symbol): found for level, found in next(states(model, images)).items() if level in own}
    for level in levels:
        for row in level.rows:
            states = [answers[output] for output in row.outputs]
            assert all(len(state.shape) == 4 for state in states)
            known = expected.get((level.name, row.symbol), states)[: len(states)]  # a cycle's r go on upwards
            for state, same in zip(states, known, strict=True):
                np.testing.assert_allclose(state, same, atol=1e-5)
    proto = converted(serve)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    assert {output.name for output in session.get_outputs()} == set(answers)


def test_the_manifest_tells_what_the_page_shows(runs, page_folder):
    told = json.loads((page_folder / MANIFEST).read_text())
    assert [network["name"] for network in told["networks"]] == ["mgnet", "resnet"]
    assert [sample["label"] for sample in told["samples"]] == list("0123456789")
    mgnet, resnet = told["networks"]
    assert mgnet["accuracy"] == runs[0].record["result"]["last_test_accuracy"] > 0.9
    first, second = mgnet["levels"]
    assert [(row["symbol"], row["first"], len(row["outputs"])) for row in first["rows"]] == [("u", 1, 2), ("r", 0, 3)]
    assert [(row["symbol"], row["first"], len(row["outputs"])) for row in second["rows"]] == [("u", 0, 3), ("r", 0, 3)]
    assert [(row["symbol"], row["first"]) for level in resnet["levels"] for row in level["rows"]] == [
        ("x", 0),
        ("x", 1),
    ]
    for network in told["networks"]:
        assert (page_folder / network["file"]).stat().st_size == network["bytes"]


def test_an_older_page_is_replaced_and_another_folder_is_not(runs, the_runtime, tmp_path):
    out = tmp_path / "explored"
    out.mkdir()
    for name in (MANIFEST, "left"):
        (out / name).touch()
    assert write_page(runs[1:], out).networks == 1
    assert json.loads((out / MANIFEST).read_text())["networks"][0]["name"] == "resnet" and not (out / "left").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").touch()
    with pytest.raises(ValueError, match="expected a new or empty folder, or one with an older page"):
        write_page(runs, tmp_path / "other")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["mine.txt"]
    with pytest.raises(ValueError, match="expected different runs"):
        write_page([*runs, runs[0]], tmp_path / "twice")
    assert not (tmp_path / "twice").exists()


def test_runs_of_one_name_are_told_apart_by_their_folders(runs, the_runtime, tmp_path):
    for folder in ("a", "b"):
        shutil.copytree(runs[1].path, tmp_path / folder / "run")
    page = write_page([open_run(tmp_path / folder / "run") for folder in ("a", "b")], tmp_path / "page").path
    told = json.loads((page / MANIFEST).read_text())["networks"]
    assert [network["name"] for network in told] == ["a/run", "b/run"]


def test_a_run_whose_data_set_was_moved_shows_the_images_that_it_keeps(runs, the_runtime, tmp_path):
    shutil.copytree(runs[1].path, tmp_path / "run")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    record["config"]["dataset"] = f"npz:{tmp_path}/moved.npz"
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    with pytest.warns(UserWarning, match="no such file"):
        page = write_page([open_run(tmp_path / "run")], tmp_path / "page").path
    (network,) = json.loads((page / MANIFEST).read_text())["networks"]
    assert len(list((page / "samples").iterdir())) == 10 and 0.8 < network["ink"]["size"] <= 1


def test_a_network_that_disagrees_with_keras_leaves_no_page(runs, the_runtime, tmp_path, monkeypatch):
    monkeypatch.setattr("keras_mgnet.explorer.bundle.converted", lambda serve: wrong(converted(serve)))
    with pytest.raises(ValueError, match="expected"):
        write_page(runs, tmp_path / "explored")
    assert list(tmp_path.iterdir()) == []


def wrong(proto):
    """The same network with one weight doubled."""
    largest = max(proto.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    largest.raw_data = (2 * np.frombuffer(largest.raw_data, "float32")).tobytes()
    return proto


def test_drawings_are_told_from_photographs():
    digits = data.load("digits").test.images
    assert 0.8 < ink_of(digits)["size"] <= 1
    assert ink_of(255 - digits) is None
    assert ink_of(np.repeat(digits, 3, -1)) is None
    assert ink_of(np.zeros((2, 8, 8, 1), "uint8")) is None
    noise = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1)).astype("uint8")
    assert ink_of(noise) is None


def test_the_runtime_is_the_version_whose_digest_is_known(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match=r"with its sha512\. Received: 3 other bytes"):
        runtime.unpack(b"bad", tmp_path)
    with pytest.raises(ImportError, match=r"python -m keras_mgnet\.explorer\.runtime"):
        runtime.installed()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9")
    with pytest.raises(OSError, match="refused"):
        runtime.fetch()


def test_a_changed_file_of_the_runtime_is_refused_and_fetched_again(the_runtime, tmp_path, monkeypatch):
    for file in the_runtime:
        shutil.copy(file, tmp_path)
    monkeypatch.setattr(runtime, "FOLDER", tmp_path)
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9")
    assert sorted(runtime.installed()) == sorted(tmp_path.iterdir()) and len(runtime.fetch()) == 3
    (tmp_path / "ort.wasm.min.mjs").write_text("changed")
    with pytest.raises(ImportError, match=r"fetches it\. Received: no intact ort\.wasm\.min\.mjs"):
        runtime.installed()
    with pytest.raises(OSError, match="refused"):
        runtime.fetch()


KINDS = {
    "": "text/html",
    "main.js": "text/javascript",
    "onnxruntime-web/ort-wasm-simd-threaded.wasm": "application/wasm",
}


def test_the_server_gives_files_with_their_types_and_nothing_else(url):
    for path, kind in KINDS.items():
        with urllib.request.urlopen(url + path) as answer:
            assert answer.headers["Content-Type"] == kind and answer.headers["X-Content-Type-Options"] == "nosniff"
    for path in ("samples/", "../runs", "%2e%2e/%2e%2e/etc/passwd", "%00"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(url + path)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(urllib.request.Request(url + MANIFEST, headers={"Host": "evil.example"}))


ACCEPTED = {
    "gzip, deflate, br": True,
    "br;q=1.0, gzip;q=0.5": True,
    "*": True,
    "gzip;q=0": False,
    "br": False,
    None: False,
}


@pytest.mark.parametrize("accepted", ACCEPTED)
def test_files_are_sent_compressed_to_those_who_take_it(accepted, url, page_folder):
    name = "onnxruntime-web/ort-wasm-simd-threaded.wasm"
    whole = (page_folder / name).read_bytes()
    headers = {} if accepted is None else {"Accept-Encoding": accepted}
    with urllib.request.urlopen(urllib.request.Request(url + name, headers=headers)) as answer:
        content = answer.read()
        assert answer.headers["Content-Type"] == "application/wasm" and answer.headers["Vary"] == "Accept-Encoding"
        assert (answer.headers["Content-Encoding"] == "gzip") == ACCEPTED[accepted]
    if ACCEPTED[accepted]:
        assert len(content) < len(whole) / 3
        content = gzip.decompress(content)
    assert content == whole


def test_pictures_and_refusals_are_sent_as_they_are(url):
    connection = http.client.HTTPConnection(url.removeprefix("http://").rstrip("/"))  # one connection for all
    for path, host, status, encoding in (
        ("main.js", None, 200, "gzip"),
        ("samples/0.png", None, 200, None),
        ("main.js", "evil.example", 403, None),
    ):
        connection.request("GET", f"/{path}", headers={"Accept-Encoding": "gzip"} | ({"Host": host} if host else {}))
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, answer.headers["Content-Encoding"]) == (status, encoding)
    connection.close()


def test_the_command_writes_the_page(runs, the_runtime, tmp_path):
    said = invoked(["explore", runs[0].path, "--no-serve", "--out", tmp_path / "out"]).stdout
    assert (tmp_path / "out" / "index.html").is_file()
    assert said.startswith(f"wrote {tmp_path / 'out'}: 1 network, 10 test images, 14.") and "open http" not in said


def test_bad_requests_are_told_before_anything_is_computed(runs, url, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    assert "expected a run directory" in refused("explore", "nowhere")
    port = url.rstrip("/").rpartition(":")[2]
    assert f"expected a free port. Received: {port}" in refused("explore", runs[0].path, "--port", port)
    assert list(tmp_path.iterdir()) == []
