"""Scales as convolutions of their own: other operations, the same values."""

import numpy as np

from keras_mgnet import MgNet, VeryDeepPolyNet
from keras_mgnet.layers import separable_scales
from support.numerics import randomize


def test_separable_scales_change_the_operations_but_not_the_values(images):
    import tensorflow as tf

    def depthwise():
        graph = tf.function(model, autograph=False).get_concrete_function(x).graph
        return [operation.type for operation in graph.get_operations()].count("DepthwiseConv2dNative")

    model = randomize(MgNet((3, 2), 4, input_shape=(8, 8, 1)))
    x = images(model)
    expected = model(x)
    with separable_scales():
        np.testing.assert_allclose(model(x), expected, rtol=1e-4, atol=1e-5)
        assert depthwise() == 2 * (3 + 2)  # s1 and s2; the norms of stem and transfer stand behind kernels of their own
    assert depthwise() == 0


def test_separable_scales_keep_the_values_of_a_very_deep_net(images):
    model = randomize(VeryDeepPolyNet((1, 1, 1), width=1 / 64, input_shape=(8, 8, 1)))
    x = images(model)
    expected = model(x)
    with separable_scales():
        np.testing.assert_allclose(model(x), expected, rtol=1e-4, atol=1e-4)
