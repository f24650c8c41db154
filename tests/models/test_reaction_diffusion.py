"""Reaction-diffusion and Perona-Malik against SciPy, dense matrices and the properties of their equations."""

import json

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from scipy.ndimage import correlate

from keras_mgnet import ReactionDiffusion, count_params, create_model, describe, features, model_info
from keras_mgnet.layers import (
    CosineFilters,
    Diffusion,
    DiffusionStep,
    EulerFromData,
    Level,
    PeronaMalik,
    RadialBasis,
    autodiff,
)
from keras_mgnet.layers.fields.diffusion import Differences, cosines
from keras_mgnet.metrics import PSNR
from support import SHARED
from support.numerics import randomize

EXPECTED = SHARED / "reference" / "expected_counts.json"
CENTRES, GAMMA = np.arange(-310, 311, 10.0), 10.0
sides = st.integers(6, 11)


def draw(shape, seed=0, scale=1.0):
    return scale * np.random.default_rng(seed).normal(size=shape)


def psi_twin(z, w):
    """psi_i(z_i) of z (..., c) with the weights w (63, c)."""
    return np.einsum("...jc,jc->...c", np.exp(-((z[..., None, :] - CENTRES[:, None]) ** 2) / (2 * GAMMA**2)), w)


def matrix(kernel, shape):
    """The correlation with a kernel (m, m) on a grid, edges mirrored, as a matrix of SciPy's columns."""
    grid = np.eye(np.prod(shape)).reshape(-1, *shape)
    return np.stack([correlate(unit, kernel, mode="reflect").ravel() for unit in grid], axis=1)


@pytest.mark.parametrize(("name", "size"), [("tnrd5_5x5", 10_565), ("tnrd5_7x7", 26_885)])
def test_the_published_sizes(name, size):
    model = create_model(name)
    assert count_params(model) == model_info(name).params == size
    assert model.output_shape == (None, None, None, 1)


@pytest.mark.skipif(not EXPECTED.is_file(), reason=f"no {EXPECTED.name} beside the checkout")
def test_every_size_of_the_reference():
    sizes = {count_params(create_model(f"tnrd5_{m}x{m}")) for m in (5, 7)}
    assert sizes <= {value for value in json.loads(EXPECTED.read_text())["tnrd"].values() if isinstance(value, int)}


@given(st.integers(1, 6), st.integers(1, 40), st.integers(2, 70))
def test_the_size_in_closed_form(stages, filters, functions):
    m = 7
    model = ReactionDiffusion(stages, m, filters=filters, functions=functions)
    assert count_params(model) == stages * (filters * (m * m + functions) + 1)


@given(sides, sides, st.sampled_from([3, 5, 7]), st.integers(0, 99))
def test_the_adjoint_is_exact_to_the_edges(height, width, m, seed):
    K = CosineFilters(m, dtype="float64")
    u, v = draw((2, height, width, 1), seed), draw((2, height, width, m * m - 1), seed + 1)
    K.build(u.shape)
    randomize(K)
    Ku, KTv = (ops.convert_to_numpy(x) for x in (K(u), K.adjoint(v)))
    assert np.sum(Ku * v) == pytest.approx(np.sum(u * KTv), abs=1e-12 * np.linalg.norm(Ku) * np.linalg.norm(v))


def test_filters_are_scipys_and_have_zero_mean_and_unit_norm():
    K = CosineFilters(5, 3, dtype="float64")
    u = draw((1, 6, 8, 1))
    K.build(u.shape)
    np.testing.assert_allclose(K.kernel()[:, :, 0].numpy().reshape(25, 3), cosines(5)[:, 1:4], atol=1e-15)
    randomize(K)
    kernel = ops.convert_to_numpy(K.kernel())[:, :, 0]
    np.testing.assert_allclose(kernel.sum((0, 1)), 0, atol=1e-15)
    np.testing.assert_allclose((kernel**2).sum((0, 1)), 1, rtol=1e-14)
    expected = np.stack([correlate(u[0, ..., 0], kernel[..., i], mode="reflect") for i in range(3)], axis=-1)
    np.testing.assert_allclose(K(u)[0], expected, atol=1e-14)
    c = ops.convert_to_numpy(K.c)
    K.c.assign(np.vstack([c[:1] + 5, 3 * c[1:]]))  # neither the constant's coefficient nor a scale is seen
    np.testing.assert_allclose(K.kernel()[:, :, 0], kernel, atol=1e-15)


def test_cosines_are_orthonormal_and_begin_with_the_constant():
    D = cosines(5)
    np.testing.assert_allclose(D.T @ D, np.eye(25), atol=1e-14)
    np.testing.assert_allclose(D[:, 0], 0.2)


