"""What holds for every model of the catalogue: norms, heads, precisions, plots, and that it trains as it is."""

import keras
import numpy as np
import pytest

import keras_mgnet
from keras_mgnet.description import short_path, unread_kernels
from keras_mgnet.layers.operators.whitening import whitenings
from keras_mgnet.optimizers import SGD
from support import catalogue, slow_unless
from support.catalogue import every_family_first, forms_first
from support.numerics import randomize

PRECISE = (
    "resnet8",
    "shake_shake",
    "fractalnet",
    "highway_dense",
    "revnet",
    "hamiltonian",
)  # with code for a precision
LEARNERS = ("mgnet", "mgnet_multistep", "mgnet_unshared_a", "resnet18_shared_ab")
EAGER = set(catalogue.ONE_PER_FAMILY) - {
    "mgnet",
    "resnet8",
    "vcycle_mgnet",
    "hamiltonian",
}  # to trace takes seconds: slow models of their family do
CANCELLED = ("scheme/a", "scheme/alpha0")  # by the norm behind them, but for round-off


@every_family_first
def test_without_norms_sigma_stays_in_its_places_and_every_normalised_channel_has_two_parameters_less(name, images):
    """The network without norms is the one whose norms are identities, with the same kernels and biases."""
    normed, bare = randomize(catalogue.build(name, norm="batch")), catalogue.build(name, norm=None)
    norms = [part for part in normed._flatten_layers() if isinstance(part, keras.layers.BatchNormalization)]
    assert norms or name.startswith("highway")
    assert not any(isinstance(part, keras.layers.BatchNormalization) for part in bare._flatten_layers())
    affine = [norm for norm in norms if norm.scale]
    less = 2 * sum(norm.moving_mean.shape[0] for norm in affine)
    assert keras_mgnet.count_params(normed) - keras_mgnet.count_params(bare) == less
    own = {id(weight) for norm in norms for weight in norm.weights}
    kept = {weight.path: weight for weight in normed.weights if id(weight) not in own}
    assert [weight.path for weight in bare.weights] == list(kept)
    for norm in norms:
        for variable, value in (("moving_mean", 0.0), ("moving_variance", 1 - norm.epsilon)):
            getattr(norm, variable).assign(keras.ops.full_like(norm.moving_mean, value))
    for norm in affine:
        norm.gamma.assign(keras.ops.ones_like(norm.gamma))
        norm.beta.assign(keras.ops.zeros_like(norm.beta))
    for weight in bare.weights:
        weight.assign(kept[weight.path])
    x = images(normed)
    expected = normed(x).numpy()
    np.testing.assert_allclose(bare(x), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["mgnet", "preact_resnet18_printed", "vcycle_mgnet", "hamiltonian"])
