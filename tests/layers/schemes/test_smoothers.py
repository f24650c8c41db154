"""The smoothers: their equations, their coefficients, and the residual that they keep."""

import keras
import numpy as np
import pytest
from keras.ops import convert_to_tensor as tensor

from keras_mgnet import MgNet
from keras_mgnet.layers import CycleLevel, GridLevel, PolynomialSmoother
from keras_mgnet.layers.schemes.smoothers import SMOOTHERS, chebyshev_omegas
from support.numerics import randomize
from support.twins import close, twin_conv, twin_norm


@pytest.mark.parametrize("smoother", ["chebyshev", "multistep"])
def test_smoothers_start_as_the_plain_correction(smoother, images):
    plain = MgNet((3, 2), 4, input_shape=(8, 8, 1))
    other = MgNet((3, 2), 4, input_shape=(8, 8, 1), smoother=smoother)
    source = {w.path: w for w in plain.weights}
    for w in other.weights:
        if w.path in source:
            w.assign(source[w.path])
    x = images(plain)
    np.testing.assert_array_equal(other(x), plain(x))


@pytest.mark.parametrize(("smoother", "extra"), [("damped", 1), ("chebyshev", 4), ("multistep", 6)])
def test_smoothers_add_their_coefficients(smoother, extra):
    shape = {"input_shape": (8, 8, 1)}
    sizes = [sum(w.numpy().size for w in MgNet((4,), 4, smoother=s, **shape).trainable_weights)
             for s in ("residual_correction", smoother)]  # fmt: skip
    assert sizes[1] - sizes[0] == extra


def test_smoothers_follow_their_equations():
    """Given corrections e^j, the iterates of section 1.4 written out."""
    rng = np.random.default_rng(0)
    level = {name: GridLevel(2, 2, 3, smoother=name, dtype="float64") for name in SMOOTHERS}
    r, u = rng.normal(size=(2, 4, 4, 2)), rng.normal(size=(2, 4, 4, 2))
    for each in level.values():
        each.build(r.shape, u.shape)
        randomize(each)

    def run(name, iterate):
        layer = level[name]
        f = r + twin_conv(u, layer.field.A[0].kernel.numpy())
        us = [u]
        for i in range(3):
            correct = [
                v + correction(layer, j, f - twin_conv(v, layer.field.A[0].kernel.numpy())) for j, v in enumerate(us)
            ]
            us.append(iterate(layer.scheme, i, us, correct))
        computed, _ = layer(keras.ops.convert_to_tensor(r), keras.ops.convert_to_tensor(u))
        np.testing.assert_allclose(computed, us[-1], rtol=1e-8, atol=1e-8)

    def correction(layer, j, residual):
        B = layer.field.B[0].kernel.numpy()
        damping = 1 / (1 + np.exp(-layer.scheme.a.numpy())) if hasattr(layer.scheme, "a") else 1.0
        return twin_norm(
            damping * twin_conv(twin_norm(residual, layer.field.s1[j], False), B), layer.field.s2[j], False
        )

    def chebyshev(scheme, i, us, correct):
        omega = scheme.omega.numpy()[i]
        return omega * correct[i] + (1 - omega) * us[max(i - 1, 0)]

    def multistep(scheme, i, us, correct):
        early = scheme.alpha[i - 1].numpy() if i else np.array([])
        alpha = [*early, 1 - early.sum()]
        return sum(a * v for a, v in zip(alpha, correct, strict=True))

    run("residual_correction", lambda scheme, i, us, correct: correct[i])
    run("damped", lambda scheme, i, us, correct: correct[i])
    run("chebyshev", chebyshev)
    run("multistep", multistep)


KEPT = {"behind": "sigma"}, {"behind": "norm"}, {"sigma_last": True}


@pytest.mark.parametrize("options", KEPT, ids=str)
def test_a_smoother_that_does_not_keep_the_residual_is_refused_where_it_would_have_to(options):
    loses = PolynomialSmoother(2, **options)
    levels = {
        "GridLevel": lambda form: GridLevel(4, 4, 2, B=(None, None), smoother=loses, form=form),
        "CycleLevel": lambda form: CycleLevel(4, 2, 1, smoothers=(loses, "residual_correction"), form=form),
    }
    for make in levels.values():
        with pytest.raises(ValueError, match=r"keep r = f - A \* u\. Received: form='residual'"):
            make("residual")
    level = levels["GridLevel"]("feature")
    f = np.random.default_rng(0).normal(size=(1, 8, 8, 4)).astype("float32")
    u, r = level(f)
    np.testing.assert_allclose(r, f - level.field.A[0](u), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMOOTHERS)
def test_smoothers_keep_the_residual_whatever_their_coefficients(name):
    level = GridLevel(3, 3, 4, smoother=name, dtype="float64")
    f = keras.ops.convert_to_tensor(np.random.default_rng(0).normal(size=(2, 6, 6, 3)))
    level(f)
    randomize(level)
    u, r = level(f)
    np.testing.assert_allclose(r, f - level.field.A[0](u), rtol=1e-9, atol=1e-9)


def test_chebyshev_omegas_are_one_minus_k():
    k = [round(1 - omega, 4) for omega in chebyshev_omegas(0.9, 7)]
    assert k == [0, -0.6807, -0.5159, -0.4429, -0.4128, -0.4007, -0.3960]
    assert round(1 - chebyshev_omegas(0.9, 60)[-1], 4) == -0.3929 == round(1 - 2 / (1 + np.sqrt(1 - 0.81)), 4)
    for rho in (0.1, 0.5, 0.99):
        omegas = chebyshev_omegas(rho, 50)
        assert omegas[0] == 1 and all(1 < omega < 2 for omega in omegas[1:])
    assert chebyshev_omegas(0.0, 3) == (1, 1, 1) and chebyshev_omegas(0.5, 0) == ()
    with pytest.raises(ValueError, match=r"expected 0 <= rho < 1\. Received: rho=1"):
        chebyshev_omegas(1, 3)


def test_chebyshev_level_is_the_chebyshev_polynomial():
    """With A = I - diag(mu) and B = I, the error after n steps is T_n(mu / rho) / T_n(1 / rho) times the first."""
    rho, n = 0.9, 5
    mu = np.linspace(-rho, rho, 4)
    level = GridLevel(4, 4, n, B=(None, None), smoother="chebyshev", dtype="float64")
    level.build((None, 2, 2, 4))
    for conv, matrix in ((level.field.A[0], np.diag(1 - mu)), (level.field.B[0], np.eye(4))):
        conv.kernel.assign(np.pad(matrix[None, None], ((1, 1), (1, 1), (0, 0), (0, 0))))
    level.scheme.omega.assign(chebyshev_omegas(rho, n))
    f = np.random.default_rng(0).normal(size=(1, 2, 2, 4))
    u, _ = level(tensor(f))
    T = np.polynomial.Chebyshev.basis(n)
    solution = f / (1 - mu)
    close(solution - u, T(mu / rho) / T(1 / rho) * solution, 1e-10)