def influence(dtype, w, z):
    """psi and its gradients of sum(psi^2)."""
    psi = RadialBasis(dtype=dtype)
    psi.build(z.shape)
    psi.w.assign(w)
    z = ops.array(z, dtype)

    def loss(z, w):
        y, _ = psi.stateless_call([w], [], z)
        return ops.sum(y**2)

    value, pull = autodiff.vjp(loss, z, autodiff.read(psi.w))
    return [ops.convert_to_numpy(x) for x in (psi(z), value, *pull(ops.ones_like(value)))]


def test_influence_functions_are_sums_of_gaussians():
    w, z = draw((63, 4)), draw((50, 4), seed=1, scale=150.0)
    exact, _, to_z, to_w = influence("float64", w, z)
    np.testing.assert_allclose(exact, psi_twin(z, w), rtol=1e-13, atol=1e-14)
    phi = np.exp(-((z[:, None] - CENTRES[:, None]) ** 2) / (2 * GAMMA**2))
    np.testing.assert_allclose(to_w, 2 * np.einsum("njc,nc->jc", phi, psi_twin(z, w)), rtol=1e-11, atol=1e-13)
    slope = (psi_twin(z + 1e-4, w) - psi_twin(z - 1e-4, w)) / 2e-4
    np.testing.assert_allclose(to_z, 2 * psi_twin(z, w) * slope, atol=1e-8)


def test_the_table_of_cubics_is_the_sum_to_round_off():
    w = draw((63, 3))
    z = np.concatenate([draw((400, 3), scale=150.0), np.linspace(-330, 330, 661)[:, None] + [0, 0.25, 0.5]])
    z = z.astype("float32").astype("float64")
    scale = np.abs(w).max()
    for exact, table in zip(influence("float64", w, z), influence("float32", w, z), strict=True):
        np.testing.assert_allclose(table, exact, rtol=1e-4, atol=1e-5 * max(scale, np.abs(exact).max()))
    np.testing.assert_allclose(influence("float32", w, z)[0], psi_twin(z, w), atol=4e-6 * scale)


def test_influence_functions_vanish_beyond_their_centres():
    far = np.array([[-1e9, -400.0, 400.0, 1e9]]).T
    value, _, to_z, to_w = influence("float32", draw((63, 1)), far)
    assert np.abs(value).max() < 1e-9 and np.abs(to_z).max() < 1e-9 and np.abs(to_w).max() < 1e-9


def test_the_initial_functions_are_those_of_perona_and_malik():
    psi = RadialBasis(slope=0.05, scale=40.0, dtype="float64")
    z, y = np.linspace(-200, 200, 81)[:, None], np.linspace(-400, 400, 4001)
    smooth = np.exp(-(((z - y) / GAMMA) ** 2) / 2) / (np.sqrt(2 * np.pi) * GAMMA) * (0.05 * y / (1 + (y / 40) ** 2))
    np.testing.assert_allclose(psi(z)[:, 0], smooth.sum(axis=1) * (y[1] - y[0]), atol=1e-3)


def linear_step(K, lambda_, slope):
    """A step whose influence functions are slope * z for |z| far below 310."""
    step = DiffusionStep(5, 3, reaction=lambda_, dtype="float64")
    step.build((1, 6, 7, 1))
    randomize(step.K)
    step.psi.w.assign(np.repeat(slope * CENTRES[:, None] / np.sqrt(2 * np.pi), 3, axis=1))
    return step


def test_without_influence_functions_only_the_reaction_is_left():
    step = linear_step(3, 0.3, slope=0.0)
    u, f = draw((1, 6, 7, 1)), draw((1, 6, 7, 1), seed=1)
    np.testing.assert_allclose(step(u, f), -0.3 * (u - f), rtol=1e-15)


def test_with_the_identity_as_influence_function_it_is_linear_diffusion():
    step = linear_step(3, 0.0, slope=1.0)
    u = draw((1, 6, 7, 1))
    kernel = ops.convert_to_numpy(step.K.kernel())[:, :, 0]
    A = sum(matrix(kernel[..., i], (6, 7)).T @ matrix(kernel[..., i], (6, 7)) for i in range(3))
    expected = u.ravel() - A @ u.ravel()
    gaussians = 4 * np.pi * GAMMA * np.exp(-2 * np.pi**2)  # by how much their sum is off z, from Poisson's formula
    tolerance = gaussians * np.abs(kernel).sum()
    np.testing.assert_allclose(
        u.ravel() + ops.convert_to_numpy(step(u, u)).ravel(), expected, rtol=1e-7, atol=tolerance
    )