def test_a_network_of_the_layers_of_one_without_norms_has_none_either(name, images, tmp_path):
    model = randomize(catalogue.build(name, norm=None))
    keras_mgnet.features(model).save(tmp_path / "features.keras")
    copy = keras.saving.load_model(tmp_path / "features.keras")
    x = images(model)
    assert not any(isinstance(part, keras.layers.BatchNormalization) for part in copy._flatten_layers())
    for ours, theirs in zip(*map(keras.tree.flatten, (keras_mgnet.features(model)(x), copy(x))), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@every_family_first
def test_fits_as_it_comes_and_keeps_sharing(name, images):
    model = catalogue.build(name)
    model.run_eagerly = name in EAGER
    x, y = images(model, 8), np.arange(8) % 3
    model.fit(x, y, batch_size=8, epochs=1, verbose=0)

    # without the recipe's weight decay a variable moves by its gradient alone
    model.compile(SGD(0.1), model.loss, run_eagerly=True)
    before = {w.path: w.numpy() for w in model.trainable_weights}
    count, kernels = keras_mgnet.count_params(model), catalogue.shared_kernels(model)
    model.fit(x, y, batch_size=8, epochs=8 if name in catalogue.BY_CHANCE else 1, verbose=0)
    unchanged = [w.path for w in model.trainable_weights if np.array_equal(before[w.path], w.numpy())]
    still = {short_path(path.removesuffix("/kernel")) for path in unchanged if not path.endswith(CANCELLED)}
    assert still == set(unread_kernels(model))
    assert (keras_mgnet.count_params(model), catalogue.shared_kernels(model)) == (count, kernels)


@pytest.mark.parametrize("name", slow_unless(LEARNERS[1:2], LEARNERS))
def test_learns_a_batch_by_heart(name, images):
    model = catalogue.build(name)
    x, y = images(model, 6), np.array([0, 1, 2, 0, 1, 2])
    model.compile(SGD(0.05, momentum=0.9), model.loss)
    losses = [np.ravel(model.train_on_batch(x, y))[0] for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]


@forms_first
def test_head_means_what_it_means_in_keras_applications(name, images):
    top = catalogue.built(name)
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


@pytest.mark.parametrize("other", [{"nu": (2, 2)}, {"share_B": False}, {"channels": 5}])
def test_weights_of_another_network_are_refused(other, tmp_path):
    path = tmp_path / "model.weights.h5"
    catalogue.build("mgnet", **other).save_weights(path)
    with pytest.raises(ValueError, match=r"expected the weights of mgnet: \d+ variables .* Received: \d+ variables in"):
        catalogue.build("mgnet", weights=path)


def test_the_grids_are_channels_last_whatever_keras_prefers(images):
    model = catalogue.build("mgnet_imagenet_stem", Pi="average", R="full_weighting")
    x = images(model)
    expected = model(x)
    try:
        keras.config.set_image_data_format("channels_first")
        other = catalogue.build("mgnet_imagenet_stem", Pi="average", R="full_weighting")
        other.set_weights(model.get_weights())
        np.testing.assert_allclose(other(x), expected, rtol=1e-5)
    finally:
        keras.config.set_image_data_format("channels_last")


@every_family_first
def test_the_plot_shows_stem_levels_and_head(name):
    model = catalogue.built(name)
    labels = [node.get("label") or "" for node in keras.utils.model_to_dot(model, show_layer_names=True).get_nodes()]
    assert len(model.layers) <= 16
    for layer in model.layers:
        assert any(f">{layer.name}<" in label for label in labels), layer.name


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        pytest.param(name, dtype, marks=pytest.mark.slow if name == "mgnet_average" else ())
        for name in ("mgnet_chebyshev", "mgnet_average")
        for dtype in ("mixed_bfloat16", "float16", "float64")
    ]
    + [(name, "mixed_bfloat16") for name in PRECISE]
    + [
        pytest.param(name, "mixed_bfloat16", marks=pytest.mark.slow)
        for name in catalogue.ONE_PER_FAMILY
        if name not in PRECISE
    ]
    + [pytest.param(name, "mixed_float16", marks=pytest.mark.slow) for name in catalogue.ONE_PER_FAMILY],
)
def test_other_precisions(name, dtype, images, tmp_path):
    model = catalogue.build(name, dtype=dtype)
    x = images(model)
    reference = catalogue.build(name)
    reference.set_weights(model.get_weights())
    tolerance = {"mixed_bfloat16": 0.1, "mixed_float16": 0.02, "float16": 0.02, "float64": 1e-5}[dtype]
    expected = reference(x).numpy()
    assert np.abs(model(x).numpy() - expected).max() <= tolerance * np.abs(expected).max()
    assert model(x).dtype == ("float64" if dtype == "float64" else "float32")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_layer("level1").dtype_policy.name == dtype
    np.testing.assert_array_equal(loaded(x), model(x))
    model.run_eagerly = (name, dtype) != ("mgnet_chebyshev", "mixed_bfloat16")  # to trace takes seconds
    model.fit(x, np.zeros(4), verbose=0)


@pytest.mark.parametrize("name", catalogue.ONE_PER_FAMILY)
def test_every_family_begins_with_whitening_on_half_the_grid(name):
    model = catalogue.build(name, stem="whitening", input_shape=(32, 32, 3))
    assert len(whitenings(model)) == 1
    assert model.get_layer("stem").output.shape[1:3] == (16, 16)
