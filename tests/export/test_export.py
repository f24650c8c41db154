"""Artifacts compute what Keras computes, store every shared kernel once, and appear whole or not at all."""

import importlib
import json
import os
import shutil
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest

import keras_mgnet
from keras_mgnet import MgNet, export, files
from keras_mgnet.export import comparison, metadata
from keras_mgnet.export.onnx_quantization import BATCH_SIZE, _Batches
from keras_mgnet.export.servable import Servable
from support import catalogue, slow_unless
from support.numerics import assert_close, randomize

FORMATS = ("savedmodel", "tflite", "onnx")
FAST = (  # with an operation each that no network of test_sharing has
    "mgnet_softmax_gelu",
    "resnext11",
    "densenet_10",
    "highway_conv",
    "revnet",
)
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
NAMES = ["cat", "dog", "fish"]

every_format = pytest.mark.parametrize("format", FORMATS)


def tiny(nu=(1,), **overrides):
    return randomize(MgNet(nu, 4, input_shape=(8, 8, 3), classes=3, **overrides))


def write(format, model, out, **options):
    """Exports to what `export_formats` would call it, and returns the path."""
    row = export.FORMATS[format]
    return row.export(model, out / row.target.format(name=model.name), **options)


def pixels(n, size=8):
    return np.random.default_rng(3).integers(0, 256, (n, size, size, 3)).astype("uint8")


def log_softmax(logits):
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


@pytest.fixture(scope="module")
def normalized(tmp_path_factory):
    """A model, and its artifact with normalisation and class names in every format."""
    model, out = tiny((2, 2)), tmp_path_factory.mktemp("normalized")
    reports = export.export_formats(
        model, out, FORMATS, class_names=NAMES, normalization=(MEAN, STD), samples=pixels(6)
    )
    return model, {report.format: report for report in reports}


# what artifacts compute


@every_format
@pytest.mark.parametrize("n", [1, 5])
def test_normalizes_pixels_and_gives_three_outputs(normalized, format, n):
    model, reports = normalized
    images = pixels(n)
    x = (images / np.float32(255) - np.float32(MEAN)) / np.float32(STD)
    expected = keras.ops.convert_to_numpy(model(x, training=False))

    outputs = export.open_artifact(reports[format].path)(images)

    assert set(outputs) == {"logits", "probabilities", "classes"}
    assert_close(outputs["logits"], expected)
    np.testing.assert_allclose(outputs["probabilities"], np.exp(log_softmax(expected)), atol=1e-5)
    np.testing.assert_array_equal(outputs["classes"], expected.argmax(-1))
    assert outputs["classes"].dtype == np.int64


@pytest.mark.parametrize("name", slow_unless(FAST, catalogue.MODELS))
def test_every_model_as_a_file(name, images, tmp_path):
    """As SavedModels, they are in test_to_savedmodel."""
    model = randomize(catalogue.build(name))
    x = images(model, 3)
    expected = keras.ops.convert_to_numpy(model(x, training=False))
    kind = "logits" if model.get_config()["classifier_activation"] is None else "probabilities"
    for format in ("tflite", "onnx"):
        assert_close(export.open_artifact(write(format, model, tmp_path))(x)[kind], expected, err_msg=format)


def test_a_softmax_model_gives_logits_where_its_probabilities_underflow(tmp_path):
    model = tiny(classifier_activation="softmax")
    model.get_layer("classifier").bias.assign([0.0, 500.0, -500.0])
    outputs = export.open_artifact(export.onnx(model, tmp_path / "m.onnx"))(pixels(2) / 255)
    np.testing.assert_array_equal(outputs["probabilities"], [[0, 1, 0]] * 2)
    np.testing.assert_allclose(outputs["logits"], [[0, 500, -500]] * 2, atol=100)


@every_format
@pytest.mark.parametrize("dtype", slow_unless(["mixed_bfloat16"], ["mixed_bfloat16", "mixed_float16", "float64"]))
def test_other_precisions_are_exported_in_float32(format, dtype, images, tmp_path):
    model = tiny(dtype=dtype)
    twin = tiny()
    twin.set_weights(model.get_weights())
    x = images(model, 2)
    outputs = export.open_artifact(write(format, model, tmp_path))(x)
    assert_close(outputs["logits"], twin(x, training=False))


@every_format
def test_any_image_size(format, tmp_path):
    model = randomize(MgNet((1, 1), 4, input_shape=(None, None, 3)))
    run = export.open_artifact(write(format, model, tmp_path))
    for size in (8, 11):
        x = pixels(2, size) / np.float32(255)
        assert_close(run(x)["logits"], model(x, training=False))


