"""Tridiagonal systems along lines: against numpy's dense solver, for every direction and colour."""

import numpy as np
import pytest
from keras.ops import convert_to_tensor as tensor

from keras_mgnet.layers import LineSolver


def field(h, w, seed=0):
    """Stencils whose tridiagonal parts are diagonally dominant, and not symmetric."""
    A = np.random.default_rng(seed).uniform(-1, 1, (h, w, 3, 3))
    A[..., 1, 1] = 3
    return A


def solved(A, r, axis, colour):
    """T^{-1} r of one image, line by line."""
    if axis == "y":
        return solved(np.swapaxes(A, 0, 1).swapaxes(2, 3), r.T, "x", colour).T
    out = np.zeros_like(r)
    for i in range(len(r)):
        if colour is None or i % 2 == colour:
            T = np.diag(A[i, :, 1, 1]) + np.diag(A[i, 1:, 1, 0], -1) + np.diag(A[i, :-1, 1, 2], 1)
            out[i] = np.linalg.solve(T, r[i])
    return out


@pytest.mark.parametrize("axis", ["x", "y"])
@pytest.mark.parametrize("colour", [None, 0, 1])
@pytest.mark.parametrize("lines", [1, 6, 7])
def test_each_line_is_solved(axis, colour, lines):
    if (colour, lines) == (1, 1):
        pytest.skip("a single line has the first colour")
    h, w = (lines, 15) if axis == "x" else (15, lines)
    A, r = field(h, w), np.random.default_rng(1).normal(size=(2, h, w, 3))
    layer = LineSolver(axis, colour, dtype="float64")
    layer.build((None, h, w, 3))
    layer.assign(A)
    computed = layer(tensor(r)).numpy()
    for image in range(2):
        for channel in range(3):
            expected = solved(A, r[image, :, :, channel], axis, colour)
            np.testing.assert_allclose(computed[image, :, :, channel], expected, atol=1e-12)


@pytest.mark.parametrize("axis", ["x", "y"])
def test_lines_that_share_a_stencil_are_stored_once(axis):
    K = np.array([[0.0, -1, 0], [-2, 7, -1], [0, -3, 0]])
    r = np.random.default_rng(1).normal(size=(1, 7, 7, 1))
    layer, single = (LineSolver(axis, None, shared, dtype="float64") for shared in (True, False))
    for solver, A in ((layer, K), (single, np.broadcast_to(K, (7, 7, 3, 3)))):
        solver.build((None, 7, 7, 1))
        solver.assign(A)
    np.testing.assert_allclose(layer(tensor(r)), single(tensor(r)), atol=1e-14)
    assert 7 * layer.count_params() == single.count_params()


def test_errors():
    with pytest.raises(ValueError, match="unknown axis 'z'"):
        LineSolver("z")
    with pytest.raises(ValueError, match=r"expected 2\^k - 1 points along y. Received: 6"):
        LineSolver("y").build((None, 6, 7, 1))
