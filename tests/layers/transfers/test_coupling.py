"""The transition of coupled states."""

import keras
import numpy as np

from keras_mgnet.layers import CouplingTransfer, ZeroPadding, basic


def test_a_transition_averages_and_pads_each_half_and_puts_the_stride_into_F():
    unit = CouplingTransfer(
        basic(6, uses=2, strides=2), *(ZeroPadding(6, 2, sampling="average", centered=True) for _ in "12")
    )
    x1, x2 = np.random.default_rng(0).normal(size=(2, 1, 4, 4, 2)).astype("float32")
    unit.build(x1.shape, x2.shape)
    assert [conv.strides for conv in unit.branch.kernels()] == [(2, 2), (1, 1), (1, 1), (1, 1)]
    for conv in unit.branch.kernels():
        conv.kernel.assign(keras.ops.zeros_like(conv.kernel))
    for y, x in zip(unit(x1, x2), (x1, x2), strict=True):
        expected = np.zeros((1, 2, 2, 6), "float32")
        expected[..., 2:4] = x.reshape(1, 2, 2, 2, 2, 2).mean((2, 4))
        np.testing.assert_allclose(y, expected, rtol=1e-6)