def test_a_model_is_its_equation():
    model = randomize(ReactionDiffusion(2, 3, filters=4, dtype="float64"))
    f = 128 + draw((1, 7, 9, 1), scale=60.0)
    u = f[0, ..., 0].ravel()
    for step in model.get_layer("level1").field.steps:
        kernel, w, lambda_ = (ops.convert_to_numpy(x) for x in (step.K.kernel(), step.psi.w, step.lambda_))
        K = [matrix(kernel[:, :, 0, i], (7, 9)) for i in range(4)]
        forces = [K[i].T @ psi_twin((K[i] @ u)[:, None], w[:, i : i + 1])[:, 0] for i in range(4)]
        u = u - sum(forces) - lambda_ * (u - f.ravel())
    np.testing.assert_allclose(ops.convert_to_numpy(model(f)).ravel(), u, rtol=1e-11)
    single = ReactionDiffusion(2, 3, filters=4)
    single.set_weights(model.get_weights())
    np.testing.assert_allclose(ops.convert_to_numpy(single(f)).ravel(), u, rtol=1e-4)


def test_it_survives_files_and_copies_and_takes_any_size(tmp_path):
    model = randomize(ReactionDiffusion(2, 3, filters=2, functions=9, reaction=0.2, name="small"))
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    config = json.loads(json.dumps(model.get_config()))
    assert (config["stages"], config["filters"], config["reaction"], config["name"]) == (2, 2, 0.2, "small")
    others = [
        keras.saving.load_model(tmp_path / "model.keras"),
        keras.models.clone_model(model),
        ReactionDiffusion(2, 3, filters=2, functions=9, weights=tmp_path / "model.weights.h5"),
        ReactionDiffusion.from_config(config),
    ]
    for other in (others[1], others[3]):
        other.set_weights(model.get_weights())
    for shape in ((1, 8, 9, 1), (2, 5, 4, 1)):
        x = 128 + draw(shape, scale=40.0)
        for other in others:
            np.testing.assert_array_equal(other(x), model(x))


def test_it_fits_as_it_comes_in_any_precision():
    for dtype in ("float32", "mixed_bfloat16", "mixed_float16"):
        model = ReactionDiffusion(2, 3, dtype=dtype)
        clean = np.repeat(np.linspace(0, 255, 16)[None, :, None, None], 16, axis=2)
        noisy = clean + draw((8, 16, 16, 1), scale=25.0)
        before = [variable.numpy() for variable in model.trainable_variables]
        # in float16 the first steps only lower the scale of the loss, from 2^15, until no gradient overflows
        log = model.fit(noisy, np.repeat(clean, 8, axis=0), epochs=8, verbose=0).history
        assert np.isfinite(log["loss"][0]) and log["psnr"][0] > 15
        moved = [(b != v.numpy()).any() for b, v in zip(before, model.trainable_variables, strict=True)]
        assert moved == [False, True, True] + [True] * 3  # lambda first: there is no reaction where u = f


def test_it_describes_itself():
    model = ReactionDiffusion(2, input_shape=(10, 12, 1))
    text = describe(model)
    assert "K^T psi(K u)" in text and f"{2 * 2 * 120 * 25 * 24 / 1e6:.1f} M multiply-adds" in text
    assert list(features(model)(draw((1, 10, 12, 1)))) == ["level1"]


