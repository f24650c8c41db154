"""What holds for every model of the catalogue: it survives being stored, trains as it is, and describes itself."""

import json

import catalogue
import keras
import numpy as np
import pytest
from conftest import randomize

import keras_mgnet
from keras_mgnet.describe import level_table
from keras_mgnet.optimizers import SGD

every_model = pytest.mark.parametrize("name", catalogue.MODELS)


def assert_same(model, other, x):
    assert keras_mgnet.count_params(other) == keras_mgnet.count_params(model)
    assert catalogue.shared_kernels(other) == catalogue.shared_kernels(model)
    assert [w.path for w in other.weights] == [w.path for w in model.weights]
    np.testing.assert_array_equal(other.predict(x, verbose=0), model.predict(x, verbose=0))


@every_model
def test_survives_files_and_copies(name, images, tmp_path):
    model = randomize(catalogue.build(name))
    x = images(model)
    model.save(tmp_path / "model.keras")
    assert_same(model, keras.saving.load_model(tmp_path / "model.keras"), x)

    model.save_weights(tmp_path / "model.weights.h5")
    assert_same(model, catalogue.build(name, weights=str(tmp_path / "model.weights.h5")), x)

    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    assert_same(model, clone, x)

    config = json.loads(json.dumps(model.get_config()))
    rebuilt = type(model).from_config(config)
    rebuilt.set_weights(model.get_weights())
    assert_same(model, rebuilt, x)


@every_model
def test_every_argument_is_in_the_config(name):
    _, arguments = catalogue.MODELS[name]
    config = catalogue.build(name).get_config()
    assert {key: config[key] for key in arguments} == arguments
    assert set(config) >= {"include_top", "pooling", "init", "dtype", "name", "weights", "input_tensor"}


@every_model
def test_fits_as_it_comes_and_keeps_sharing(name, images):
    model = catalogue.build(name)
    x, y = images(model, 8), np.arange(8) % 3
    before = {w.path: w.numpy() for w in model.trainable_weights}
    count, kernels = keras_mgnet.count_params(model), catalogue.shared_kernels(model)
    model.fit(x, y, batch_size=8, epochs=1, verbose=0)
    unchanged = [w.path for w in model.trainable_weights if np.array_equal(before[w.path], w.numpy())]
    assert not unchanged
    assert (keras_mgnet.count_params(model), catalogue.shared_kernels(model)) == (count, kernels)


@pytest.mark.parametrize("name", ["mgnet", "mgnet_multistep", "mgnet_unshared_a", "resnet18_shared_ab"])
def test_learns_a_batch_by_heart(name, images):
    model = catalogue.build(name)
    x, y = images(model, 6), np.array([0, 1, 2, 0, 1, 2])
    model.compile(SGD(0.05, momentum=0.9), model.loss)
    losses = [np.ravel(model.train_on_batch(x, y))[0] for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]


@every_model
def test_level_table_accounts_for_every_parameter(name):
    model = catalogue.build(name)
    table = level_table(model)
    assert sum(row.params for row in table) == keras_mgnet.count_params(model)
    assert [row.name for row in table if row.nu] == [f"level{i + 1}" for i in range(sum(1 for r in table if r.nu))]
    assert model.name in keras_mgnet.describe(model)


@every_model
def test_features_are_the_states_of_the_levels(name, images):
    model = catalogue.build(name)
    x = images(model)
    states = keras_mgnet.features(model)(x)
    assert list(states) == [layer.name for layer in model.layers if layer.name.startswith("level")]
    for state in states.values():
        parts = state if isinstance(state, (tuple, list)) else [state]
        assert len(parts) == (2 if isinstance(model, keras_mgnet.MgNet) else 1)
        assert all(part.shape[0] == len(x) for part in parts)


@pytest.mark.parametrize("name", ["mgnet", "resnet18"])
def test_head_means_what_it_means_in_keras_applications(name, images):
    top = catalogue.build(name)
    x = images(top)
    maps = catalogue.build(name, include_top=False, pooling=None)
    pooled = {kind: catalogue.build(name, include_top=False, pooling=kind) for kind in ("avg", "max")}
    for model in (maps, *pooled.values()):
        model.set_weights(top.get_weights()[:-2])
    values = maps(x).numpy()
    assert values.ndim == 4
    np.testing.assert_allclose(pooled["avg"](x), values.mean(axis=(1, 2)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(pooled["max"](x), values.max(axis=(1, 2)), rtol=1e-5, atol=1e-6)
    softmax = catalogue.build(name, classifier_activation="softmax")
    softmax.set_weights(top.get_weights())
    np.testing.assert_allclose(softmax(x), keras.ops.softmax(top(x)), rtol=1e-5)


def test_input_tensor_with_a_graph_before_it_survives(images, tmp_path):
    image = keras.Input((8, 8, 1))
    scaled = keras.layers.Rescaling(2.0, name="scale")(image)
    model = randomize(catalogue.build("mgnet", input_tensor=scaled))
    x = images(model)
    plain = catalogue.build("mgnet")
    plain.set_weights(model.get_weights())
    np.testing.assert_allclose(model(x), plain(2 * x), rtol=1e-5)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(x), model(x))


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "float64"])
@pytest.mark.parametrize("name", ["mgnet_chebyshev", "mgnet_average"])
def test_other_precisions(name, dtype, images):
    model = catalogue.build(name, dtype=dtype)
    x = images(model)
    reference = catalogue.build(name)
    reference.set_weights(model.get_weights())
    tolerance = {"mixed_bfloat16": 0.1, "float64": 1e-5}[dtype]
    expected = reference(x).numpy()
    assert np.abs(model(x).numpy() - expected).max() <= tolerance * max(1, np.abs(expected).max())
    assert model(x).dtype == ("float64" if dtype == "float64" else "float32")
    model.fit(x, np.zeros(4), verbose=0)


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
