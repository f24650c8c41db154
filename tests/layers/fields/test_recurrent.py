"""Recurrent fields: the unrolled level is the loop over one cell, with kernels and norms shared or not."""

import numpy as np
import pytest

from keras_mgnet.layers import Branch, EulerSystem, Level, Norm, Recurrent, basic
from support.numerics import EXACT, built, normal


def cell_of(K: Branch) -> Branch:
    """Returns a branch of one step with the kernels of K."""
    cell = basic(2, **EXACT)
    cell.build((None, 4, 4, 2))
    for p in (0, 1):
        cell.convs()[p][0].set_weights(K.conv(p, 0).get_weights())
    return cell


def with_norms(cell: Branch, K: Branch, use: int) -> Branch:
    """Gives the cell the norms that K has at a use."""
    for p in (0, 1):
        cell.norms()[p][0].set_weights(K.norms()[p][use].get_weights())
    return cell


@pytest.mark.parametrize("share_norms", [False, True])
@pytest.mark.parametrize("nu", [1, 2, 5])
@pytest.mark.parametrize("states", [1, 2, 3])
def test_the_unrolled_level_is_the_loop_over_one_cell(states, nu, share_norms):
    """h_i <- h_i + sum_j K_ij(h_j), the cells of one step reused; a state that is not reached yet drives nothing."""
    x = normal(2, 4, 4, 2)
    level = built(Level(EulerSystem(), Recurrent(2, nu, states, share_norms=share_norms, **EXACT), **EXACT), x)
    cells = {K.name: cell_of(K) for i in range(states) for K in level.field.row(i) if K is not None}
    h = {0: x}
    for t in range(nu):
        after = dict(h)
        for i in range(states) if t < nu - 1 else [states - 1]:
            for j, h_j in h.items():
                K = level.field.row(i)[j]
                drive = with_norms(cells[K.name], K, t if j == 0 else t - 1)(h_j)
                after[i] = after[i] + drive if i in after else drive
        h = after
    np.testing.assert_allclose(level(x), h[states - 1], rtol=1e-12, atol=1e-12)


def test_the_shared_kernel_gets_the_gradients_of_all_times():
    """Backpropagation through time: with equal kernels the sum over the unshared twin's."""
    import tensorflow as tf

    x = normal(2, 4, 4, 2)
    shared = built(Level(EulerSystem(), Recurrent(2, 3, **EXACT), **EXACT), x)
    unshared = Level(EulerSystem(), Recurrent(2, 3, share_K=False, **EXACT), **EXACT)
    unshared.build(x.shape)
    K, twin = shared.field.row(0)[0], unshared.field.row(0)[0]
    for p in (0, 1):
        for t in range(3):
            twin.conv(p, t).set_weights(K.conv(p, t).get_weights())
            twin.norms()[p][t].set_weights(K.norms()[p][t].get_weights())

    def gradients(level, kernels):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(level(x, training=True) ** 2)
        return tape.gradient(loss, [kernel.kernel.value for kernel in kernels])

    ours, theirs = gradients(shared, K.kernels()), gradients(unshared, twin.kernels())
    np.testing.assert_array_equal(shared(x), unshared(x))
    for p in (0, 1):
        np.testing.assert_allclose(ours[p], sum(theirs[3 * p : 3 * p + 3]), rtol=1e-10)


@pytest.mark.parametrize("states", [1, 2])
@pytest.mark.parametrize("nu", [3, 6])
def test_sharing_leaves_one_kernel_of_those_of_all_times(states, nu):
    def kernels(share_K):
        level = Level(EulerSystem(), Recurrent(4, nu, states, share_K=share_K))
        return np.array([[len(K.kernels()) for K in level.field.row(i)] for i in range(states)])

    uses = [[nu - (j > 0) - (i < states - 1) for j in range(states)] for i in range(states)]
    assert (kernels(True) == 2).all()
    np.testing.assert_array_equal(kernels(False), 2 * np.array(uses))


def test_time_specific_norms_have_statistics_and_scales_of_their_own():
    x = normal(2, 4, 4, 2)
    level = Level(EulerSystem(), Recurrent(2, 3, **EXACT), **EXACT)
    level(x, training=True)
    means = [norm.moving_mean.numpy() for norm in level.field.row(0)[0].norms()[0]]
    assert len({tuple(mean) for mean in means}) == 3

    before = level(x).numpy()
    level.field.row(0)[0].norms()[0][2].beta.assign([1.0, -1.0])
    assert not np.allclose(level(x), before)


def test_shared_norms_see_every_step():
    """One moving mean, updated once a step, as in a loop over one layer."""
    x = normal(2, 4, 4, 2)
    level = built(Level(EulerSystem(), Recurrent(2, 3, share_norms=True, **EXACT), **EXACT), x)
    K = level.field.row(0)[0]
    assert sum(isinstance(layer, Norm) for layer in level._flatten_layers()) == 2
    one = with_norms(cell_of(K), K, 0)
    level(x, training=True)
    for _ in range(3):
        x = x + one(x, training=True)
    np.testing.assert_allclose(K.norms()[0][0].moving_mean, one.norms()[0][0].moving_mean, rtol=1e-12)
    np.testing.assert_allclose(K.norms()[1][0].moving_variance, one.norms()[1][0].moving_variance, rtol=1e-12)
