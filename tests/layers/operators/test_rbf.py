"""Influence functions: sums of Gaussians, their table of cubics, and what they begin as."""

import numpy as np
from keras import ops

from keras_mgnet.layers import RadialBasis, autodiff
from support.diffusion import CENTRES, GAMMA, draw, psi_twin


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
