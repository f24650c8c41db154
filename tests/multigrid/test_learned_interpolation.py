"""Learned interpolation: sparsity and sums of black-box interpolation, cycles as dense matrices, and training that pays."""

import numpy as np
import pytest
from keras import ops

from keras_mgnet.multigrid import diffusion, jumps, solve, solver
from keras_mgnet.multigrid.black_box import black_box, inside
from keras_mgnet.multigrid.grids import hierarchy, matrix
from keras_mgnet.multigrid.learned_interpolation import (
    TwoGrid,
    learned_interpolation,
    learned_weights,
    log_factor,
    train_interpolation,
    weight_net,
)
from keras_mgnet.multigrid.sparse import restriction_matrix


def scrambled(seed=0):
    """A network with weights that no training has made."""
    net, rng = weight_net(4), np.random.default_rng(seed)
    for variable in net.trainable_variables:
        variable.assign(0.5 * rng.normal(size=variable.shape))
    return net


def weights(net, A):
    return np.array(learned_weights(net, ops.convert_to_tensor(inside(A)), ops.convert_to_tensor(black_box(A))))


def five_and_nine_points():
    first, second = hierarchy(jumps(15, 1000, 16), 15, 2, "black_box", "galerkin")
    return first.A[:7, :7], second.A


def test_an_untrained_network_changes_nothing():
    for A in five_and_nine_points():
        np.testing.assert_allclose(weights(weight_net(), A), black_box(A), rtol=1e-14)


def test_sparsity_and_sums_are_those_of_black_box_interpolation():
    A = diffusion(np.random.default_rng(0).uniform(1, 1000, (8, 8)))
    P = black_box(A)
    P[1, 2, 0, 1] = 0
    changed = np.array(learned_weights(scrambled(), ops.convert_to_tensor(inside(A)), ops.convert_to_tensor(P)))
    assert np.abs(changed - P).max() > 0.1
    np.testing.assert_array_equal(changed == 0, P == 0)
    np.testing.assert_allclose(changed[..., 1, 1], 1.0, rtol=1e-14)
    sums = (restriction_matrix(x, 7).toarray().sum(0) for x in (changed, P))
    np.testing.assert_allclose(*sums, rtol=1e-13)


def test_a_cycle_is_that_of_dense_matrices():
    A, net = five_and_nine_points()[1], scrambled()
    B = np.random.default_rng(1).uniform(0, 0.5, (7, 7, 1, 1)) / A[:, :, 1:2, 1:2]
    layer = TwoGrid(net, 7, 1, (2, 1))
    layer.assign(A, B)
    units = ops.convert_to_tensor(np.eye(49).reshape(49, 7, 7, 1))
    computed = layer(units)
    full, P = matrix(A, 7), restriction_matrix(weights(net, A), 7).toarray().T
    S = np.eye(49) - B.ravel()[:, None] * full
    M = S @ (np.eye(49) - P @ np.linalg.solve(P.T @ full @ P, P.T @ full)) @ S @ S
    np.testing.assert_allclose(np.reshape(computed, (49, 49)).T, M, atol=1e-10)
    expected = np.log(np.linalg.norm(np.linalg.matrix_power(M, 8))) / 8
    np.testing.assert_allclose(log_factor(None, computed), expected, rtol=1e-8)
    assert np.log(np.abs(np.linalg.eigvals(M)).max()) <= expected


def test_a_solver_with_learned_interpolation_solves_the_equation():
    A, f = jumps(7, 1000, 8), np.random.default_rng(0).normal(size=(1, 7, 7, 1))
    interpolation = learned_interpolation(scrambled())
    u, _ = solve(solver(7, A=A, transfer=interpolation), f, tolerance=1e-10)
    np.testing.assert_allclose(u.ravel(), np.linalg.solve(matrix(A, 7), f.ravel()), rtol=1e-6)
    with pytest.raises(ValueError, match="expected coarse='galerkin' with transfer=<function"):
        solver(7, A=A, transfer=interpolation, coarse="rediscretised")
    with pytest.raises(ValueError, match="expected coarsening='full' with a learned interpolation"):
        interpolation(A, (True, False))


def test_training_lowers_the_factor():
    losses = []
    train_interpolation(
        [jumps(15, 1000, 16, 1)], channels=8, steps=40, learning_rate=0.03, report=lambda _, loss: losses.append(loss)
    )
    assert np.mean(losses[-2:]) < np.mean(losses[:2]) - 0.05


def test_unknown_smoothers():
    with pytest.raises(ValueError, match="unknown smoother 'zebra'"):
        train_interpolation([jumps(15)], smoother="zebra")
