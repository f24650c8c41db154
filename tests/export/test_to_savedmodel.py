"""A SavedModel as TensorFlow Serving takes it: signatures, size, warm-up requests, configuration, versions."""

import io
import math
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from PIL import Image
from tensorflow.python.tools import saved_model_cli
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

import keras_mgnet
from keras_mgnet import MgNet, export, files
from keras_mgnet.export import comparison, tfserving
from keras_mgnet.export.decoding import decode_images
from keras_mgnet.images import decode
from keras_mgnet.serving.engines import SavedModelEngine
from support import catalogue, slow_unless
from support.numerics import assert_close, randomize

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
NAMES = ["cat", "dog", "fish"]
CONFIGS = ["batching.config", "models.config", "monitoring.config"]
SCORES = {"logits": ((None, 3), "float32"), "probabilities": ((None, 3), "float32"), "classes": ((None,), "int64")}
IMAGE = (None, 8, 8, 3)
FAST = ("mgnet", "vcycle_mgnet", "revnet")  # others are TFLite and ONNX files in test_export


def tiny(nu=(1,), **overrides):
    return randomize(MgNet(nu, 4, **{"input_shape": (8, 8, 3), "classes": 3} | overrides))


def pixels(*shape):
    """Random ones whose neighbours differ little, as JPEG likes them."""
    y, x = np.mgrid[: shape[-3], : shape[-2]]
    smooth = 127 + 90 * np.sin(x / 3) * np.cos(y / 4)
    noise = np.random.default_rng(3).normal(scale=12, size=shape)
    return np.clip(smooth[..., None] + noise, 0, 255).astype("uint8")


def encoded(image, suffix, **options):
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, suffix, **options)
    return buffer.getvalue()


def entries(folder):
    return sorted(entry.name for entry in folder.iterdir())


