"""Relative errors of functions: against numpy, and against the authors' code of MgNO."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_mgnet.relative_errors import (
    H1Error,
    L2Error,
    RelativeH1,
    RelativeL2,
    difference_h1_norm,
    fourier_h1_norm,
    mean_relative_l2,
    relative_h1,
    relative_l2,
)
from support import SHARED

ROUGH = SHARED / "golden" / "mgno_dc_rough.npz"
GIVEN = {
    "a1_cut": lambda e: fourier_h1_norm(e),
    "a1_nocut": lambda e: fourier_h1_norm(e, cutoff=None),
    "a2_cut": lambda e: fourier_h1_norm(e, a=2.0),
}


def functions(shape=(3, 7, 6, 2), seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def fourier_twin(e):
    """Clean frequencies, so for an even number of points alone."""
    n, m = e.shape[1:3]
    k, m = np.fft.fftfreq(n, 1 / n)[:, None], np.fft.fftfreq(m, 1 / m)
    transform = np.fft.fft2(e, axes=(1, 2))
    return np.sqrt((np.abs(transform) ** 2 * (1 + k**2 + m**2)[:, :, None]).sum((1, 2, 3)))


def difference_twin(e):
    n, m = e.shape[1:3]
    squares = e**2 + np.gradient(e, 1 / n, axis=1) ** 2 + np.gradient(e, 1 / m, axis=2) ** 2
    return np.sqrt(squares.sum((1, 2, 3)))


@pytest.mark.parametrize(("form", "twin"), [("fourier", fourier_twin), ("differences", difference_twin)])
def test_h1_is_that_of_numpy(form, twin):
    truth, values = functions((3, 8, 6, 2)), functions((3, 8, 6, 2), seed=1)
    expected = twin(values - truth) / twin(truth)
    np.testing.assert_allclose(relative_h1(truth, values, form), expected, rtol=1e-12)
    assert float(RelativeH1(form, dtype="float64")(truth, values)) == pytest.approx(expected.mean(), rel=1e-12)


def test_l2_is_that_of_numpy():
    truth, values = functions(), functions(seed=1)
    expected = np.linalg.norm((values - truth).reshape(3, -1), axis=1) / np.linalg.norm(truth.reshape(3, -1), axis=1)
    np.testing.assert_allclose(relative_l2(truth, values), expected, rtol=1e-12)
    assert mean_relative_l2(truth, values) == pytest.approx(expected.mean(), rel=1e-12)


@pytest.mark.skipif(not ROUGH.is_file(), reason="no golden files beside the checkout")
@pytest.mark.parametrize("n", [44, 45])
def test_errors_are_those_of_the_authors(n):
    """They add up the errors of a batch. Helmholtz' error is absolute, and a mean."""
    with np.load(ROUGH, allow_pickle=False) as golden:
        case = {key.partition("/")[2]: golden[key] for key in golden.files if key.startswith(f"h1case{n}/")}
    truth, values = (case[key].astype("float64")[..., None] for key in ("target", "pred"))
    for key, norm in GIVEN.items():
        np.testing.assert_allclose(float(ops.sum(norm(values - truth) / norm(truth))), case[key], rtol=1e-6)
    np.testing.assert_allclose(float(ops.sum(relative_l2(truth, values))), case["l2"], rtol=1e-6)
    np.testing.assert_allclose(float(ops.mean(difference_h1_norm(values - truth, 10.0))), case["fd_abs"], rtol=1e-6)


@pytest.mark.parametrize("loss", [RelativeL2(), RelativeH1(), RelativeH1("differences")])
def test_the_gradient_of_an_exact_answer_is_finite_and_losses_survive_their_config(loss):
    import tensorflow as tf

    truth = tf.constant(functions(), "float32")
    with tf.GradientTape() as tape:
        tape.watch(truth)
        value = loss(truth, tf.identity(truth))
    assert np.isfinite(tape.gradient(value, truth)).all()
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    assert keras.saving.deserialize_keras_object(config).get_config() == loss.get_config()


@pytest.mark.parametrize(("measure", "error"), [(L2Error(), relative_l2), (H1Error(), relative_h1)])
def test_metrics_are_means_over_functions_of_which_less_is_better(measure, error):
    truth, values = functions().astype("float32"), functions(seed=1).astype("float32")
    for part in (slice(0, 1), slice(1, 3)):
        measure.update_state(truth[part], values[part])
    assert float(measure.result()) == pytest.approx(float(ops.mean(error(truth, values))), rel=1e-5)
    assert type(measure).from_config(measure.get_config()).name == measure.name
    assert measure._direction == "down"


def test_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match="unknown form 'fourir'; did you mean 'fourier'"):
        RelativeH1("fourir")
