"""A folder of several formats with its card, in one call."""

import numpy as np
import pytest

from keras_mgnet import MgNet, export
from support.numerics import randomize

RECORD = {"weights": "w.npz", "sha256": "0"}


@pytest.fixture(scope="module")
def model():
    return randomize(MgNet((1,), 4, input_shape=(8, 8, 1), classes=3, name="tiny"))


def test_files_reports_and_card_say_the_same(model, tmp_path):
    images, names = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1)).astype("float32"), ["a", "b", "c"]
    about = {"class_names": names, "normalization": (0.5, 0.25), "samples": images, "labels": np.arange(6) % 3}
    reports = export.export_model(model, tmp_path, ["tflite", "onnx"], name="pets", record=RECORD, **about)
    assert [(report.format, report.path.name) for report in reports] == [
        ("tflite", "pets.tflite"),
        ("onnx", "pets.onnx"),
    ]
    card = export.check_card(tmp_path / "card.json")
    assert (card["classes"], card["training"], card["input"]["range"]) == (names, RECORD, [0, 255])
    for artifact, report in zip(card["artifacts"], reports, strict=True):
        assert artifact["samples"] == 6 and artifact["accuracy"] == report.accuracy is not None
    assert export.read_metadata(tmp_path / "pets.onnx")["class_names"] == names


@pytest.mark.parametrize(
    ("formats", "name", "message"),
    [(["tflite", "onxx"], None, "did you mean 'onnx'"), (["tflite"], "a/b", "expected name")],
)
def test_what_cannot_be_exported_leaves_nothing(formats, name, message, model, tmp_path):
    with pytest.raises(ValueError, match=message):
        export.export_model(model, tmp_path, formats, name=name)
    assert not list(tmp_path.iterdir())
