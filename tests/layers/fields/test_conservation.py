"""Burgers' equation: its step in numpy, what it conserves, its shocks and its rarefaction waves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from keras_mgnet.layers import Burgers, ConservationLaw
from support.diffusion import draw


def rusanov(v, w, a):
    return a * (v**2 + w**2) / 4 - abs(a) * np.maximum(np.abs(v), np.abs(w)) * (w - v) / 2


def twin(u, a, dt):
    """One step on an image (H, W), flux by flux."""
    down, right = rusanov(u[:-1], u[1:], a[0]), rusanov(u[:, :-1], u[:, 1:], a[1])
    change = np.zeros_like(u)
    change[:-1] -= down
    change[1:] += down
    change[:, :-1] -= right
    change[:, 1:] += right
    return u + dt * change


@given(
    st.integers(2, 7), st.integers(2, 7), st.sampled_from([(0.0, 1.0), (1.0, -0.5), (-1.0, 0.0)]), st.integers(0, 99)
)
def test_steps_are_those_of_a_numpy_twin_and_keep_the_mean(height, width, a, seed):
    u = draw((height, width), seed)
    expected = twin(twin(u, a, 0.1), a, 0.1)
    found = ops.convert_to_numpy(Burgers(2, a, dt=0.1, dtype="float64")(u[None, ..., None]))[0, ..., 0]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert found.mean() == pytest.approx(u.mean(), abs=1e-12)


def box(n):
    """u = 1 on [1/4, 1/2] of [0, 1], and its exact solution at t = 1/5: a rarefaction wave and a shock of speed 1/2."""
    x = (np.arange(n) + 0.5) / n
    exact = np.clip((x - 0.25) / 0.2, 0, 1) * (x < 0.5 + 0.1)
    return ((x > 0.25) & (x < 0.5)).astype(float), exact


def test_a_box_becomes_a_rarefaction_wave_and_a_shock():
    errors = []
    for n in (50, 100, 200):
        u, exact = box(n)
        steps = round(n * 0.2 / 0.5)  # dt = dx / 2
        found = ops.convert_to_numpy(Burgers(steps, dtype="float64")(np.tile(u, (2, 1))[None, ..., None]))[0, 0, :, 0]
        errors.append(np.abs(found - exact).mean())
        assert found.min() >= -1e-12 and found.max() <= 1 + 1e-12
        shock = np.interp(-0.5, -found[n // 2 :], (np.arange(n // 2, n) + 0.5) / n)
        assert shock == pytest.approx(0.6, abs=1.5 / n)
    assert errors[0] > 1.6 * errors[1] > 1.6**2 * errors[2] and errors[-1] < 0.012


def test_a_conservation_law_needs_a_flux():
    with pytest.raises(NotImplementedError):
        ConservationLaw(1, dt=0.1)(np.ones((1, 3, 3, 1)))
