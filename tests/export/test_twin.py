"""Models around a network of the package, their clones, and models of Keras alone are served as one graph in float32."""

import json

import keras
import numpy as np
import pytest
from keras import layers

import keras_mgnet
from keras_mgnet import MgNet, export
from keras_mgnet.compat import flatten_layers
from keras_mgnet.description import level_outputs
from keras_mgnet.export.servable import Servable
from keras_mgnet.export.twin import float32_logits
from support import catalogue, slow_unless
from support.numerics import assert_close, randomize

SHAPE = (8, 8, 3)
FAST = ("mgnet", "resnet18_shared_ab", "vcycle_mgnet", "fractalnet_column")


def image(**options):
    return keras.Input(SHAPE, **options)


def backbone(**options):
    return MgNet((2, 2), 4, **{"input_shape": SHAPE, "include_top": False, "pooling": "avg"} | options)


def head(features, activation="softmax", classes=5, **options):
    return layers.Dense(classes, activation, **options)(features)


def around(network, activation="softmax", **options):
    x = image()
    return keras.Model(x, head(network(layers.Rescaling(1 / 255)(x), **options), activation))


def filled(model):
    """Gives a model random weights, and its matrices small ones, so that no probability is 0 or 1."""
    for weight in randomize(model).weights:
        if len(weight.shape) == 2:
            weight.assign(0.05 * weight)
    return model


def pixels(n=3):
    return np.random.default_rng(3).integers(0, 256, (n, *SHAPE)).astype("float32")


def scores(model, images):
    """What Keras computes of images, whatever the structure of its input and output."""
    if not isinstance(model, keras.Sequential):
        images = keras.tree.pack_sequence_as(model.input, [images])
    (output,) = keras.tree.flatten(model(images, training=False))
    return keras.ops.convert_to_numpy(output).astype("float32")


