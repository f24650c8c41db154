"""Files answer in what the network was trained for: classes, labels or numbers; the same in every format."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_mgnet import MgNet, export
from support.numerics import randomize

FORMATS = ("savedmodel", "onnx", "tflite_int8")
IMAGES = np.random.default_rng(0).normal(size=(16, 8, 8, 1)).astype("float32")


def of_labels():
    """The network of the report: multi-hot labels, five of them."""
    model = MgNet((1, 1), 8, input_shape=(8, 8, 1), classes=5, name="tags")
    model.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True))
    return randomize(model)


def around(head):
    backbone = randomize(MgNet((1,), 4, input_shape=(8, 8, 1), include_top=False, pooling="avg"))
    return keras.Sequential([keras.Input((8, 8, 1)), backbone, head], name="tags")


def with_sigmoids():
    return around(layers.Dense(5, "sigmoid"))


def binary():
    return around(layers.Dense(1, "sigmoid"))


def probabilities_of_keras(model):
    outputs = keras.ops.convert_to_numpy(model(IMAGES, training=False))
    return 1 / (1 + np.exp(-outputs)) if isinstance(model, MgNet) else outputs


@pytest.mark.parametrize("build", [of_labels, with_sigmoids, binary])
def test_labels_have_probabilities_of_their_own(build, tmp_path):
    model = build()
    expected = probabilities_of_keras(model)
    truth = (expected > 0.5).astype("int64")
    formats = FORMATS if build is of_labels else ("onnx",)
    reports = export.export_formats(model, tmp_path, formats, samples=IMAGES, labels=truth)
    for report in reports:
        outputs = export.open_artifact(report.path)(IMAGES)
        assert sorted(outputs) == ["labels", "logits", "probabilities"]
        np.testing.assert_array_equal(outputs["labels"], outputs["logits"] > 0)
        assert report.keras_accuracy == 1 and report.accuracy > 0.8
        if report.precision == "float32":
            np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-5)
            np.testing.assert_array_equal(outputs["labels"], truth)


def test_numbers_are_returned_as_they_are(tmp_path):
    model = around(layers.Dense(2))
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match="expected answers='softmax' for exclusive classes"):
        export.onnx(model, tmp_path / "m.onnx")
    for kept in (model, around(layers.Dense(2, "softmax"))):
        outputs = export.open_artifact(export.onnx(kept, tmp_path / "m.onnx", answers="none"))(IMAGES)
        np.testing.assert_allclose(outputs.pop("outputs"), kept(IMAGES), atol=1e-5)
        assert outputs == {}
    export.export_model(model, tmp_path / "card", ["onnx"], answers="none")
    assert list(export.check_card(tmp_path / "card" / "card.json")["outputs"]) == ["outputs"]
    with pytest.raises(ValueError, match="expected None as labels"):
        export.verify(model, tmp_path / "m.onnx", IMAGES, answers="none", labels=np.zeros(16, int))


def test_a_file_that_answers_for_classes_is_no_file_of_labels(tmp_path):
    model = of_labels()
    path = export.onnx(model, tmp_path / "m.onnx", answers="softmax")
    with pytest.raises(ValueError, match=r"to return logits, probabilities, labels. Received: .*classes"):
        export.verify(model, path, IMAGES)