class Server:
    """A version opened as TensorFlow Serving opens it: a session, fed and fetched by what the signatures say."""

    def __init__(self, version):
        graph = tf.Graph()
        self.session = tf.compat.v1.Session(graph=graph)
        with graph.as_default():
            self.meta = tf.compat.v1.saved_model.loader.load(self.session, ["serve"], str(version))

    def __call__(self, signature, **inputs):
        definition = self.meta.signature_def[signature]
        fetches = {name: tensor.name for name, tensor in definition.outputs.items()}
        return self.session.run(fetches, {definition.inputs[name].name: value for name, value in inputs.items()})


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A model, its version folder, and that folder opened."""
    model, base = tiny((2, 2)), tmp_path_factory.mktemp("bases") / "digits"
    version = export.savedmodel(model, base, class_names=NAMES, normalization=(MEAN, STD), samples=pixels(4, 8, 8, 3))
    return model, version, tf.saved_model.load(str(version))


@pytest.fixture(scope="module", params=slow_unless(FAST, catalogue.MODELS))
def network(request, tmp_path_factory):
    """A model of the catalogue, its version folder, and that folder opened."""
    model = randomize(catalogue.build(request.param))
    version = export.savedmodel(model, tmp_path_factory.mktemp("network"))
    return model, version, tf.saved_model.load(str(version))


def declared(function):
    """Returns ({input: (shape, type)}, {output: (shape, type)})."""
    ends = function.structured_input_signature[1], function.structured_outputs
    return tuple({k: (tuple(spec.shape), spec.dtype.name) for k, spec in end.items()} for end in ends)


# signatures


def test_signatures_name_their_tensors(served):
    states = {f"level{i + 1}_{s}": ((None, 8 >> i, 8 >> i, 4), "float32") for i in range(2) for s in "ur"}
    assert {name: declared(function) for name, function in served[2].signatures.items()} == {
        "serving_default": ({"image": (IMAGE, "float32")}, SCORES),
        "serving_uint8": ({"image": (IMAGE, "uint8")}, SCORES),
        "serving_bytes": ({"image_bytes": ((None,), "string")}, SCORES),
        "features": ({"image": (IMAGE, "float32")}, states),
    }


@pytest.mark.parametrize("n", [1, 2, 7])
def test_signatures_agree(served, n):
    model, version, loaded = served
    images, server = pixels(n, 8, 8, 3), Server(version)
    x = (images / np.float32(255) - np.float32(MEAN)) / np.float32(STD)
    expected = keras.ops.convert_to_numpy(model(x, training=False))
    inputs = {
        "serving_default": {"image": images.astype("float32")},
        "serving_uint8": {"image": images},
        "serving_bytes": {"image_bytes": [encoded(image, "png") for image in images]},
    }
    for name, given in inputs.items():
        outputs = server(name, **given)
        assert_close(outputs["logits"], expected, err_msg=name)
        np.testing.assert_allclose(outputs["probabilities"], keras.ops.softmax(expected), atol=1e-5, err_msg=name)
        np.testing.assert_array_equal(outputs["classes"], expected.argmax(-1), err_msg=name)
        eager = loaded.signatures[name](**{key: tf.constant(value) for key, value in given.items()})
        np.testing.assert_allclose(eager["logits"], outputs["logits"], rtol=1e-5, atol=1e-5, err_msg=name)


def test_every_network_gives_what_keras_gives(network, images):
    model, _, loaded = network
    x = images(model, 3)
    kind = "logits" if model.get_config()["classifier_activation"] is None else "probabilities"
    assert_close(loaded.signatures["serving_default"](image=tf.constant(x))[kind], model(x, training=False))


def test_every_network_gives_the_state_of_its_levels(network, images):
    model, _, loaded = network
    x = images(model, 3)
    expected = {}
    for level, states in keras_mgnet.features(model)(x, training=False).items():
        if isinstance(states, (tuple, list)):
            expected[f"{level}_u"], expected[f"{level}_r"] = states
        else:
            expected[f"{level}_r"] = states

    outputs = loaded.signatures["features"](image=tf.constant(x))

    assert set(outputs) == set(expected)
    for state, value in expected.items():
        largest = np.abs(value).max()
        np.testing.assert_allclose(outputs[state], value, atol=1e-5 * max(1, largest), err_msg=state)


@pytest.mark.parametrize("shape", [(None, None, 3), (8, 8, 2)])
def test_no_files_where_the_model_does_not_say_what_to_make_of_them(shape, tmp_path):
    model = tiny(input_shape=shape)
    loaded = tf.saved_model.load(str(export.savedmodel(model, tmp_path)))
    assert set(loaded.signatures) == {"serving_default", "serving_uint8", "features"}
    image = np.ones((2, 9, 11, 3) if shape[0] is None else (2, *shape), "uint8")
    logits = loaded.signatures["serving_uint8"](image=tf.constant(image))["logits"]
    assert_close(logits, model(image.astype("float32"), training=False))


def test_scores_run_no_more_than_they_need(served):
    """The residual of the last level, which only `features` returns, costs a convolution."""
    server, metadata = Server(served[1]), tf.compat.v1.RunMetadata()
    definition = server.meta.signature_def["serving_default"]
    server.session.run(
        definition.outputs["logits"].name,
        {definition.inputs["image"].name: np.ones((1, 8, 8, 3), "float32")},
        tf.compat.v1.RunOptions(output_partition_graphs=True),
        metadata,
    )
    convolutions = sum("Conv2D" in node.op for graph in metadata.partition_graphs for node in graph.node)
    stem, level1, transfer, level2_without_its_last_product = 1, 4, 2, 3
    assert convolutions == stem + level1 + transfer + level2_without_its_last_product


# image files


MODES = {"RGB": 3, "L": 1, "RGBA": 4, "LA": 2}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode, suffix", [("RGB", "png"), ("L", "png"), ("RGBA", "png"), ("LA", "png"), ("RGB", "jpeg"),
                                          ("L", "jpeg")])  # fmt: skip
def test_files_are_decoded_as_pillow_does(mode, suffix, channels, tmp_path):
    file = tmp_path / f"image.{suffix}"
    for size, off_by_one in (((24, 20), 0), ((50, 41), 0.02), ((13, 9), 0.25)):
        image = Image.fromarray(pixels(*size, MODES[mode]).squeeze())
        file.write_bytes(encoded(image, suffix))
        expected = decode(file, size=(20, 24), channels=channels).astype("float32")
        (received,) = decode_images(tf.constant([file.read_bytes()]), (24, 20, channels)).numpy()
        difference = np.abs(received - expected)
        assert difference.max() <= 1
        assert np.mean(difference > 0) <= off_by_one, size


def test_palette_and_16_bit_files(tmp_path):
    colour = Image.fromarray(pixels(8, 8, 3))
    deep = Image.fromarray(pixels(8, 8, 1)[..., 0].astype("uint16") * 256 + 77)
    glass = colour.quantize(16)
    glass.info["transparency"] = 3
    for image in (colour.quantize(16), deep, glass):
        (tmp_path / "image.png").write_bytes(encoded(image, "png"))
        expected = decode(tmp_path / "image.png", channels=3)
        (received,) = decode_images(tf.constant([encoded(image, "png")]), (8, 8, 3)).numpy()
        np.testing.assert_array_equal(received, expected)


def test_one_request_may_mix_kinds_and_sizes(served):
    batch = [
        encoded(pixels(8, 8, 3), "png"),
        encoded(pixels(30, 17, 3), "jpeg", quality=90),
        encoded(pixels(5, 9, 1)[..., 0], "png"),
    ]
    serve = served[2].signatures["serving_bytes"]
    together = serve(image_bytes=tf.constant(batch))["logits"]
    alone = np.concatenate([serve(image_bytes=tf.constant([file]))["logits"] for file in batch])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    assert len(np.unique(alone[:, 0])) == len(batch)


PNG, JPEG = (encoded(pixels(40, 40, 3), suffix) for suffix in ("png", "jpeg"))


@pytest.mark.parametrize(
    "file, message",
    [
        (b"", "Input is empty"),
        (b"no image at all", "Unknown image file format"),
        (PNG[: len(PNG) // 2], "Invalid PNG data"),
        (JPEG[: len(JPEG) // 2], "Invalid JPEG data"),
        (PNG[:60] + b"xxxx" + PNG[64:], "Invalid PNG data"),
    ],
)
def test_corrupt_files_are_named_as_such(served, file, message):
    _, version, loaded = served
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        Server(version)("serving_bytes", image_bytes=[JPEG, file])
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        loaded.signatures["serving_bytes"](image_bytes=tf.constant([JPEG, file]))


# what lies in a version


def test_every_weight_is_stored_once_under_its_name(network):
    model, version, loaded = network
    for kind in ("", "trainable_", "non_trainable_"):
        held = [(v.name, v.shape.as_list()) for v in getattr(loaded, f"{kind}variables")]
        weights = getattr(model, f"{kind}weights")
        assert held == [(f"{weight.path}:0", list(weight.shape)) for weight in weights], kind
    stored = tf.train.list_variables(str(version / "variables" / "variables"))
    shapes = sorted(shape for key, shape in stored if "VARIABLE_VALUE" in key and "save_counter" not in key)
    assert shapes == sorted(list(weight.shape) for weight in model.weights)


@pytest.mark.parametrize("share_B", [True, False])
def test_the_variables_take_the_bytes_of_the_unique_weights(share_B, tmp_path):
    model = MgNet((3,), 64, input_shape=(8, 8, 3), share_B=share_B)
    (data,) = (export.savedmodel(model, tmp_path) / "variables").glob("*.data*")
    weights = sum(4 * math.prod(weight.shape) for weight in model.weights)
    assert weights <= data.stat().st_size <= weights + 40_000  # with the names of the objects that are saved


def test_a_shared_kernel_is_read_once(served):
    model, _, loaded = served
    functions = loaded.signatures["serving_default"].graph.as_graph_def().library.function
    reads = [sum(node.op == "ReadVariableOp" for node in function.node_def) for function in functions]
    assert max(reads) == len(model.weights)


# what Keras' guides do with a SavedModel


@pytest.fixture
def task(served):
    """A version, opened anew, images, and labels."""
    version = served[1]
    return version, tf.saved_model.load(str(version)), pixels(8, 8, 8, 3).astype("float32"), np.arange(8) % 3


def cross_entropy(logits, labels):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def test_serve_is_the_default_signature(task):
    _, loaded, images, _ = task
    np.testing.assert_array_equal(
        loaded.serve(images)["logits"], loaded.signatures["serving_default"](image=tf.constant(images))["logits"]
    )


def test_a_loaded_model_goes_on_learning(task):
    _, loaded, images, labels = task
    losses, before = [], [variable.numpy() for variable in loaded.variables]
    for _ in range(5):
        with tf.GradientTape() as tape:
            losses.append(cross_entropy(loaded.serve(images)["logits"], labels))
        gradients = tape.gradient(losses[-1], loaded.trainable_variables)
        for variable, gradient in zip(loaded.trainable_variables, gradients, strict=True):
            variable.assign_sub(0.01 * gradient)
    assert losses[0] > losses[1] > losses[-1]
    moved = [bool(np.any(v != old)) for v, old in zip(loaded.variables, before, strict=True)]
    assert moved == [v.trainable for v in loaded.variables]


def test_a_loaded_model_is_a_layer(task):
    version, loaded, images, labels = task
    frozen = loaded.serve(images)["logits"].numpy()
    layer = keras.layers.TFSMLayer(str(version), call_endpoint="serve")
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layer(image)["logits"])
    np.testing.assert_allclose(model(images), frozen, rtol=1e-5, atol=1e-5)
    model.compile(keras.optimizers.SGD(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    losses = model.fit(images, labels, epochs=4, batch_size=8, verbose=0).history["loss"]
    assert len(model.trainable_variables) == len(loaded.trainable_variables)
    assert losses[-1] < losses[0]


def test_later_training_does_not_reach_an_artifact(served, tmp_path):
    model = tiny()
    run = export.open_artifact(export.savedmodel(model, tmp_path))
    x = pixels(2, 8, 8, 3)
    before = run(x)["logits"]
    randomize(model, seed=9)
    np.testing.assert_array_equal(run(x)["logits"], before)


def test_saved_model_cli_shows_and_runs_it(served, tmp_path, monkeypatch, capsys):
    def cli(*words):
        monkeypatch.setattr(sys, "argv", ["saved_model_cli", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            saved_model_cli.main()
        assert not stop.value.code
        return capsys.readouterr().out

    where = ["--dir", served[1], "--tag_set", "serve", "--signature_def", "serving_uint8"]
    np.save(tmp_path / "image.npy", pixels(2, 8, 8, 3))
    shown = cli("show", "--dir", served[1], "--all")
    cli("run", *where, "--inputs", f"image={tmp_path / 'image.npy'}", "--outdir", tmp_path / "out")

    for name in ("serving_default", "serving_uint8", "serving_bytes", "features"):
        assert f"signature_def['{name}']" in shown
    assert shown.count("Method name is: tensorflow/serving/predict") == 4
    expected = served[2].signatures["serving_uint8"](image=tf.constant(pixels(2, 8, 8, 3)))
    np.testing.assert_allclose(np.load(tmp_path / "out" / "logits.npy"), expected["logits"], rtol=1e-5, atol=1e-5)


# what TensorFlow Serving reads


def requests_of(version):
    for record in tf.data.TFRecordDataset(str(version / tfserving.WARM_UP)).as_numpy_iterator():
        yield PredictionLog.FromString(record).predict_log.request


def parsed(tensor):
    """Returns a tensor as TensorFlow's C++ reads it, which the server does."""
    return tf.io.parse_tensor(tensor.SerializeToString(), tf.as_dtype(tensor.dtype)).numpy()


