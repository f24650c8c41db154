"""Networks of functions as artifacts: functions in, functions out, judged by the relative L2 error."""

import keras
import numpy as np
import pytest

from keras_mgnet import MgNO, adapt_normalizers, export
from keras_mgnet.export.answers import FUNCTIONS
from support import catalogue, slow_unless
from support.numerics import assert_close, randomize

FORMATS = (*export.FLOAT32, "tflite_int8", "onnx_int8")
MAPS = slow_unless(["mgno_odd_grids"], catalogue.MAPS)


def functions(shape, n=3):
    return np.random.default_rng(1).normal(size=(n, *shape)).astype("float32")


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("format", export.FLOAT32)
def test_every_network_as_a_file(name, format, tmp_path):
    model, row = randomize(catalogue.build(name)), export.FORMATS[format]
    x = functions(model.input_shape[1:])
    outputs = export.open_artifact(row.export(model, tmp_path / row.target.format(name=model.name)))(x)
    assert set(outputs) == {"function"}
    assert_close(outputs["function"], keras.ops.convert_to_numpy(model(x)))


@pytest.mark.parametrize("format", slow_unless(["tflite"], export.FLOAT32))
def test_a_file_answers_on_other_grids(format, tmp_path):
    model, row = randomize(MgNO(3, 1, ((1, 0), (1, 1), (1, 0)))), export.FORMATS[format]
    run = export.open_artifact(row.export(model, tmp_path / row.target.format(name=model.name)))
    for shape in ((8, 8, 1), (16, 12, 1)):
        x = functions(shape)
        assert_close(run(x)["function"], keras.ops.convert_to_numpy(model(x)))


def test_an_onnx_file_has_the_channels_of_its_outputs(tmp_path):
    model = randomize(MgNO(3, 1, ((1, 0), (1, 0)), input_shape=(8, 8, 3)))
    x = functions((8, 8, 3))
    found = export.open_artifact(export.onnx(model, tmp_path / "m.onnx"))(x)["function"]
    assert_close(found, keras.ops.convert_to_numpy(model(x)))


@pytest.mark.parametrize("format", slow_unless(["tflite_int8"], FORMATS))
def test_quality_is_the_relative_l2_error_also_in_few_bits(format, tmp_path):
    model = MgNO(3, 1, ((1, 0), (1, 0)), input_shape=(8, 8, 1), normalize_x="scalar", normalize_y="pointwise")
    x = 5 + functions((8, 8, 1), 12)
    truth = x + 2
    adapt_normalizers(model, x, truth)
    (report,) = reports = export.export_formats(model, tmp_path, (format,), samples=x, labels=truth)
    error = np.mean([np.linalg.norm(y - t) / np.linalg.norm(t) for y, t in zip(model(x).numpy(), truth, strict=True)])
    assert report.answer is FUNCTIONS and report.keras_l2 == pytest.approx(error, rel=1e-4)
    assert abs(report.drop) < 0.05 and report.accuracy is report.psnr is None
    export.write_card(tmp_path, model, reports)
    assert "relative L2 error" in (tmp_path / "card.md").read_text()


def test_answers_of_classes_are_refused(tmp_path):
    model = MgNO(3, 1, ((1, 0),), input_shape=(8, 8, 1))
    with pytest.raises(ValueError, match="expected answers=None for a network of functions"):
        export.onnx(model, tmp_path / "m.onnx", answers="softmax")
    with pytest.raises(ValueError, match=r"expected functions \(3, 8, 8, 'c'\) of finite numbers as labels"):
        export.export_formats(model, tmp_path, ("onnx",), samples=functions((8, 8, 1)), labels=np.arange(3))