# what is exported


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A classifier around a backbone, the backbone, and the reports on its files."""
    inner, x = backbone(pooling=None), image()
    pooled = layers.GlobalAveragePooling2D()(inner(layers.Rescaling(1 / 255)(x)))
    model, out = filled(keras.Model(x, head(pooled), name="pets")), tmp_path_factory.mktemp("around")
    reports = export.export_formats(model, out, export.FLOAT32, class_names=list("abcde"), samples=pixels())
    return model, inner, {report.format: report for report in reports}


@pytest.mark.parametrize("format", export.FLOAT32)
def test_a_classifier_around_a_backbone_is_a_file(format, exported):
    model, _, reports = exported
    path, x = reports[format].path, pixels(5)
    outputs, expected = export.open_artifact(path)(x), scores(model, x)
    assert expected.min() > 0.01 and expected.max() < 0.9
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-5)
    np.testing.assert_array_equal(outputs["classes"], expected.argmax(-1))
    assert export.verify(model, path, x, labels=expected.argmax(-1)).accuracy == 1
    assert export.read_metadata(path)["class_names"] == list("abcde")


def test_a_savedmodel_has_the_states_of_the_backbone(exported):
    import tensorflow as tf

    model, inner, reports = exported
    loaded, x = tf.saved_model.load(str(reports["savedmodel"].path)), pixels()
    outputs = loaded.signatures["features"](image=tf.constant(x))
    states = keras_mgnet.features(inner)(x / 255, training=False)
    expected = {
        f"{level}_{name}": state for level, pair in states.items() for name, state in zip("ur", pair, strict=True)
    }
    assert set(outputs) == set(expected)
    for name, state in expected.items():
        assert_close(outputs[name], state, err_msg=name)
    assert sorted(tuple(v.shape) for v in loaded.variables) == sorted(tuple(v.shape) for v in model.weights)


def clone():
    return keras.models.clone_model(MgNet((2,), 4, input_shape=SHAPE, classes=5))


def on_a_layer():
    trained = MgNet((2,), 4, input_shape=SHAPE)
    return keras.Model(trained.input, head(trained.get_layer("pool").output))


def in_a_sequence():
    return keras.Sequential([image(), backbone(), layers.Dense(5, "softmax")])


def sequence_inside():
    x, views = image(), keras.Sequential([layers.Rescaling(1 / 255), layers.RandomFlip("horizontal")])
    return keras.Model(x, head(backbone()(views(x))))


def model_in_a_model():
    x = image()
    return keras.Model(x, layers.Softmax()(around(backbone(), None)(x)))


def ends_in_a_model():
    x = image()
    return keras.Model(x, around(backbone())(x))


def ends_in_a_network():
    x = image()
    return keras.Model(x, MgNet((2,), 4, input_shape=SHAPE, classes=5, classifier_activation="softmax")(x))


def two_backbones():
    x = image()
    return keras.Model(x, head(layers.Concatenate()([backbone(name="a")(x), backbone(name="b")(x)])))


def one_backbone_twice():
    x, shared = image(), backbone()
    return keras.Model(x, head(layers.Add()([shared(x), shared(x[:, :, ::-1])])))


def states_of_all_levels():
    x = image()
    states = keras_mgnet.features(backbone())(x)
    return keras.Model(x, head(layers.Concatenate()([layers.GlobalAveragePooling2D()(u) for u, _ in states.values()])))


def operations():
    x = image()
    features = keras.ops.mean(backbone(pooling=None)(x / 255 - keras.ops.array([0.1, 0.2, 0.3])), axis=(1, 2))
    return keras.Model(x, keras.ops.softmax(head(features, None)))


def named_input_and_output():
    x = image(name="pixels", dtype="uint8")
    return keras.Model({"pixels": x}, {"breed": head(backbone()(inputs=layers.Rescaling(1 / 255)(x)))})


def lists():
    x = image()
    return keras.Model([x], [head(backbone()(x))])


def adapted():
    normalization = layers.Normalization()
    normalization.adapt(pixels())
    x = image()
    return keras.Model(x, head(backbone()(normalization(x))))


def with_lora():
    model = around(backbone())
    model.layers[-1].enable_lora(2)
    return model


def frozen():
    network = backbone()
    network.trainable = False
    return around(network, training=False)


def of_keras_alone():
    x = image()
    y = layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(x))
    return keras.Model(x, layers.Activation("softmax")(head(layers.Flatten()(layers.Dropout(0.5)(y)), None)))


KINDS = (
    clone,
    on_a_layer,
    in_a_sequence,
    sequence_inside,
    model_in_a_model,
    ends_in_a_model,
    ends_in_a_network,
    two_backbones,
    one_backbone_twice,
    states_of_all_levels,
    operations,
    named_input_and_output,
    lists,
    adapted,
    with_lora,
    frozen,
    of_keras_alone,
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_gives_the_scores_of_keras(kind):
    model = kind() if kind is adapted else filled(kind())
    uses = [len(part._inbound_nodes) for part in flatten_layers(model)]
    servable, x = Servable(model, answers="softmax"), pixels()
    logits, expected = keras.ops.convert_to_numpy(servable(x)), scores(model, x)
    assert_close(logits if kind is clone else keras.ops.softmax(logits), expected, 1e-6)
    assert len(servable.model.trainable_weights) == len(model.trainable_weights)
    assert [len(part._inbound_nodes) for part in flatten_layers(model)] == uses  # the model has not been touched


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "float64"])
def test_a_backbone_in_another_precision_is_served_in_float32(dtype):
    model, twin = filled(around(backbone(dtype=dtype))), around(backbone())
    twin.set_weights(model.get_weights())
    served = keras.ops.softmax(Servable(model)(pixels()))
    assert_close(served, scores(twin, pixels()), 1e-6)
    assert keras.backend.standardize_dtype(served.dtype) == "float32"


def test_a_softmax_whose_probabilities_underflow_has_logits():
    model = filled(around(backbone()))
    model.layers[-1].bias.assign([0.0, 500.0, -500.0, 0.0, 0.0])
    np.testing.assert_allclose(Servable(model)(pixels())[:, 1], 500, atol=50)


def test_levels_of_two_backbones_have_names_of_their_own():
    assert sorted(level_outputs(float32_logits(two_backbones()))) == ["level1", "level1_2", "level2", "level2_2"]


@pytest.mark.parametrize("name", slow_unless(FAST, catalogue.MODELS))
def test_every_network_in_another_precision_has_a_twin(name, images):
    model, other = randomize(catalogue.build(name)), catalogue.build(name, dtype="mixed_bfloat16")
    other.set_weights(model.get_weights())
    twin, x = float32_logits(other), images(model, 2)
    assert all(layer.compute_dtype == "float32" for layer in flatten_layers(twin))
    softmax = model.get_config().get("classifier_activation") == "softmax"
    received = twin(x, training=False)
    assert_close(keras.ops.softmax(received) if softmax else received, model(x, training=False), 1e-6)


# what is told


def test_the_card_lists_the_levels_inside_and_counts_what_is_frozen(tmp_path):
    model = filled(frozen())
    (report,) = export.export_model(model, tmp_path, ["onnx"], name="pets")
    card = json.loads((tmp_path / "card.json").read_text())["model"]
    assert card["family"] == "Functional"
    assert [row["name"] for row in card["levels"]][:4] == ["stem", "level1", "transfer2", "level2"]
    everything = keras_mgnet.count_params(around(backbone()))
    assert card["parameters"] == sum(row["params"] for row in card["levels"]) == everything
    assert report.size_ratio == report.size_bytes / (4 * everything)


def test_the_cost_of_layers_of_others_is_unknown(tmp_path):
    export.export_model(filled(of_keras_alone()), tmp_path, ["onnx"], name="pets")
    assert "? multiply-adds per image" in (tmp_path / "card.md").read_text()


# what is refused


class Subclassed(keras.Model):
    def call(self, x):
        return x


def maps():
    x = image()
    return keras.Model(x, backbone(pooling=None)(x))


def two_images():
    x, y = image(), image()
    return keras.Model([x, y], head(backbone()(x + y)))


def two_heads():
    x = image()
    features = backbone()(x)
    return keras.Model(x, [head(features), head(features)])


def average_of_softmaxes():
    x = image()
    features = backbone()(x)
    return keras.Model(x, layers.Average()([head(features), head(features)]))


class Scaling(layers.Layer):
    """A layer that `from_config` cannot rebuild, since its configuration lacks an argument."""

    def __init__(self, largest, **options):
        super().__init__(**options)
        self.largest = largest

    def call(self, pixels):
        return pixels / self.largest

    def get_config(self):
        return super().get_config()


def with_a_layer_of_ones_own():
    x = image()
    return keras.Model(x, head(backbone()(Scaling(255, name="scaling")(x))))


FORM = r"expected a functional model from one image \(N, H, W, C\) to one output \(N, classes\) .*Received: "
REFUSED = {
    "a vector": (lambda: keras.Sequential([keras.Input((4,)), layers.Dense(2)]), FORM + r"\w+ from \(None, 4\)"),
    "two images": (two_images, FORM + r"\w+ from \(None, 8, 8, 3\), \(None, 8, 8, 3\) to"),
    "two outputs": (two_heads, FORM + r".* to \(None, 5\), \(None, 5\)$"),
    "feature maps": (maps, FORM + r".* to \(None, 4, 4, 4\)$"),
    "no classifier": (lambda: backbone(name="mgnet"), FORM + "mgnet with include_top=False"),
    "one class": (
        lambda: keras.Sequential([image(), backbone(), layers.Dense(1, "softmax")]),
        r"expected two outputs or more for classes\. Received: \w+ with one output",
    ),
    "a class of its own": (Subclassed, FORM + "Subclassed, which is not functional"),
    "not built": (lambda: keras.Sequential([layers.Dense(2)]), FORM + "Sequential, which is not built"),
    "no model": (lambda: None, FORM + "NoneType, which is not functional"),
    "probabilities": (average_of_softmaxes, r"or answers='none'\. Received: .*, which returns probabilities"),
    "an unknown meaning": (
        lambda: keras.Sequential([image(), backbone(), layers.Dense(3)]),
        r"expected answers='softmax'.* is not compiled\. Received: answers=None",
    ),
    "batch statistics": (
        lambda: around(backbone(name="mgnet"), training=True),
        r"expected 'mgnet' to be called with training=False\. Received: training=True",
    ),
    "a layer that cannot be rebuilt": (
        with_a_layer_of_ones_own,
        r"expected layers that from_config rebuilds\. Received: scaling \(",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_served_is_refused(case, tmp_path):
    build, message = REFUSED[case]
    with pytest.raises(ValueError, match=message) as error:
        export.savedmodel(build(), tmp_path / "m")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
