"""The modules of the Very Deep PolyNet."""

import keras
import numpy as np
import pytest

from keras_mgnet.layers import Euler, Inception, Level, Poly
from keras_mgnet.layers.fields.poly import KINDS, module_kernels
from support.numerics import randomize
from support.twins import twin_conv


def twin_link(chain, p, x, i):
    """n K_p x of use i: kernel by the sharing table, norm of its own; the activation is left to the caller."""
    scale, shift = chain.norms()[p][i].affine()
    return scale * twin_conv(x, chain.conv(p, i).kernel.numpy()) + shift


@pytest.mark.parametrize("kind", ["poly3", "2way"])
def test_a_very_deep_module_equals_its_numpy_twin(kind):
    """x + c (y_1 + y_2 + y_3), y_{n+1} = F(relu(y_n)): inner kernels shared, norms and the last 1x1 convolution per order."""
    paths, uses = (((2, 1), (3, (1, 7)), (2, (7, 1))), ((2, 1),)), len(KINDS[kind].maps)
    table = module_kernels((kind,))
    F = Inception(paths, 3, uses=uses, sharing=table, dtype="float64")
    level = Level(Euler("relu"), Poly(F, (kind,), scales=(0.7,), activation="relu", dtype="float64"),
                          dtype="float64")  # fmt: skip
    x = np.random.default_rng(0).normal(size=(2, 5, 4, 3))
    level.build(x.shape)
    randomize(level)

    total, y = 0.0, x
    for n in range(uses):
        ends = []
        for path in F.paths:
            end = y if kind == "poly3" else x
            for p in range(len(path.convs())):
                end = np.maximum(twin_link(path, p, end, n), 0)
            ends.append(end)
        y = twin_link(F.A, 0, np.concatenate(ends, axis=-1), n)
        total, y = total + y, np.maximum(y, 0)
    expected = np.maximum(x + 0.7 * total, 0)

    np.testing.assert_allclose(level(keras.ops.convert_to_tensor(x)), expected, rtol=1e-9, atol=1e-9)
    kernels = [[len(convs) for convs in path.convs()] for path in F.paths]
    assert kernels == ([[1, 1, 1], [1]] if kind == "poly3" else [[2, 2, 2], [2]])
    assert len(F.A.kernels()) == uses
