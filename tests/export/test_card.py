"""The model card says what lies in the folder, and finds what is no longer what was exported."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from keras_mgnet import MgNet, count_params, export
from keras_mgnet.export.card import summary
from keras_mgnet.export.verification import Report
from support import ROOT
from support.numerics import randomize

FORMATS = (*export.FLOAT32, "tflite_int8")
NAMES = ["cat", "dog", "fish"]
RECORD = {
    "created": "2026-01-01T00:00:00+00:00",
    "command": "keras-mgnet train pets",
    "config": {"dataset": "pets", "model": "mgnet", "epochs": 3, "out": None},
    "recipe": "xuteam",
    "checkpoint": "best",
    "data": {"train": 1200, "test": 300, "class_names": NAMES},
    "model": {"config": {}},
    "result": {
        "status": "finished",
        "epochs": 3,
        "last_test_accuracy": 0.75,
        "best_test_accuracy": 0.8,
        "best_epoch": 2,
    },
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    out = tmp_path_factory.mktemp("card")
    model = randomize(MgNet((2,), 4, input_shape=(8, 8, 3), classes=3))
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype("uint8")
    served = {"class_names": NAMES, "normalization": (0.5, 0.25)}
    reports = export.export_formats(model, out, FORMATS, samples=images, labels=np.arange(6) % 3, **served)
    return out, lambda: export.write_card(out, model, reports, record=RECORD, **served), model, images


@pytest.fixture
def card(exported):
    return exported[1]()


def test_the_card_lists_every_file_of_every_artifact(exported, card):
    out, _, model, _ = exported
    content = export.check_card(card)
    assert [artifact["format"] for artifact in content["artifacts"]] == list(FORMATS)
    listed = {name for artifact in content["artifacts"] for name in artifact["files"]}
    version = {file.relative_to(out).as_posix() for file in (out / "mgnet" / "1").rglob("*") if file.is_file()}
    assert listed == {"mgnet.tflite", "mgnet.onnx", "mgnet.int8.tflite", *version}
    for artifact in content["artifacts"]:
        assert artifact["size_bytes"] == sum(file["bytes"] for file in artifact["files"].values())
        assert artifact["size_ratio"] == pytest.approx(artifact["size_bytes"] / 4 / count_params(model))
    assert content["model"]["parameters"] == sum(level["params"] for level in content["model"]["levels"])
    assert content["training"]["config"]["dataset"] == "pets"
    assert {"keras", "tensorflow", "onnxruntime"} <= set(content["versions"])


def test_json_and_markdown_have_the_same_facts(card):
    content, text = json.loads(card.read_text()), card.with_name("card.md").read_text()
    for artifact in content["artifacts"]:
        row = next(line for line in text.splitlines() if f"| `{artifact['path']}` |" in line)
        assert f"{artifact['max_difference']:.1e}" in row
        assert f"{artifact['accuracy']:.2%}" in row
        assert all(digest["sha256"] in text for digest in artifact["files"].values())
        assert artifact["load"] in text
    facts = [
        "1,200 training and 300 test images",
        "test accuracy 75.00% (best test accuracy 80.00%, epoch 2)",
        "epochs=3",
    ]
    facts += [
        "Checkpoint: best",
        "drop: accuracy of Keras (",
        "keras-mgnet train pets",
        "0 cat, 1 dog, 2 fish",
        "xuteam",
        "level1",
        "((image / 255) - 0.5) / 0.25",
    ]
    assert [fact for fact in facts if fact not in text] == []
    assert "out=" not in text


def test_the_card_says_that_validation_images_chose_the_best_epoch(exported, card):
    out, _, model, _ = exported
    result = RECORD["result"] | {"best_validation_accuracy": 0.9}
    record = RECORD | {"data": RECORD["data"] | {"val": 120}, "result": result}
    reports = [Report("onnx", out / "mgnet.onnx", 4000, 1.25, "float32", 1e-6, 0.0, 1.0, 0.5, samples=8)]
    text = export.write_card(out, model, reports, record=record).with_name("card.md").read_text()
    assert "1,200 training, 120 validation and 300 test images" in text
    chosen = "test accuracy 75.00% (80.00% after the epoch with the best validation accuracy 90.00%, epoch 2)"
    assert chosen in text and "best test" not in text


def test_the_loading_lines_run(exported, card, monkeypatch):
    out, _, model, images = exported
    monkeypatch.chdir(out)
    expected = model((images / np.float32(255) - 0.5) / 0.25, training=False)
    blocks = re.findall(r"```python\n(.*?)```", card.with_name("card.md").read_text(), flags=re.DOTALL)
    assert len(blocks) == len(FORMATS)
    for block in blocks:
        assert len(block.strip().splitlines()) == 3
        scope = {"images": images.astype("float32")}
        exec(block, scope)  # our own file
        np.testing.assert_array_equal(scope["classes"], np.argmax(expected, -1))


def test_the_same_export_has_the_same_card(exported, card):
    before = {name: card.with_name(name).read_bytes() for name in ("card.json", "card.md")}
    exported[1]()
    assert {name: card.with_name(name).read_bytes() for name in before} == before


def change(out):
    path = out / "mgnet.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def shorten(out):
    path = out / "mgnet" / "1" / "saved_model.pb"
    path.write_bytes(path.read_bytes()[:-1])


def renamed(out, old, new):
    card = out / "card.json"
    card.write_text(card.read_text().replace(old, new))


DAMAGES = {
    "a changed bit": (change, "to be the file that was exported"),
    "a shorter file": (shorten, "to be the file that was exported"),
    "a missing file": (lambda out: (out / "mgnet.tflite").unlink(), "expected the file 'mgnet.tflite' next to"),
    "no card": (lambda out: (out / "card.json").write_text("[]"), r"expected a card\.json of an export"),
    "half a card": (lambda out: (out / "card.json").write_text('{"artifacts": [{'), r"expected a card\.json"),
    "an artifact without files": (
        lambda out: renamed(out, '"files": {', '"filed": {'),
        r"expected a card\.json of an export; export the model anew\. Received: .*\(artifacts\.0\.files: Field required\)",
    ),
    "a file elsewhere": (lambda out: renamed(out, "mgnet.onnx", "../../x"), r"expected the file '\.\./\.\./x' next to"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_damage_is_found(case, exported, card, tmp_path):
    damage, message = DAMAGES[case]
    copy = shutil.copytree(exported[0], tmp_path / "copy")
    export.check_card(copy / "card.json")
    damage(copy)
    with pytest.raises(ValueError, match=message):
        export.check_card(copy / "card.json")


def test_an_artifact_elsewhere_has_no_place_on_the_card(exported, tmp_path):
    _, _, model, images = exported
    report = export.verify(model, export.onnx(model, tmp_path / "m.onnx"), images / np.float32(255))
    with pytest.raises(ValueError, match="is not in the subpath of"):
        export.write_card(tmp_path / "other", model, [report])
    assert not (tmp_path / "other").exists()


def test_a_normalization_in_numpy_is_on_the_card_as_numbers(exported, tmp_path):
    _, _, model, images = exported
    arrays = np.array([[0.5] * 3, [0.25] * 3], "float32")
    reports = export.export_formats(model, tmp_path, ["onnx"], normalization=arrays, samples=images)
    content = json.loads(export.write_card(tmp_path, model, reports, normalization=arrays).read_text())
    assert content["input"]["normalization"] == {"mean": [0.5] * 3, "std": [0.25] * 3}


def test_a_quantised_file_of_equal_size_is_not_called_larger():
    report = export.Report("onnx", Path("m.onnx"), 1000, 1.0, "float32", 0.0, 0.0, 1.0, 1.0, samples=1)
    pair = [report, replace(report, format="onnx_int8")]
    assert "larger" not in summary(pair)[2] and "larger" in summary([pair[0], replace(pair[1], size_bytes=1001)])[2]


def test_names_that_are_their_numbers_are_not_repeated(tmp_path):
    model = MgNet((1,), 4, input_shape=(8, 8, 3), classes=3)
    reports = export.export_formats(model, tmp_path, ["onnx"])
    export.write_card(tmp_path, model, reports, class_names=["0", "one", "2"])
    assert "Classes: 0, 1 one, 2" in (tmp_path / "card.md").read_text()


def test_a_card_is_checked_without_keras(card):
    code = (
        "import sys; from keras_mgnet import export; export.check_card(sys.argv[1]); "
        "sys.exit(any(name in sys.modules for name in ('keras', 'tensorflow')))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(card)], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(("channels", "larger"), [(4, True), (64, False)])
def test_a_quantised_file_that_is_larger_is_named(channels, larger, images, tmp_path):
    model = MgNet((2,), channels, input_shape=(8, 8, 3), classes=3)
    reports = export.export_formats(model, tmp_path, ["onnx", "onnx_int8"], samples=images(model, 4))
    assert (reports[1].size_bytes > reports[0].size_bytes) == larger
    export.write_card(tmp_path, model, reports)
    for text in (summary(reports)[2], (tmp_path / "card.md").read_text()):
        assert ("onnx_int8 is larger than onnx: " in text) == larger
    assert "larger" not in summary(reports[1:])[2]  # nothing of its kind to compare with