def test_a_greedy_level_ends_with_its_step_and_trains_it_alone():
    level = Level(EulerFromData(), Diffusion(3, 3, dtype="float64"), dtype="float64")
    f = 128 + draw((1, 8, 8, 1), scale=40.0)
    level.build(f.shape)
    first, second, _ = level.field.steps
    level.field.end_with(1)
    u = f + first(f, f)
    np.testing.assert_allclose(level(f), u + second(u, f), rtol=1e-14)

    def loss(*weights):
        y, _ = level.stateless_call(list(weights), [], f)
        return ops.sum(y**2)

    value, pull = autodiff.vjp(loss, *map(autodiff.read, level.trainable_variables))
    moved = [bool(np.any(ops.convert_to_numpy(g))) for g in pull(ops.ones_like(value))]
    assert moved == [False] * 3 + [True] * 3 + [False] * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stages": 0}, "stages"),
        ({"filter_size": 4}, "filters of odd size >= 3"),
        ({"filter_size": 5.0}, "filter_size to be an integer"),
        ({"filter_size": "abc"}, "filter_size to be an integer"),
        ({"filters": 2.5}, "filters to be an integer"),
        ({"filters": 25}, "1 to 24 filters"),
        ({"functions": 1}, "at least 2 Gaussians"),
        ({"reaction": "much"}, "reaction"),
        ({"input_shape": (8, 8, 3)}, "input_shape"),
        ({"weights": "absent.weights.h5"}, "weights"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        ReactionDiffusion(**arguments)


def test_psnr_is_the_mean_over_images():
    clean = np.zeros((2, 3, 3, 1))
    image = np.stack([np.full((3, 3, 1), 25.5), np.full((3, 3, 1), 2.55)])
    assert float(PSNR()(clean, image)) == pytest.approx(30.0, abs=1e-4)
    assert PSNR.from_config(PSNR().get_config()).name == "psnr"


def perona_malik_twin(u, k, dt):
    """One step by differences of NumPy."""
    down, right = (np.diff(u, axis=axis, append=np.take(u, [-1], axis)) for axis in (0, 1))
    g = 1 / (1 + k * (down**2 + right**2))
    return u + dt * (np.diff(g * down, axis=0, prepend=0) + np.diff(g * right, axis=1, prepend=0))


def test_perona_malik_is_its_equation():
    u = draw((6, 7), scale=50.0)
    expected = perona_malik_twin(perona_malik_twin(u, 0.02, 0.2), 0.02, 0.2)
    got = PeronaMalik(2, 0.02, dt=0.2, dtype="float64")(u[None, ..., None])
    np.testing.assert_allclose(got[0, ..., 0], expected, atol=1e-12)


def test_perona_malik_is_a_reaction_diffusion_with_fixed_functions():
    """Where one of the two differences is zero, for psi has one argument; filters of unit norm see d / 2^(1/2)."""
    k, dt = 1e-4, 0.25
    u = np.repeat(np.random.default_rng(0).uniform(0, 255, (1, 12, 1, 1)), 9, axis=2)
    step = DiffusionStep(3, 2, reaction=0.0, dtype="float64")
    step.build(u.shape)
    differences = ops.convert_to_numpy(Differences(dtype="float64").kernel()).reshape(9, 2)
    step.K.c.assign(cosines(3).T @ differences)
    z = np.linspace(-260, 260, 1041)[:, None]
    gaussians = np.exp(-(((z - CENTRES) / GAMMA) ** 2) / 2)
    w, *_ = np.linalg.lstsq(gaussians, 2 * dt * z / (1 + 2 * k * z**2), rcond=1e-10)
    step.psi.w.assign(np.repeat(w, 2, axis=1))
    smooth = ops.convert_to_numpy(PeronaMalik(1, k, dt=dt, dtype="float64")(u))
    assert np.abs(smooth - u).max() > 5
    np.testing.assert_allclose(u + step(u, u), smooth, atol=1e-4)  # so well do the Gaussians fit


@given(sides, sides, st.floats(0, 10), st.floats(0.01, 0.25), st.integers(0, 99))
def test_perona_malik_keeps_the_mean_and_the_range(height, width, k, dt, seed):
    u = np.random.default_rng(seed).uniform(0, 255, (2, height, width, 1))
    smooth = ops.convert_to_numpy(PeronaMalik(8, k, dt=dt, dtype="float64")(u))
    np.testing.assert_allclose(smooth.mean((1, 2, 3)), u.mean((1, 2, 3)), rtol=1e-13)
    assert np.all(smooth.min((1, 2, 3)) >= u.min((1, 2, 3)) - 1e-11)
    assert np.all(smooth.max((1, 2, 3)) <= u.max((1, 2, 3)) + 1e-11)


def test_a_step_beyond_a_quarter_breaks_the_range():
    u = np.zeros((1, 5, 5, 1))
    u[0, 2, 2] = 1.0
    assert float(ops.min(PeronaMalik(1, 0.0, dt=0.3, dtype="float64")(u))) < 0


def test_perona_malik_keeps_the_edge_that_linear_diffusion_blurs():
    u = np.where(np.arange(20) < 10, 50.0, 200.0) + draw((1, 20, 20), scale=3.0)
    smooth = {
        k: ops.convert_to_numpy(PeronaMalik(40, k, dtype="float64")(u[..., None]))[0, ..., 0] for k in (0.0, 0.01)
    }
    jump = {k: np.mean(image[:, 10] - image[:, 9]) for k, image in smooth.items()}
    assert jump[0.01] > 0.9 * 150 and jump[0.0] < 0.2 * 150
    assert smooth[0.01][:, :7].std() < 0.3 * u[0, :, :7].std()


def test_the_divergence_is_minus_the_adjoint_of_the_gradient():
    K = Differences(dtype="float64")
    u, p = draw((1, 5, 6, 1)), draw((1, 5, 6, 2), seed=1)
    np.testing.assert_allclose(np.sum(ops.convert_to_numpy(K(u)) * p), np.sum(u * ops.convert_to_numpy(K.adjoint(p))))


def test_a_callback_that_watches_psnr_keeps_the_highest():
    model = ReactionDiffusion(1, 3, filters=2, input_shape=(8, 8, 1))
    watch = keras.callbacks.EarlyStopping("psnr")
    model.fit(np.zeros((1, 8, 8, 1)), np.ones((1, 8, 8, 1)), callbacks=[watch], verbose=0)
    assert watch.monitor_op(2.0, 1.0) and not watch.monitor_op(1.0, 2.0)