@pytest.mark.parametrize("activation", slow_unless(["celu"], ["celu", "selu", "silu", "softplus", "hard_silu", "mish"]))
def test_onnx_has_the_activations_of_keras(activation, tmp_path):
    export.onnx(MgNet((1,), 4, input_shape=(8, 8, 3), activation=activation), tmp_path / "m.onnx")


# what artifacts hold


@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_shared_kernels_are_stored_once(format, tmp_path):
    """A converter that folds norms into kernels stores nu copies of B."""
    sizes = {}
    for nu in (2, 4):
        model = randomize(MgNet((nu,), 32, input_shape=(8, 8, 3), name=f"nu{nu}"))
        sizes[nu] = write(format, model, tmp_path).stat().st_size
    assert sizes[4] <= 1.1 * 4 * keras_mgnet.count_params(model) + 100_000
    assert sizes[4] - sizes[2] < 4 * 3 * 3 * 32 * 32


def test_tflite_needs_built_in_operations_only(normalized):
    from ai_edge_litert import schema_py_generated as schema

    flatbuffer = schema.Model.GetRootAs(normalized[1]["tflite"].path.read_bytes())
    codes = [flatbuffer.OperatorCodes(i) for i in range(flatbuffer.OperatorCodesLength())]
    assert codes
    assert all(code.CustomCode() is None for code in codes)


@pytest.mark.parametrize("opset", [13, 18])
def test_onnx_is_valid_and_names_its_axes(opset, tmp_path):
    import onnx

    graph = onnx.load(str(export.onnx(tiny(), tmp_path / "m.onnx", opset=opset)))
    onnx.checker.check_model(graph, full_check=True)
    assert {entry.domain: entry.version for entry in graph.opset_import}[""] == opset

    ends = {tensor.name: tensor.type.tensor_type.shape.dim for tensor in (*graph.graph.input, *graph.graph.output)}
    shapes = {name: tuple(dim.dim_param or dim.dim_value for dim in dims) for name, dims in ends.items()}
    scores = ("batch", 3)
    assert shapes == {"image": ("batch", 8, 8, 3), "logits": scores, "probabilities": scores, "classes": ("batch",)}


@every_format
def test_metadata_travels(normalized, format):
    told = export.read_metadata(normalized[1][format].path)
    assert told == {
        "producer": f"keras_mgnet {keras_mgnet.__version__}",
        "class_names": NAMES,
        "applied_normalization": {"mean": list(MEAN), "std": list(STD)},
        "input_range": [0, 255],
    }


def test_class_names_are_where_others_look_for_them(normalized):
    import onnx

    reports = normalized[1]
    assert (reports["savedmodel"].path / "assets" / "class_names.txt").read_text().splitlines() == NAMES
    entries = {entry.key: entry.value for entry in onnx.load(str(reports["onnx"].path)).metadata_props}
    assert json.loads(entries["class_names"]) == NAMES


def test_files_of_others_say_nothing(normalized, tmp_path):
    import onnx

    proto = onnx.load(str(normalized[1]["onnx"].path))
    del proto.metadata_props[:]
    onnx.save(proto, str(tmp_path / "m.onnx"))
    version = shutil.copytree(normalized[1]["savedmodel"].path, tmp_path / "1")
    (version / metadata.ASSET).unlink()
    assert export.read_metadata(tmp_path / "m.onnx") == export.read_metadata(version) == {}


