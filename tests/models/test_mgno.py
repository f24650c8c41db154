"""MgNO: the authors' golden files, multigrid's V-cycle, sizes, files, and what it refuses."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_mgnet import (
    MgNO,
    adapt_normalizers,
    count_params,
    create_model,
    describe,
    features,
    load_torch_weights,
    model_info,
    save_torch_weights,
)
from keras_mgnet.analysis import ANALYSES, inapplicable
from keras_mgnet.description import level_table, unread_kernels
from keras_mgnet.interop.names import entries
from keras_mgnet.layers import Prolongation
from keras_mgnet.multigrid import solver
from keras_mgnet.relative_errors import difference_h1_norm, fourier_h1_norm, l2_norm
from support import SHARED, catalogue
from support.catalogue import every_map
from support.numerics import randomize

GOLDEN = SHARED / "golden"
needs_golden = pytest.mark.skipif(not (GOLDEN / "mgno_ns.npz").is_file(), reason="no golden files beside the checkout")
HAT = np.outer((1, 2, 1), (1, 2, 1)) / 4
FIVE = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]], "float64")
DARCY = {"channels": 5, "layers": 2, "steps": ((1, 0), (1, 1), (2, 0), (1, 0), (2, 0)), "normalize_y": "scalar"}
STEPS = ((1, 0), (1, 0), (1, 1), (1, 0), (2, 0))
NETWORKS = {
    "dc_rough": DARCY,
    "dc_smooth": DARCY | {"channels": 6, "layers": 3, "steps": STEPS, "normalize_y": "pointwise"},
    "ns": {"channels": 3, "layers": 2, "steps": ((1, 0), (1, 1), (2, 0)), "padding": "periodic"}
    | {"variant": "navier_stokes"},
    "helm": {"channels": (2, 4, 6, 8, 10), "layers": 2, "steps": ((1, 0),) * 4 + ((2, 0),), "normalize_y": "scalar"}
    | {"variant": "helmholtz", "padding": "reflect", "coarse_points": "odd"},
}
LOSSES = {  # as the authors compute them: sums over the batch, but for Helmholtz' equation
    "loss_l2": lambda truth, values: ops.sum(l2_norm(values - truth) / l2_norm(truth)),
    "loss_h1": lambda truth, values: ops.sum(fourier_h1_norm(values - truth) / fourier_h1_norm(truth)),
    "helm": lambda truth, values: ops.mean(difference_h1_norm(values - truth, 10.0)),
}


def functions(model, n=2):
    return np.random.default_rng(1).normal(size=(n, *model.input_shape[1:])).astype("float32")


@needs_golden
@pytest.mark.parametrize("name", NETWORKS)
def test_golden_file(name, tmp_path):
    """Outputs, states, losses and gradients of the authors' networks, and their state dicts in both directions."""
    with np.load(GOLDEN / f"mgno_{name}.npz", allow_pickle=False) as file:
        golden = {key: file[key] for key in file.files}
    config = json.loads(str(golden["config"]))
    model = MgNO(**NETWORKS[name], input_shape=golden["x"].shape[1:], dtype="float64")
    load_torch_weights(model, GOLDEN / f"mgno_{name}.npz")
    if "norm/mean" in golden:
        model.get_layer("decode").mean.assign(golden["norm/mean"][None])
        model.get_layer("decode").std.assign(golden["norm/std"][None])

    for key in (key for key in golden if key.startswith("t/")):
        way, grid = ("down", key[6:]) if "down" in key else ("up", key[4:])
        place = f"1_{int(grid) + 1}"
        after = [f"level{place}_up", f"norm{place}", f"up{place}"] if way == "up" else [f"level{place}"]
        layer = next(layer for layer in map(dict.get, [{x.name: x for x in model.layers}] * 3, after) if layer)
        state = keras.tree.flatten(keras.Model(model.input, layer.output)(golden["x"][:1].astype("float64")))[0][0]
        np.testing.assert_allclose(state, golden[key], rtol=0, atol=1e-6 * np.abs(golden[key]).max(), err_msg=key)

    truth, unread = golden["target"][..., None].astype("float64"), set(config["unused_parameters"])
    losses = {key: LOSSES["helm" if (name, key) == ("helm", "loss_h1") else key] for key in ("loss_l2", "loss_h1")}
    if name == "ns":
        losses["loss_h1"] = lambda truth, y: ops.sum(fourier_h1_norm(y - truth, 2.0) / fourier_h1_norm(truth, 2.0))
    with tf.GradientTape() as tape:
        y = model(golden["x"].astype("float64"))
        values = {key: loss(truth, y) for key, loss in losses.items()}
    np.testing.assert_allclose(y, golden["y"], rtol=0, atol=1e-6 * np.abs(golden["y"]).max())
    for key, value in values.items():
        np.testing.assert_allclose(float(value), golden[key], rtol=1e-6)

    found = [entry for entry in entries(model) if f"g/{entry.key}" in golden]
    gradients = tape.gradient(values[config["gradient_of"]], [entry.variable.value for entry in found])
    assert len(found) == sum(key.startswith("g/") for key in golden)
    for entry, gradient in zip(found, gradients, strict=True):
        expected = entry.to_ours(golden[f"g/{entry.key}"])
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-5 * np.abs(expected).max(), err_msg=entry.key)
    assert count_params(model) + sum(golden[f"w/{key}"].size for key in unread) == config["parameters"]

    other = MgNO(**NETWORKS[name], input_shape=golden["x"].shape[1:])
    load_torch_weights(other, save_torch_weights(model, tmp_path / "state.safetensors"))
    for ours, theirs in zip(other.trainable_variables, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(ours, theirs.numpy().astype("float32"))


@pytest.mark.parametrize("n", [7, 15])
def test_with_fixed_stencils_and_restricted_residuals_it_is_the_v_cycle_of_the_solver(n):
    grids = (n + 1).bit_length() - 1
    steps = ((2, 1),) * (grids - 1) + ((2, 0),)
    options = {"restrict": "residual", "coarse_points": "odd", "activation": "linear", "dtype": "float64"}
    model = MgNO(1, 1, steps, input_shape=(n, n, 1), **options)
    stencils = {"A": FIVE, "B": np.pad([[0.8 / 4]], 1), "R": HAT, "T": HAT, "Pi": np.zeros((3, 3)), "q": 1.0, "K": 0.0}
    for variable in model.trainable_variables:
        kind = variable.path.split("/")[-2].rstrip("0123456789")
        variable.assign(np.reshape(stencils[kind], variable.shape) if variable.name == "kernel" else [0.0])
    f = np.random.default_rng(0).normal(size=(2, n, n, 1))
    expected = solver(n, nu=(2, 1), coarsest="smooth")([np.zeros_like(f), f])
    np.testing.assert_allclose(model(f), expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_the_linear_map_of_darcy_is_linear_and_that_of_navier_stokes_is_not():
    x, y = np.random.default_rng(0).normal(size=(2, 1, 8, 8, 1))
    for name, is_linear in (("mgno", True), ("mgno_navier_stokes", False)):
        model = randomize(
            catalogue.build(name, activation="linear", normalize_x=None, normalize_y=None, dtype="float64")
        )
        at_zero = model(np.zeros_like(x))
        difference = model(x + y) - at_zero - (model(x) - at_zero) - (model(y) - at_zero)
        assert (np.abs(difference).max() < 1e-12) == is_linear


@pytest.mark.parametrize("n", [32, 35, 101])
def test_a_network_of_one_grid_chain_takes_others_whose_sides_are_odd_and_even_alike(n):
    model = MgNO(2, 1, ((1, 0),) * 3, input_shape=(n, n, 1))
    kernels = [layer.T.kernel_size[0] for layer in model.layers if isinstance(layer, Prolongation)]
    assert sorted(kernels) == sorted(3 if side % 2 else 4 for side in (n, (n + 1) // 2))
    other = MgNO(2, 1, ((1, 0),) * 3, input_shape=(n + 8, n + 8, 1))
    other.set_weights(model.get_weights())
    assert other.output_shape == (None, n + 8, n + 8, 1)


def test_without_a_fixed_grid_it_takes_those_that_all_transfers_divide():
    model = randomize(MgNO(2, 1, ((1, 0),) * 3))
    for shape in ((1, 8, 12, 1), (2, 16, 8, 1)):
        assert model(np.ones(shape)).shape == shape
    with pytest.raises(
        ValueError, match=r"expected even height and width on the grids of up1_2.*Received: 3 x 4 points"
    ):
        model(np.ones((1, 6, 7, 1)))
    with pytest.raises(ValueError, match=r"even height and width on the grids of up1_2.*Received: 5 x 4 points"):
        model(np.ones((1, 10, 8, 1)))


def test_normalisers_take_the_statistics_of_the_data_and_travel_with_the_model(tmp_path):
    model = catalogue.build("mgno")
    x, y = np.random.default_rng(0).normal(3.0, 2.0, (2, 20, 8, 8, 1))
    adapt_normalizers(model, x, y)
    encode, decode = (model.get_layer(name) for name in ("encode", "decode"))
    np.testing.assert_allclose(encode.mean, [x.mean()], rtol=1e-6)
    np.testing.assert_allclose(decode.std, y.std(0, ddof=1), rtol=1e-5)
    assert (encode.trainable_variables, decode.trainable_variables) == ([], [])
    z = (x - x.mean()) / (x.std(ddof=1) + 1e-5)
    np.testing.assert_allclose(encode(x), z, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(decode(z), z * (y.std(0, ddof=1) + 1e-5) + y.mean(0), rtol=1e-4, atol=1e-4)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras").get_layer("decode").std, decode.std)
    with pytest.raises(ValueError, match="at least two functions"):
        adapt_normalizers(model, x[:1], y[:1])


@every_map
def test_it_survives_files_and_copies(name, tmp_path):
    model = randomize(catalogue.build(name))
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    config = json.loads(json.dumps(model.get_config()))
    others = [
        keras.saving.load_model(tmp_path / "model.keras"),
        catalogue.build(name, weights=tmp_path / "model.weights.h5"),
        MgNO.from_config(config),
    ]
    others[-1].set_weights(model.get_weights())
    _, arguments = catalogue.MAPS[name]
    assert {key: model.get_config()[key] for key in arguments} == arguments
    for other in others:
        np.testing.assert_array_equal(other(functions(model)), model(functions(model)))
        assert [w.path for w in other.weights] == [w.path for w in model.weights]


@every_map
def test_it_describes_itself(name):
    model = catalogue.built(name)
    table = level_table(model)
    assert sum(row.params for row in table) == count_params(model) and unread_kernels(model) == {}
    assert all(row.multiply_adds is not None for row in table)
    assert "u_{n+1} = u_n + B_n(f - A_n u_n)" in describe(model)
    states = features(model)(functions(model))
    assert list(states) == [layer.name for layer in model.layers if layer.name.startswith("level")]
    assert {"level1_1", "level1_2_up", "level2_3"} <= set(states)


@every_map
def test_it_fits_as_it_comes(name):
    model = catalogue.build(name)
    before = [variable.numpy() for variable in model.trainable_variables]
    x, y = functions(model), np.ones((2, *model.output_shape[1:]))
    model.run_eagerly = True
    log = model.fit(x, y, verbose=0).history
    assert set(log) == {"loss", "l2", "h1"} and np.isfinite(log["loss"][0])
    assert all((b != v.numpy()).any() for b, v in zip(before, model.trainable_variables, strict=True))


def test_recomputed_levels_give_the_same_gradients():
    names = ("level1_1", "level1_2", "level1_3", "level2_2_up")
    found = []
    for remat in ((), names):
        model = randomize(catalogue.build("mgno", remat=remat))
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(functions(model), training=True) ** 2)
        found.append(tape.gradient(loss, [v.value for v in model.trainable_variables]))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * np.abs(theirs).max())
    with pytest.raises(ValueError, match="expected remat to name only levels of the model: level1_1"):
        catalogue.build("mgno", remat=("level9",))


@pytest.mark.parametrize("name", ["mgno", "mgno_helmholtz"])
def test_in_bfloat16_it_ends_in_float32(name):
    model = catalogue.build(name, dtype="mixed_bfloat16")
    reference = catalogue.build(name)
    reference.set_weights(model.get_weights())
    expected = reference(functions(model)).numpy()
    assert np.abs(model(functions(model)).numpy() - expected).max() <= 0.1 * np.abs(expected).max()


def test_the_published_networks():
    """The authors' network for Helmholtz' equation also owns 11,241 weights of A that nothing reads."""
    assert model_info("mgno_helmholtz").params + 11_241 == 5_351_806
    assert create_model("mgno_darcy_smooth").input_shape == (None, 211, 211, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 0}, "channels to be"),
        ({"channels": (4, 6, 8)}, "channels to be multiples of the first"),
        ({"layers": 0}, "layers to be an integer >= 1"),
        ({"steps": ()}, r"steps to be pairs"),
        ({"steps": (1, 1, 2)}, r"steps to be pairs"),
        ({"steps": ((0, 1), (1, 0), (1, 0))}, "at least one step on the way down of the first grid"),
        ({"steps": ((1, 0), (1, 0), (1, 1))}, "as the steps of the coarsest grid"),
        ({"steps": ((1, 0),) * 17}, "at most 16 grids"),
        ({"variant": "darci"}, "unknown variant 'darci'; did you mean 'darcy'"),
        ({"padding": "circular"}, "unknown padding"),
        ({"restrict": "both"}, "unknown restrict"),
        ({"normalize_y": "pontwise"}, "unknown normalize_y 'pontwise'; did you mean 'pointwise'"),
        ({"input_shape": (8, 9, 1)}, "both even or both odd on each grid. Received: 8 x 9 points on grid 1"),
        ({"input_shape": (2, 2, 1)}, "at least 2 x 2 points on grid 2 of 3"),
        ({"input_shape": (4, 4, 1), "padding": "reflect"}, "at least 2 x 2 points on grid 3 of 3"),
        ({"input_shape": (8, 8)}, "expected input_shape="),
        ({"input_shape": (None, None, 1), "variant": "navier_stokes"}, "a fixed input_shape"),
        ({"input_shape": (None, None, 1), "normalize_x": "pointwise"}, "a fixed height and width"),
        ({"input_shape": (8, 8, 2), "variant": "navier_stokes"}, "expected out_channels=2"),
        ({"recipe": "mgn"}, "unknown recipe"),
        ({"weights": "absent.weights.h5"}, "expected an existing file"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        MgNO(**{"channels": 4, "layers": 1, "steps": ((1, 0), (1, 0), (1, 0)), "input_shape": (8, 8, 1)} | arguments)


@every_map
def test_the_analyses_of_other_networks_say_that_they_do_not_apply(name):
    reasons = inapplicable(catalogue.built(name))
    assert set(ANALYSES) - set(reasons) == {"moments"} and all(text.startswith("expected") for text in reasons.values())
