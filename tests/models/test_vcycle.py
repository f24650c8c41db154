"""The V-cycle: the textbook cycle, its independence of Pi, and its sizes."""

import itertools

import keras
import numpy as np
import pytest
from keras.ops import convert_to_tensor as tensor

from keras_mgnet import MgNet, VCycleMgNet, count_params
from keras_mgnet.layers import CycleLevel, CycleTransfer
from keras_mgnet.models.vcycle import cycle
from support.numerics import randomize
from support.twins import adjoint, close, mapping, twin_conv, twin_norm


def twin_cycle(u, f, levels, transfers, Pi, training):
    """KAUST m6_01, Algorithm 10, with post-smoothing: it carries data f and restricts u by any Pi."""
    level, A = levels[0], levels[0].field.A[0].kernel.numpy()

    def smooth(u, uses):
        for i in uses:
            B = level.field.B[min(i, len(level.field.B) - 1)].kernel.numpy()
            u = u + mapping(f - twin_conv(u, A), B, level.field.s1[i], level.field.s2[i], training)
        return u

    u = smooth(u, range(level.nu))
    if not transfers:
        return u
    R = transfers[0].R.conv.kernel.numpy()
    before = twin_conv(u, Pi[0], 2)
    r = twin_norm(twin_conv(f - twin_conv(u, A), R, 2), transfers[0].s, training)
    coarse = twin_cycle(
        before, r + twin_conv(before, levels[1].field.A[0].kernel.numpy()), levels[1:], transfers[1:], Pi[1:], training
    )
    u = u + adjoint(coarse - before, R, u.shape[1:3])
    return smooth(u, range(level.nu, level.nu + level.post_nu))


@pytest.mark.parametrize("share_B", [True, False])
@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("size", [(7, 7), (8, 6), (5, 4)])
def test_equals_the_algorithm_for_any_Pi(size, linear, share_B):
    """With sigma and norms off, and as the network has them; the network has no Pi, the algorithm a random one."""
    rng, channels, counts = np.random.default_rng(0), (2, 3, 2), ((2, 1), (1, 2), (2, 0))
    places = (None, None) if linear else ("sigma", "sigma")
    options = {"share_B": share_B, "B": places, "dtype": "float64"}
    levels = [CycleLevel(c, *nu, **options) for c, nu in zip(channels, counts, strict=True)]
    transfers = [CycleTransfer(c, normalize=not linear, dtype="float64") for c in channels[1:]]
    data = keras.Input((*size, 2), dtype="float64")
    model = randomize(keras.Model(data, cycle(data, levels, transfers)[0]))
    f = rng.normal(size=(3, *size, 2))
    Pi = [rng.normal(size=(3, 3, *pair)) for pair in itertools.pairwise(channels)]
    for training in (False, True):
        expected = twin_cycle(np.zeros_like(f), f, levels, transfers, Pi, training)
        close(model(tensor(f), training=training), expected, 1e-10)


def test_the_linear_cycle_is_a_stationary_iteration():
    """u(f) is linear, so f -> u(f) is B_mg of u <- u + B_mg (f - A u); on one grid it is 1 - (1 - b a)^nu over a."""
    a, b = 1.7, 0.3
    level = CycleLevel(1, 3, 0, B=(None, None), dtype="float64")
    level.build((None, 4, 4, 1))
    for conv, value in ((level.field.A[0], a), (level.field.B[0], b)):
        conv.kernel.assign(np.pad([[[[value]]]], ((1, 1), (1, 1), (0, 0), (0, 0))))
    f = np.random.default_rng(0).normal(size=(1, 4, 4, 1))
    close(cycle(tensor(f), [level], [])[0], (1 - (1 - b * a) ** 3) / a * f, 1e-12)


def test_sizes():
    """MgNet without Pi and its norm, and two norms more for each iteration on the way up."""
    cycle_256, mgnet = count_params(VCycleMgNet()), count_params(MgNet())
    assert cycle_256 == mgnet - 3 * (9 * 256**2 + 2 * 256) + 3 * 2 * 4 * 256 == 6_513_930
    unshared = count_params(VCycleMgNet((2, 1), 4, share_B=False, post_nu=3))
    assert unshared == count_params(VCycleMgNet((2, 1), 4, post_nu=3)) + 9 * 4**2 * 4


def test_backbone_of_dense_prediction():
    model = VCycleMgNet((1, 1, 1), (3, 4, 5), input_shape=(None, None, 2), include_top=False, pooling=None)
    for size in ((9, 7), (8, 6)):
        assert model(np.zeros((1, *size, 2))).shape == (1, *size, 3)


def test_without_post_smoothing_only_the_correction_is_added():
    level = CycleLevel(2, 1, 0)
    u = tensor(np.ones((1, 4, 4, 2), "float32"))
    close(level(u, u, 2 * u)[0], 3 * u)


def test_one_grid_is_mgnet(images):
    model, mgnet = (family((3,), 4, input_shape=(8, 8, 1)) for family in (VCycleMgNet, MgNet))
    mgnet.set_weights(randomize(model).get_weights())
    np.testing.assert_array_equal(model(images(model)), mgnet(images(model)))


@pytest.mark.parametrize("post_nu", [-1, 1.0, True, (1, 1)])
def test_errors(post_nu):
    with pytest.raises(ValueError, match=r"expected post_nu to be an integer >= 0 or None\. Received: post_nu="):
        VCycleMgNet((1, 1), 4, post_nu=post_nu)
