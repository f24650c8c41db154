"""Constructor arguments survive configurations, copies and files."""

import copy
import json

import keras
import numpy as np
import pytest

import keras_mgnet
from keras_mgnet.compat import flatten_layers
from keras_mgnet.layers import Conv, GridLevel
from keras_mgnet.optimizers import SGD
from support import catalogue
from support.catalogue import every_family_first, forms_first, small_families_first
from support.numerics import randomize


def assert_same(model, other, x):
    assert keras_mgnet.count_params(other) == keras_mgnet.count_params(model)
    assert catalogue.shared_kernels(other) == catalogue.shared_kernels(model)
    assert [w.path for w in other.weights] == [w.path for w in model.weights]
    np.testing.assert_array_equal(other(x), model(x))


@small_families_first
def test_survives_files_and_copies(name, images, tmp_path):
    model = randomize(catalogue.build(name))
    x = images(model)
    assert_same(model, saved(model, tmp_path / "model.keras"), x)

    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    assert_same(model, clone, x)


@forms_first
def test_survives_weights_and_configurations(name, images, tmp_path):
    model = randomize(catalogue.build(name))
    x = images(model)
    model.save_weights(tmp_path / "model.weights.h5")
    filled = catalogue.build(name, weights=tmp_path / "model.weights.h5")
    assert_same(model, filled, x)
    (tmp_path / "model.weights.h5").unlink()
    assert_same(model, saved(filled, tmp_path / "filled.keras"), x)

    config = json.loads(json.dumps(model.get_config()))
    rebuilt = type(model).from_config(config)
    rebuilt.set_weights(model.get_weights())
    assert_same(model, rebuilt, x)


def test_an_hdf5_file_takes_nothing_from_the_model(tmp_path):
    """Keras takes the optimiser out of the model's own compile configuration, and later files would have another."""
    model = catalogue.build("mgnet")
    model.compile(SGD(0.25), model.loss)
    for path in (tmp_path / "model.h5", tmp_path / "again.h5", tmp_path / "model.keras"):
        keras.saving.save_model(model, path)
    loaded = [
        keras.saving.load_model(tmp_path / name, custom_objects={"MgNet": keras_mgnet.MgNet})
        for name in ("again.h5", "model.keras")
    ]
    for other in (*loaded, keras.models.clone_model(model)):
        assert type(other.optimizer) is SGD and float(other.optimizer.learning_rate) == 0.25


@every_family_first
def test_every_argument_is_in_the_config(name):
    _, arguments = catalogue.MODELS[name]
    config = catalogue.built(name).get_config()
    assert {key: config[key] for key in arguments} == arguments
    assert set(config) >= {"include_top", "pooling", "init", "dtype", "name", "weights", "input_tensor"}


@forms_first
def test_input_tensor_with_a_graph_before_it_survives(name, images, tmp_path):
    image = keras.Input(catalogue.MODELS[name][1]["input_shape"])
    scaled = keras.layers.Rescaling(2.0, name="scale")(image)
    model = catalogue.build(name, input_tensor=scaled)
    x = images(model)
    plain = catalogue.build(name)
    plain.set_weights(model.get_weights())
    np.testing.assert_allclose(model(x), plain(2 * x), rtol=1e-5, atol=1e-6)
    for generation in range(2):
        model.save(tmp_path / f"{generation}.keras")
        loaded = keras.saving.load_model(tmp_path / f"{generation}.keras")
        np.testing.assert_array_equal(loaded(x), model(x))
        model = loaded


def nested(model):
    image = keras.Input(model.input_shape[1:])
    return keras.Model(image, keras.layers.Dense(2, name="head")(model(image)))


def saved(model, path):
    model.save(path)
    return keras.saving.load_model(path)


FREEZE = {
    "a level": lambda model: [model.get_layer("level1")],
    "norms": lambda model: [
        part for part in flatten_layers(model) if isinstance(part, keras.layers.BatchNormalization)
    ],
    "one kernel": lambda model: [next(part for part in flatten_layers(model) if isinstance(part, Conv))],
    "a level but for its norms": lambda model: [model.get_layer("level1")],
}


@pytest.mark.parametrize(
    ("what", "name"), [*((what, "mgnet") for what in FREEZE), ("norms", "resnet8"), ("one kernel", "vcycle_mgnet")]
)
def test_what_is_frozen_stays_frozen(what, name, tmp_path):
    model = catalogue.build(name)
    for part in FREEZE[what](model):
        part.trainable = False
    if "but" in what:
        for part in FREEZE["norms"](model):
            part.trainable = True
    copies = [saved(model, tmp_path / "model.keras"), keras.models.clone_model(model), copy.deepcopy(model)]
    copies.append(saved(nested(model), tmp_path / "nested.keras").layers[1])
    assert len(model.trainable_weights) < len(catalogue.built(name).trainable_weights)
    for other in copies:
        assert [part.trainable for part in flatten_layers(other)] == [part.trainable for part in flatten_layers(model)]
        assert [w.path for w in other.trainable_weights] == [w.path for w in model.trainable_weights]


@pytest.mark.filterwarnings("ignore:.*does not have a `quantize` method")
@pytest.mark.parametrize(
    "change", [lambda dense: dense.quantize("int8"), lambda dense: dense.enable_lora(2, lora_alpha=3)]
)
def test_quantized_and_adapted_classifiers_are_loaded_as_they_were(change, images, tmp_path):
    model = randomize(catalogue.build("mgnet"))
    change(model.get_layer("classifier"))
    x = images(model)
    for weight in model.get_layer("classifier").trainable_weights:
        weight.assign(weight + 1)
    for other in (saved(model, tmp_path / "model.keras"), saved(nested(model), tmp_path / "nested.keras").layers[1]):
        np.testing.assert_array_equal(other(x), model(x))
        assert len(other.trainable_weights) == len(model.trainable_weights)


def test_a_subclass_has_a_config_too():
    class Mine(keras_mgnet.MgNet):
        pass

    assert Mine((1,), 4, input_shape=(8, 8, 1)).get_config()["nu"] == (1,)


def test_numpy_integers_and_booleans_of_data_are_plain_in_the_config():
    model = keras_mgnet.MgNet(tuple(np.array([1, 2])), np.int64(4), input_shape=(np.int32(8), 8, 1))
    assert json.loads(json.dumps(model.get_config()))["nu"] == [1, 2]


@pytest.mark.parametrize("name", catalogue.LAYERS)
def test_layers_round_trip(name):
    make, shapes = catalogue.LAYERS[name]
    inputs = [keras.Input(shape[1:]) for shape in shapes]
    model = randomize(keras.Model(inputs, make()(*inputs)))
    copy = keras.Model.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    x = [np.random.default_rng(3).normal(size=shape).astype("float32") for shape in shapes]
    for ours, theirs in zip(keras.tree.flatten(model(x)), keras.tree.flatten(copy(x)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_an_unknown_argument_of_a_layer_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="unknown argument of GridLevel 'smother'; did you mean 'smoother'"):
        GridLevel(2, 2, 1, smother="damped")
