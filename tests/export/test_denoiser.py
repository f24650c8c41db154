"""A denoiser as artifacts: images in, images out, of any size, in every format; judged by PSNR."""

import io
import json
import re

import keras
import numpy as np
import pytest
from rich.console import Console

from keras_mgnet import ReactionDiffusion, export
from keras_mgnet.cli.export import report_table
from keras_mgnet.export import comparison
from keras_mgnet.export.answers import IMAGES
from keras_mgnet.serving.engines import open_engine
from keras_mgnet.training.data.denoise import CleanImages
from support import slow_unless
from support.command import invoke
from support.denoising import train
from support.numerics import randomize

IMAGE = (None, None, None, 1)
FORMATS = (*export.FLOAT32, "tflite_int8", "onnx_int8")
every_format = pytest.mark.parametrize("format", export.FLOAT32)


def tiny(**overrides):
    return randomize(ReactionDiffusion(2, 3, **{"filters": 4, "functions": 21, "name": "tiny"} | overrides))


def noisy(n, height=12, width=10):
    """(noisy, clean) images, smooth ones under noise."""
    y, x = np.mgrid[:height, :width]
    clean = np.repeat((128 + 80 * np.sin(x / 4) * np.cos(y / 3))[None, ..., None], n, axis=0)
    return (clean + np.random.default_rng(1).normal(scale=25, size=clean.shape)).astype("float32"), clean