def test_warm_up_requests_are_answered(served):
    _, version, _ = served
    server, seen = Server(version), []
    for request in requests_of(version):
        assert request.model_spec.name == "digits"
        outputs = server(request.model_spec.signature_name, **{k: parsed(v) for k, v in request.inputs.items()})
        assert all(len(value) == 1 and np.isfinite(value).all() for value in outputs.values())
        seen.append(request.model_spec.signature_name)
    assert sorted(seen) == ["features", "serving_bytes", "serving_default", "serving_uint8"]


@pytest.mark.parametrize("level, pixel", [(100.0, 100), (-3.25, 0), (300.0, 255)])
def test_warm_up_images_have_the_mean_of_the_samples(level, pixel, tmp_path):
    version = export.savedmodel(tiny(), tmp_path, samples=np.full((2, 8, 8, 3), level))
    given = {r.model_spec.signature_name: parsed(*r.inputs.values()) for r in requests_of(version)}
    np.testing.assert_array_equal(given["serving_default"], np.full((1, 8, 8, 3), level, "float32"))
    np.testing.assert_array_equal(given["serving_uint8"], np.full((1, 8, 8, 3), pixel, "uint8"))
    np.testing.assert_array_equal(decode_images(given["serving_bytes"], (8, 8, 3)), np.full((1, 8, 8, 3), pixel))
    assert (version / tfserving.WARM_UP).stat().st_size < 1000


