"""A branch: grouped convolutions are branches of their own."""

import keras
import numpy as np

from keras_mgnet.layers import Conv, bottleneck
from support.numerics import normal, randomize


def test_the_grouped_convolution_is_the_sum_over_explicit_branches():
    """ResNeXt's form C (grouped) against form B (one chain per group, summed)."""
    branch = bottleneck(8, 6, groups=3, order="postactivation")
    x = keras.ops.cast(normal(2, 5, 5, 4), "float32")
    branch(x)
    randomize(branch)
    (first,), (second,), (third,) = branch.convs()
    n1, n2, n3 = (norms[0] for norms in branch.norms())
    inside, total = n1(first(x)), 0.0
    for g in range(3):
        part = slice(2 * g, 2 * g + 2)
        own = Conv(2)
        own.build((None, 5, 5, 2))
        own.kernel.assign(second.kernel[..., part])
        scale, shift = (constant[part] for constant in n2.affine())
        hidden = keras.ops.relu(own(inside[..., part]) * scale + shift)
        total += keras.ops.tensordot(hidden, third.kernel[0, 0, part], axes=1)
    np.testing.assert_allclose(branch(x), n3(total), rtol=1e-4, atol=1e-5)