@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_damaged_files_are_named(normalized, format, tmp_path):
    whole, path = normalized[1][format].path.read_bytes(), tmp_path / f"m.{format}"
    rng = np.random.default_rng(0)
    begun = bytearray(whole)
    begun[:200] = rng.integers(0, 256, 200).astype("uint8").tobytes()
    for content in (b"", b"no model", whole[:100], whole[: len(whole) // 2], bytes(begun)):
        path.write_bytes(content)
        for read in (export.open_artifact, export.read_metadata):
            with pytest.raises(ValueError, match=f"expected an undamaged file or folder. Received: '{path}'"):
                read(path)


def test_a_damaged_asset_is_named(normalized, tmp_path):
    version = shutil.copytree(normalized[1]["savedmodel"].path, tmp_path / "1")
    (version / metadata.ASSET).write_text("{")
    with pytest.raises(ValueError, match="expected an undamaged file or folder"):
        export.read_metadata(version)


def test_artifacts_hold_no_path_of_the_machine_that_wrote_them(normalized):
    for report in normalized[1].values():
        files = [report.path] if report.path.is_file() else [f for f in report.path.rglob("*") if f.is_file()]
        for file in files:
            assert str(report.path.parent).encode() not in file.read_bytes(), file


# reports


def test_reports_say_what_was_measured(normalized):
    model, reports = normalized
    assert list(reports) == list(FORMATS)
    assert reports["savedmodel"].path.parts[-2:] == (model.name, "1")
    assert reports["onnx"].path.name == f"{model.name}.onnx"
    assert reports["onnx"].size_bytes == reports["onnx"].path.stat().st_size
    assert reports["savedmodel"].size_bytes > (reports["savedmodel"].path / "saved_model.pb").stat().st_size
    for report in reports.values():
        assert report.samples == 6
        assert report.agreement == 1
        assert report.max_difference < 1e-4
        assert report.latency_ms > 0


@every_format
def test_verify_finds_another_model(normalized, format):
    path = normalized[1][format].path
    with pytest.raises(ValueError, match=r"give Keras' logits within .* Received: "):
        export.verify(randomize(tiny(), seed=9), path, pixels(2), normalization=(MEAN, STD))
    with pytest.raises(ValueError, match="Received: nan"):
        export.verify(normalized[0], path, np.full((1, 8, 8, 3), np.nan), normalization=(MEAN, STD))


def test_samples_beyond_one_batch(normalized, monkeypatch):
    monkeypatch.setattr(comparison, "BATCH_SIZE", 2)
    model, reports = normalized
    report = export.verify(model, reports["tflite"].path, pixels(5), normalization=(MEAN, STD))
    assert (report.samples, report.agreement) == (5, 1)


# whole or not at all


@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_existing_files_are_replaced(format, tmp_path):
    model = tiny()
    path = tmp_path / f"{model.name}.{format}"
    path.write_text("before")
    assert write(format, model, tmp_path) == path
    assert path.read_bytes() != b"before"
    assert list(tmp_path.iterdir()) == [path]


@every_format
def test_a_failing_verification_leaves_nothing(format, tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "TOLERANCE", -1.0)
    with pytest.raises(ValueError, match="give Keras' logits"):
        write(format, tiny(), tmp_path / "new" / "folder")
    assert list(tmp_path.iterdir()) == []


def test_a_failing_export_keeps_the_existing_file(tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "TOLERANCE", -1.0)
    path = tmp_path / "m.onnx"
    path.write_text("before")
    with pytest.raises(ValueError, match="give Keras' logits"):
        export.onnx(tiny(), path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@every_format
def test_unwritable_targets_are_found_before_the_conversion(format, tmp_path, monkeypatch):
    module = importlib.import_module(f"keras_mgnet.export.to_{format}")
    monkeypatch.setattr(module, "served_signatures", lambda servable: pytest.fail("converted"))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"expected a folder that can be written\. Received: .*file"):
        write(format, tiny(), tmp_path / "file")
    with pytest.raises(OSError, match=r"expected a folder that can be written\. Received: .*file"):
        write(format, tiny(), tmp_path / "file" / "below")

    def refuse(prefix, dir):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.tempfile, "mkdtemp", refuse)
    with pytest.raises(OSError, match="Permission denied"):
        write(format, tiny(), tmp_path / "new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("write, name", [(export.tflite, "m.tflite"), (export.onnx, "m.onnx")])
def test_a_file_target_is_no_folder_and_has_its_suffix(write, name, tmp_path):
    (tmp_path / name).mkdir()
    for target in (tmp_path / name, tmp_path / "m.bin"):
        with pytest.raises(ValueError, match=r"expected the path of a \.\w+ file\. Received: "):
            write(tiny(), target)


def test_a_workspace_keeps_what_others_wrote(tmp_path):
    with pytest.raises(KeyboardInterrupt), files.workspace(tmp_path / "a" / "b"):
        (tmp_path / "a" / "theirs").touch()
        raise KeyboardInterrupt
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["a", "a/theirs"]


def test_published_files_are_readable_by_the_same_people_as_others(normalized, tmp_path):
    file, version = (normalized[1][format].path for format in ("tflite", "savedmodel"))
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    assert file.stat().st_mode == (tmp_path / "file").stat().st_mode
    assert version.stat().st_mode == (tmp_path / "folder").stat().st_mode


# arguments


@pytest.mark.parametrize(
    "options, message",
    [
        ({"normalization": (0.5, 0.0)}, "std > 0"),
        ({"normalization": ((0.5, 0.5), (1.0, 1.0))}, "each one number or 3 of them"),
        ({"normalization": 0.5}, "expected normalization"),
        ({"normalization": (float("nan"), 1.0)}, "expected normalization"),
        ({"samples": np.zeros((2, 8, 8, 1))}, r"samples of the shape \('N', 8, 8, 3\)"),
        ({"samples": np.zeros((0, 8, 8, 3))}, "N >= 1"),
        ({"class_names": ["a", "b"]}, "3 lines of text"),
        ({"class_names": ["a", "b", "c\nd"]}, "3 lines of text"),
        ({"opset": 99}, r"opset between 13 and 18\. Received: opset=99"),
    ],
)
def test_arguments_that_do_not_fit(options, message, tmp_path):
    with pytest.raises(ValueError, match=message) as error:
        export.onnx(tiny(), tmp_path / "m.onnx", **options)
    assert "Received: " in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_unknown_names(tmp_path):
    with pytest.raises(ValueError, match="unknown quantization 'float61'; did you mean 'float16'"):
        export.tflite(tiny(), tmp_path / "m.tflite", quantize="float61")
    with pytest.raises(ValueError, match="unknown export format 'onxx'; did you mean 'onnx'"):
        export.export_formats(tiny(), tmp_path, ["tflite", "onxx"])
    for path in (tmp_path, tmp_path / "missing.onnx"):
        with pytest.raises(ValueError, match=r"saved_model\.pb or an existing \.tflite or \.onnx file\. Received: "):
            export.open_artifact(path)
        with pytest.raises(ValueError, match=r"saved_model\.pb or an existing \.tflite or \.onnx file\. Received: "):
            export.read_metadata(path)
    assert list(tmp_path.iterdir()) == []


def test_an_export_has_a_name_of_its_own(tmp_path):
    reports = export.export_formats(tiny(), tmp_path, ["savedmodel", "onnx"], name="pets.v2")
    assert [str(report.path.relative_to(tmp_path)) for report in reports] == ["pets.v2/1", "pets.v2.onnx"]
    assert 'name: "pets.v2"' in (tmp_path / "pets.v2" / "models.config").read_text()


@pytest.mark.parametrize("name", ["../pets", "a b", ".hidden", "a/b"])
def test_a_name_is_one_of_a_url(name, tmp_path):
    with pytest.raises(ValueError, match=r"expected name to be of letters, digits, .* Received: name="):
        export.export_formats(tiny(), tmp_path, FORMATS, name=name)
    assert list(tmp_path.iterdir()) == []


def test_onnx_is_calibrated_on_every_image():
    images = np.arange(2 * BATCH_SIZE + 3)
    feeds = _Batches(images)
    batches = list(iter(feeds.get_next, None))
    assert [len(batch["image"]) for batch in batches] == [BATCH_SIZE, BATCH_SIZE, 3]
    np.testing.assert_array_equal(np.concatenate([batch["image"] for batch in batches]), images)


@pytest.mark.parametrize("format", ["tflite_int8", "onnx_int8"])
def test_ranges_are_not_measured_on_random_images(format, tmp_path):
    with pytest.raises(ValueError, match="expected calibration or samples for quantize='int8'"):
        export.export_formats(tiny(), tmp_path, [format])
    assert list(tmp_path.iterdir()) == []


def test_at_most_256_images_measure_ranges_evenly_drawn():
    given = np.arange(1000, dtype="float32").reshape(-1, 1, 1, 1) * np.ones((8, 8, 3), "float32")
    drawn = Servable(tiny()).calibration("int8", given, None)[:, 0, 0, 0]
    np.testing.assert_array_equal(drawn, np.arange(0, 1000, 4))


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(ImportError, match=r"expected 'tf2onnx': install it with `pip install 'keras-mgnet\[export\]'`"):
        export.onnx(tiny(), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_no_product_is_computed_that_nobody_reads(tmp_path):
    """MgNet[2,2] needs 3 A, 4 B, Pi, R and the stem: the last residual is not among them."""
    import onnx

    model = MgNet((2, 2), 4, input_shape=(8, 8, 1))
    graph = onnx.load(export.onnx(model, tmp_path / "m.onnx")).graph
    groups = [attribute.i for node in graph.node if node.op_type == "Conv" for attribute in node.attribute
              if attribute.name == "group"]  # fmt: skip
    assert groups.count(1) == 10


# deployment


def test_files_run_without_tensorflow(normalized):
    paths = [str(normalized[1][format].path) for format in ("tflite", "onnx")]
    code = """
        import sys
        import numpy as np
        from keras_mgnet.export import open_artifact
        for path in sys.argv[1:]:
            print(open_artifact(path)(np.zeros((2, 8, 8, 3)))["classes"].shape)
        print("tensorflow" in sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *paths],
        env={**os.environ, "KERAS_BACKEND": "numpy"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["(2,)", "(2,)", "False"]
