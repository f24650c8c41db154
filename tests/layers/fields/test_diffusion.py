"""Diffusion against SciPy, dense matrices and the properties of its equations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from scipy.ndimage import correlate

from keras_mgnet.layers import CosineFilters, Diffusion, DiffusionStep, EulerFromData, Level, PeronaMalik, autodiff
from keras_mgnet.layers.fields.conservation import Differences
from keras_mgnet.layers.fields.diffusion import cosines
from support.diffusion import CENTRES, GAMMA, draw, matrix
from support.numerics import randomize

sides = st.integers(6, 11)


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