def test_models_config_is_what_the_server_parses(served):
    (model,) = text_format.Parse(
        (served[1].parent / "models.config").read_text(), ModelServerConfig()
    ).model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ("digits", "/models/digits", "tensorflow")


def test_batching_config_is_what_the_server_parses(served):
    parameters = text_format.Parse((served[1].parent / "batching.config").read_text(), batching_parameters())
    assert parameters.max_batch_size.value >= 1
    assert parameters.batch_timeout_micros.value >= 0
    assert parameters.max_enqueued_batches.value >= 1


def batching_parameters():
    """Returns a message of tensorflow_serving/servables/tensorflow/session_bundle_config.proto, of which PyPI has no build."""
    file = descriptor_pb2.FileDescriptorProto(name="batching.proto", package="test", syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    message = file.message_type.add(name="BatchingParameters")
    wrapped = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
    for number, name in enumerate(wrapped, start=1):
        message.field.add(name=name, number=number, label=1, type=11, type_name=".google.protobuf.Int64Value")
    message.field.add(name="allowed_batch_sizes", number=6, label=3, type=3)
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("test.BatchingParameters"))()


def test_configuration_of_the_user_stays(tmp_path):
    export.savedmodel(tiny(), tmp_path)
    (tmp_path / "batching.config").write_text("max_batch_size { value: 4 }")
    (tmp_path / "models.config").unlink()
    export.savedmodel(tiny(), tmp_path)
    assert (tmp_path / "batching.config").read_text() == "max_batch_size { value: 4 }"
    assert entries(tmp_path) == ["1", "2", *CONFIGS]