def psnr(images, clean):
    errors = ((np.asarray(images, "float64") - clean) ** 2).mean((1, 2, 3))
    return np.mean(20 * np.log10(255) - 10 * np.log10(errors))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model, its folder with artifacts and their card, and the reports by format."""
    model, out = ReactionDiffusion(2, 3, filters=4, functions=21, name="tiny"), tmp_path_factory.mktemp("denoiser")
    images, clean = noisy(6, 24, 24)
    reports = export.export_formats(model, out, FORMATS, samples=images, labels=clean)
    export.write_card(out, model, reports)
    return model, out, {report.format: report for report in reports}


@every_format
def test_images_of_any_size(exported, format):
    model, _, reports = exported
    run = export.open_artifact(reports[format].path)
    for shape in ((1, 24, 24), (3, 9, 17), (2, 2, 4)):
        x, _ = noisy(*shape)
        outputs = run(x)
        assert set(outputs) == {"denoised"}
        expected = keras.ops.convert_to_numpy(model(x))
        assert outputs["denoised"].shape == expected.shape and outputs["denoised"].dtype == np.float32
        np.testing.assert_allclose(outputs["denoised"], expected, atol=1e-3)


@every_format
def test_of_one_size_and_of_other_precisions(format, tmp_path):
    model, twin = tiny(input_shape=(12, 10, 1), dtype="mixed_bfloat16"), tiny()
    twin.set_weights(model.get_weights())
    row, (x, _) = export.FORMATS[format], noisy(3)
    path = row.export(model, tmp_path / row.target.format(name=model.name))
    expected = keras.ops.convert_to_numpy(twin(x))
    np.testing.assert_allclose(export.open_artifact(path)(x)["denoised"], expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("format", slow_unless(["tflite"], export.FLOAT32))
def test_several_scales_of_any_size(format, tmp_path):
    """In TFLite the coarsening and its adjoint read one kernel, which equals its own adjoint."""
    model, row = tiny(scales=2), export.FORMATS[format]
    run = export.open_artifact(row.export(model, tmp_path / row.target.format(name=model.name)))
    for shape in ((1, 12, 10), (2, 9, 7), (1, 3, 4)):
        x, _ = noisy(*shape)
        np.testing.assert_allclose(run(x)["denoised"], keras.ops.convert_to_numpy(model(x)), rtol=1e-4, atol=1e-2)


def test_quality_is_psnr_and_falls_little_in_eight_bits(exported):
    model, _, reports = exported
    images, clean = noisy(6, 24, 24)
    expected = psnr(model(images), clean)
    for format, report in reports.items():
        values = export.open_artifact(report.path)(images)["denoised"]
        assert report.keras_psnr == pytest.approx(expected, abs=1e-4)
        assert report.psnr == pytest.approx(psnr(values, clean), abs=1e-4)
        assert report.drop == pytest.approx(report.keras_psnr - report.psnr)
        assert abs(report.drop) < (1e-4 if format in export.FLOAT32 else 0.5)
        assert report.accuracy is report.keras_accuracy is None
        same = np.rint(values) == np.rint(keras.ops.convert_to_numpy(model(images)))
        assert report.agreement == pytest.approx(same.mean(), abs=2e-3)
    assert reports["tflite_int8"].precision == reports["onnx_int8"].precision == "int8"
    assert export.verify(model, reports["onnx"].path, images).drop is None


def test_another_model_is_found(exported):
    model, _, reports = exported
    images, _ = noisy(2)
    other = ReactionDiffusion(2, 3, filters=4, functions=21)
    other.set_weights([20 * weight for weight in model.get_weights()])
    with pytest.raises(ValueError, match="give Keras' denoised within"):
        export.verify(other, reports["onnx"].path, images)
    with pytest.raises(ValueError, match="of their spread"):
        export.verify(other, reports["tflite_int8"].path, images)


def test_an_answer_of_another_shape_is_found(exported, monkeypatch):
    """Its difference would broadcast to zero."""
    model, _, reports = exported
    real = comparison.open_artifact
    monkeypatch.setattr(
        comparison, "open_artifact", lambda path: lambda x: {"denoised": real(path)(x)["denoised"][None]}
    )
    with pytest.raises(ValueError, match=r"to give denoised \(2, 12, 10, 1\)\. Received: \(1, 2, 12, 10, 1\)"):
        export.verify(model, reports["onnx"].path, noisy(2)[0])


def test_a_savedmodel_is_served_in_several_sizes(exported):
    engine = open_engine(exported[2]["savedmodel"].path)
    assert {name: set(signature.outputs) for name, signature in engine.signatures.items()} == {
        "serving_default": {"denoised"},
        "serving_uint8": {"denoised"},
    }
    for shape in ((1, 16, 9), (2, 30, 20)):
        pixels = noisy(*shape)[0].clip(0, 255).astype("uint8")
        outputs = [
            engine.run(name, pixels.astype(signature.input.dtype))["denoised"]
            for name, signature in engine.signatures.items()
        ]
        np.testing.assert_allclose(outputs[0], keras.ops.convert_to_numpy(exported[0](pixels)), atol=1e-3)
        np.testing.assert_array_equal(*outputs)


def test_an_onnx_file_names_its_axes_and_is_served(exported):
    path = exported[2]["onnx"].path
    signature = open_engine(path).signatures["serving_default"]
    assert signature.input.shape == signature.outputs["denoised"].shape == IMAGE
    import onnx

    graph = onnx.load(str(path)).graph
    for tensor in (*graph.input, *graph.output):
        axes = tensor.type.tensor_type.shape.dim
        assert [axis.dim_param or axis.dim_value for axis in axes] == ["batch", "height", "width", 1]


def test_the_card_speaks_of_psnr_and_its_lines_run(exported, monkeypatch):
    model, out, reports = exported
    card, text = export.check_card(out / "card.json"), (out / "card.md").read_text()
    assert card["outputs"] == IMAGES.outputs and card["input"]["shape"] == ["N", None, None, 1]
    assert {artifact["psnr"] for artifact in card["artifacts"]} == {report.psnr for report in reports.values()}
    assert f"drop: PSNR of Keras ({reports['onnx'].keras_psnr:.2f} dB) minus" in text and "ccuracy" not in text
    assert "grey values 0..255" in text
    monkeypatch.chdir(out)
    images = noisy(2)[0]
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)[:2]:
        scope = {"images": images}
        exec(block, scope)  # our own file
        np.testing.assert_allclose(scope["denoised"], keras.ops.convert_to_numpy(model(images)), atol=1e-3)


def test_the_table_speaks_of_psnr(exported):
    stream = io.StringIO()
    Console(file=stream, width=200).print(report_table(list(exported[2].values())))
    assert "PSNR" in stream.getvalue() and " dB" in stream.getvalue() and "accuracy" not in stream.getvalue()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"normalization": (0.0, 1 / 255)}, "normalization=None for grey values"),
        ({"class_names": ["clean"]}, "class_names to be 0 lines"),
        ({"samples": np.zeros((2, 8, 8, 3))}, r"samples of the shape \('N', None, None, 1\)"),
        ({"quantize": "int8"}, "expected calibration or samples"),
    ],
)
def test_arguments_that_do_not_fit(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export.onnx(tiny(), tmp_path / "m.onnx", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("labels", [[0, 1], np.zeros((2, 12, 10)), np.full((2, 12, 10, 1), np.nan)])
def test_images_to_compare_with_that_do_not_fit(exported, labels):
    with pytest.raises(ValueError, match=r"expected images \(2, 12, 10, 1\) of finite numbers as labels"):
        export.verify(exported[0], exported[2]["onnx"].path, noisy(2)[0], labels=labels)


def test_squares_are_the_middles_of_the_test_images():
    images = tuple(np.arange(h * w, dtype=np.uint8).reshape(h, w) for h, w in ((9, 12), (14, 8)))
    data = CleanImages("two", images, images, sigma=5.0, patch_size=4)
    for side, size in ((6, 6), (100, 8)):
        given, clean = data.test_squares(side)
        assert given.shape == clean.shape == (2, size, size, 1)
        for i, (h, w) in enumerate(((9, 12), (14, 8))):
            middle = np.s_[:, (h - size) // 2 :, (w - size) // 2 :]
            for part, whole in zip((given, clean), data.test_pair(i), strict=True):
                np.testing.assert_array_equal(part[i], whole[middle][0, :size, :size])


def test_at_most_so_many_squares_are_compared():
    greys = tuple(np.full((8, 8), value, np.uint8) for value in (10, 20, 30, 40))
    data = CleanImages("four", greys, greys, sigma=0.0, patch_size=4)
    drawn = data.export_images(compared=3, calibrating=2)
    assert len(drawn["samples"]) == 3
    np.testing.assert_array_equal(drawn["samples"], drawn["labels"])
    assert drawn["calibration"].shape == (2, 4, 4, 1)


def test_a_run_is_exported(folder, tmp_path):
    small = {"stages": 2, "filter_size": 3, "filters": 4, "functions": 21}
    run = train(folder, tmp_path / "run", epochs=1, set=small)
    output = invoke("export", run.path, "--format", "onnx", "tflite_int8", "--out", tmp_path / "out")
    assert "PSNR" in output and "class" not in output
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert [artifact["format"] for artifact in card["artifacts"]] == ["onnx", "tflite_int8"]
    assert card["training"]["result"]["last_test_psnr"] == run.record["result"]["last_test_psnr"]
    assert f"test PSNR {run.record['result']['last_test_psnr']:.2f} dB" in (tmp_path / "out" / "card.md").read_text()
