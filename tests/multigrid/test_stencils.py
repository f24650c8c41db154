"""Stencils on coarser grids against their matrices, and against the values that theory gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import correlate2d

from keras_mgnet.multigrid import anisotropic, diffusion, five_point, transfer_stencil
from keras_mgnet.multigrid.grids import matrix
from keras_mgnet.multigrid.sparse import operator_matrix, restriction_matrix
from keras_mgnet.multigrid.stencils import RULES, TRANSFERS, galerkin_field, moment_matrix

FIVE_POINT = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]], "float64")


def test_galerkin_stencils_of_the_laplacian_are_exact():
    first = 4 * transfer_stencil(FIVE_POINT, "galerkin")
    np.testing.assert_array_equal(first, np.array([[-1, -2, -1], [-2, 12, -2], [-1, -2, -1]]) / 4)
    second = [[-0.3125, -0.375, -0.3125], [-0.375, 2.75, -0.375], [-0.3125, -0.375, -0.3125]]
    np.testing.assert_array_equal(4 * transfer_stencil(first, "galerkin"), second)
    np.testing.assert_array_equal(4 * transfer_stencil(FIVE_POINT, "fem"), FIVE_POINT)
    np.testing.assert_allclose(4 * transfer_stencil(FIVE_POINT, "moment"), FIVE_POINT, atol=1e-15)


def test_galerkin_stencil_of_the_identity():
    row = np.array([1 / 8, 3 / 4, 1 / 8])
    np.testing.assert_array_equal(transfer_stencil(np.ones((1, 1)), "galerkin"), np.outer(row, row))


@given(
    size=st.sampled_from([1, 3, 5, 7]), channels=st.tuples(st.integers(1, 3), st.integers(1, 3)), seed=st.integers(0, 9)
)
def test_galerkin_is_R_K_P_on_an_open_grid(size, channels, seed):
    """K_H y_H = R K_h P y_H for random coarse data, by correlations and a dilation, with several channels."""
    rng = np.random.default_rng(seed)
    K = rng.normal(size=(size, size, *channels))
    for rule, name in (("galerkin", "full_weighting"), ("fem", "fem")):
        R, P = TRANSFERS[name]
        K_H = transfer_stencil(K, rule)
        y = rng.normal(size=(13, 13))
        dilated = np.zeros((27, 27))
        dilated[1::2, 1::2] = y
        fine = correlate2d(dilated, P[::-1, ::-1], mode="same")
        for i in range(channels[0]):
            for o in range(channels[1]):
                restricted = correlate2d(correlate2d(fine, K[:, :, i, o], mode="same"), R / 4, mode="same")[1::2, 1::2]
                coarse = correlate2d(y, K_H[:, :, i, o], mode="same")
                np.testing.assert_allclose(coarse[4:-4, 4:-4], restricted[4:-4, 4:-4], atol=1e-12)


@pytest.mark.parametrize("rule", ["galerkin", "fem", "moment"])
@pytest.mark.parametrize("size", [3, 5])
def test_rules_preserve_the_sum_and_are_linear(rule, size):
    rng = np.random.default_rng(0)
    K, L = rng.normal(size=(2, size, size, 2, 3))
    K_H, L_H = transfer_stencil(K, rule), transfer_stencil(L, rule)
    assert K_H.shape == (size, size, 2, 3)
    np.testing.assert_allclose(K_H.sum((0, 1)), K.sum((0, 1)), atol=1e-12)
    np.testing.assert_allclose(transfer_stencil(K - 2 * L, rule), K_H - 2 * L_H, atol=1e-12)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_transferred_stencil_is_the_same_operator_on_smooth_functions(rule):
    """K on the fine grid and K_H on the coarse one differ by O(h^2) at most: by a quarter with each halving of h."""
    K = np.random.default_rng(0).normal(size=(3, 3))
    errors = []
    for n in (64, 128):
        h = 2 * np.pi / n
        x, y = np.meshgrid(np.arange(n) * h, np.arange(n) * h, indexing="ij")
        u = np.sin(x) * np.cos(2 * y)
        fine = correlate2d(u, K, mode="same", boundary="wrap")[::2, ::2]
        coarse = correlate2d(u[::2, ::2], transfer_stencil(K, rule), mode="same", boundary="wrap")
        errors.append(abs(fine - coarse).max())
    assert errors[1] < errors[0] / 3.5


def test_moments_of_derivatives():
    for K, expected in (
        ([[0, -1, 0], [0, 0, 0], [0, 1, 0]], {(1, 0): 2}),
        ([[0, 1, 0], [0, -2, 0], [0, 1, 0]], {(2, 0): 2}),
        ([[1, 0, -1], [0, 0, 0], [-1, 0, 1]], {(1, 1): 4}),
        (-FIVE_POINT, {(2, 0): 2, (0, 2): 2}),
    ):
        M = np.zeros((3, 3))
        for place, value in expected.items():
            M[place] = value
        np.testing.assert_array_equal(moment_matrix(K), M)


@pytest.mark.parametrize("transfer", sorted(TRANSFERS))
def test_galerkin_stencils_of_a_field_are_the_sparse_product(transfer):
    field = diffusion(np.random.default_rng(0).uniform(0.1, 10, (16, 16)))
    R, P = (restriction_matrix(kernel, 15) for kernel in TRANSFERS[transfer])
    product = (R @ operator_matrix(field, 15) @ P.T).toarray()
    np.testing.assert_allclose(
        operator_matrix(galerkin_field(field, TRANSFERS[transfer]), 7).toarray(), product, atol=1e-12
    )


def test_operators():
    a = np.random.default_rng(0).uniform(0.1, 10, (8, 8))
    A = operator_matrix(diffusion(a), 7).toarray()
    np.testing.assert_allclose(A, A.T)
    assert np.linalg.eigvalsh(A).min() > 0
    np.testing.assert_array_equal(diffusion(np.ones((8, 8))), np.broadcast_to(FIVE_POINT, (7, 7, 3, 3)))
    np.testing.assert_array_equal(five_point(), FIVE_POINT)
    field = np.random.default_rng(1).normal(size=(5, 5, 3, 3))
    np.testing.assert_array_equal(matrix(field, 5), operator_matrix(field, 5).toarray())


def test_five_point_matrix_is_pyamgs():
    gallery = pytest.importorskip("pyamg.gallery")
    assert (operator_matrix(five_point(), 15) != gallery.poisson((15, 15), format="csr")).nnz == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: transfer_stencil(FIVE_POINT, "galerkn"), "unknown rule 'galerkn'; did you mean 'galerkin'"),
        (
            lambda: transfer_stencil(np.ones((2, 2))),
            r"expected a stencil of odd height and width. Received: shape \(2, 2\)",
        ),
        (lambda: anisotropic(0), "expected eps to be positive. Received: eps=0"),
        (lambda: diffusion(np.zeros((4, 4))), "expected one positive coefficient a per cell"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
