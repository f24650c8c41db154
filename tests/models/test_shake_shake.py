"""Shake-shake networks."""

import numpy as np

from keras_mgnet import ShakeShake


def test_equal_branches_make_shaking_irrelevant(images):
    model = ShakeShake(8, 4, input_shape=(8, 8, 1))
    for level in (layer for layer in model.layers if layer.name.startswith("level")):
        level.field.branch.f2.set_weights(level.field.branch.f1.get_weights())
    x = images(model)
    np.testing.assert_allclose(model(x, training=True), model(x, training=True), rtol=1e-4, atol=1e-5)
