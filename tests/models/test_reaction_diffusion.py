"""Reaction-diffusion networks: their sizes, their equation, their files and precisions."""

import json

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from keras_mgnet import ReactionDiffusion, count_params, create_model, describe, features, model_info
from keras_mgnet.metrics import PSNR
from support import SHARED
from support.diffusion import draw, matrix, psi_twin
from support.numerics import randomize

EXPECTED = SHARED / "reference" / "expected_counts.json"


@pytest.mark.parametrize(("name", "size"), [("tnrd5_5x5", 10_565), ("tnrd5_7x7", 26_885)])
def test_the_published_sizes(name, size):
    model = create_model(name)
    assert count_params(model) == model_info(name).params == size
    assert model.output_shape == (None, None, None, 1)


@pytest.mark.skipif(not EXPECTED.is_file(), reason=f"no {EXPECTED.name} beside the checkout")
def test_every_size_of_the_reference():
    sizes = {count_params(create_model(f"tnrd5_{m}x{m}")) for m in (5, 7)}
    assert sizes <= {value for value in json.loads(EXPECTED.read_text())["tnrd"].values() if isinstance(value, int)}


@given(st.integers(1, 6), st.integers(1, 40), st.integers(2, 70), st.integers(1, 3))
def test_the_size_in_closed_form(stages, filters, functions, scales):
    m = 7
    model = ReactionDiffusion(stages, m, filters=filters, functions=functions, scales=scales)
    assert count_params(model) == stages * (scales * filters * (m * m + functions) + 1)


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


def full_weighting(n):
    """The matrix of full weighting on a line of n mirrored points."""
    return matrix(np.outer([0, 1, 0], [1, 2, 1]) / 4, (1, n))[::2]


def test_several_scales_are_their_equation():
    """Also on grids of odd size. A^T and K^T are transposed matrices."""
    model = randomize(ReactionDiffusion(1, 3, filters=2, scales=3, dtype="float64"))
    (step,) = model.get_layer("level1").field.steps
    shape, f = (9, 10), 128 + draw((1, 9, 10, 1), scale=60.0)
    u, A, expected = f.ravel(), np.eye(90), f.ravel()
    for K, psi in ((step.K, step.psi), *zip(step.coarse_K, step.coarse_psi, strict=True)):
        kernel, w = (ops.convert_to_numpy(x) for x in (K.kernel(), psi.w))
        for i in range(2):
            KA = matrix(kernel[:, :, 0, i], shape) @ A
            expected = expected - KA.T @ psi_twin((KA @ u)[:, None], w[:, i : i + 1])[:, 0]
        A = np.kron(full_weighting(shape[0]), full_weighting(shape[1])) @ A
        shape = tuple(-(-n // 2) for n in shape)
    np.testing.assert_allclose(ops.convert_to_numpy(model(f)).ravel(), expected, rtol=1e-10)
    assert model.get_layer("level1").field.least == 5 and model.name == "reaction_diffusion1_3x3_scales3"
    assert ReactionDiffusion(1, 5).get_layer("level1").field.least == 4


def test_it_survives_files_and_copies_and_takes_any_size(tmp_path):
    model = randomize(ReactionDiffusion(2, 3, filters=2, functions=9, reaction=0.2, scales=2, name="small"))
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    config = json.loads(json.dumps(model.get_config()))
    assert (config["stages"], config["filters"], config["reaction"], config["name"]) == (2, 2, 0.2, "small")
    others = [
        keras.saving.load_model(tmp_path / "model.keras"),
        keras.models.clone_model(model),
        ReactionDiffusion(2, 3, filters=2, functions=9, scales=2, weights=tmp_path / "model.weights.h5"),
        ReactionDiffusion.from_config(config),
    ]
    for other in (others[1], others[3]):
        other.set_weights(model.get_weights())
    for shape in ((1, 8, 9, 1), (2, 5, 4, 1)):
        x = 128 + draw(shape, scale=40.0)
        for other in others:
            np.testing.assert_array_equal(other(x), model(x))


def test_it_fits_as_it_comes_and_in_half_precision():
    for dtype in ("float32", "mixed_float16"):
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stages": 0}, "stages"),
        ({"filter_size": 4}, "filters of odd size >= 3"),
        ({"filter_size": 5.0}, "filter_size to be an integer"),
        ({"filter_size": "abc"}, "filter_size to be an integer"),
        ({"filters": 2.5}, "filters to be an integer"),
        ({"filters": 25}, "1 to 24 filters"),
        ({"scales": 0}, "expected scales to be an integer >= 1"),
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


def test_a_callback_that_watches_psnr_keeps_the_highest():
    model = ReactionDiffusion(1, 3, filters=2, input_shape=(8, 8, 1))
    watch = keras.callbacks.EarlyStopping("psnr")
    model.fit(np.zeros((1, 8, 8, 1)), np.ones((1, 8, 8, 1)), callbacks=[watch], verbose=0)
    assert watch.monitor_op(2.0, 1.0) and not watch.monitor_op(1.0, 2.0)