# versions, whole or not at all


def test_brackets_in_a_path_are_no_pattern(tmp_path):
    version = export.savedmodel(tiny(), tmp_path / "models [prod]" / "[2]")
    images = pixels(2, 8, 8, 3).astype("float32")
    expected = export.open_artifact(version)(images)["logits"]
    engine = SavedModelEngine(version)
    np.testing.assert_array_equal(engine.run("serving_default", images)["logits"], expected)


def test_versions_increase_and_are_never_overwritten(tmp_path):
    model, base = tiny(), tmp_path / "served"
    assert export.savedmodel(model, base) == base / "1"
    (base / "7").mkdir()
    (base / "notes").mkdir()
    (base / "8").write_text("a file")
    before = {path: path.read_bytes() for path in (base / "1").rglob("*") if path.is_file()}

    assert export.savedmodel(randomize(model, seed=9), base) == base / "9"

    assert {path: path.read_bytes() for path in (base / "1").rglob("*") if path.is_file()} == before
    assert entries(base) == ["1", "7", "8", "9", *CONFIGS, "notes"]


def test_a_version_number_taken_meanwhile_is_left_alone(tmp_path, monkeypatch):
    from keras_mgnet.export import to_savedmodel

    def publish_late(staged, target):
        if target.name == "1":
            target.mkdir()
            (target / "theirs").touch()
        return files.publish(staged, target)

    monkeypatch.setattr(to_savedmodel, "publish", publish_late)
    assert export.savedmodel(tiny(), tmp_path).name == "2"
    assert entries(tmp_path / "1") == ["theirs"]


def test_a_failing_export_adds_nothing_beside_others(tmp_path, monkeypatch):
    (tmp_path / "1").mkdir()
    monkeypatch.setattr(comparison, "TOLERANCE", -1.0)
    with pytest.raises(ValueError, match="give Keras' logits"):
        export.savedmodel(tiny(), tmp_path)
    assert entries(tmp_path) == ["1"]


def test_without_the_protocol_there_are_no_warm_up_requests(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis.prediction_log_pb2", None)
    with pytest.warns(UserWarning, match=r"warm-up requests: install `pip install 'keras-mgnet\[serve\]'`"):
        version = export.savedmodel(tiny(), tmp_path / "new")
    assert not (version / tfserving.WARM_UP).exists() and entries(tmp_path / "new") == sorted(["1", *CONFIGS])
