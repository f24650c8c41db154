"""Poly-MgNet: the network of the released code, and what its norms and transfers do."""

import itertools

import keras
import numpy as np
import pytest
from keras.ops import convert_to_tensor as tensor

from keras_mgnet import FBResNet, MgNet, PolyMgNet, VCycleMgNet, count_params, features
from keras_mgnet.layers import GridLevel
from keras_mgnet.layers.schemes.polynomial import POLYNOMIALS
from keras_mgnet.layers.schemes.smoothers import SMOOTHERS
from keras_mgnet.models.poly_mgnet import RESIDUALS, STEPS
from support import slow_unless
from support.numerics import randomize
from support.twins import close, depthwise, twin_conv, twin_norm

FEW = [*itertools.product(POLYNOMIALS, ["regular"], RESIDUALS), *itertools.product(["double"], STEPS, ["regular"])]
relu = lambda x: np.maximum(x, 0)  # noqa: E731


@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        ({}, 1_386_706),
        ({"share_B": True}, 1_386_706 - 4),
        ({"B": "conv", "share_B": True}, 2_750_666),
        ({"B": "conv"}, 4_114_634),
        ({"classes": 100}, 1_386_706 + 90 * 257),
    ],
)
def test_size(arguments, size):
    assert count_params(PolyMgNet(**arguments)) == size


def twin(model, x, B, step, training):
    """The released network: f <- s(f - A u) behind each grid, f^{l+1} = R f + A u^{l+1}; returns each level's u."""
    stem = model.get_layer("stem")
    f, u, us = twin_norm(twin_conv(x, stem.conv.kernel.numpy()), stem.s, training), None, []
    for level in [layer for layer in model.layers if isinstance(layer, GridLevel)]:
        A = level.field.A[0].kernel.numpy()
        if u is None:
            u = np.zeros_like(f)
        else:
            transfer = model.get_layer(level.name.replace("level", "transfer"))
            u = depthwise(u, transfer.Pi.conv.kernel.numpy())
            f = depthwise(f, transfer.R.conv.kernel.numpy()) + twin_conv(u, A)
        for i in range(level.nu):
            r = twin_norm(f - twin_conv(u, A), level.field.s1[i], training)
            alpha = level.scheme.alpha[level.scheme.table[i]].numpy()
            if len(alpha) == 2:
                a, b = alpha / (alpha @ alpha)
                e = (2 * a * r - twin_conv(r, A)) / (a**2 + b**2)
            else:
                e = alpha * (twin_conv(r, A) if B == "double" else r)
            u = u + twin_norm(e, level.field.s2[i], training)
            u = twin_norm(u, level.scheme.s3[i], training)
        u = relu(u) if step.startswith("relu_outside") else u
        f = relu(f - twin_conv(u, A))
        us.append(u)
    return us


@pytest.mark.parametrize(
    ("B", "step", "residual"), slow_unless(FEW, [*itertools.product(POLYNOMIALS, STEPS, RESIDUALS)])
)
def test_equals_its_numpy_twin(B, step, residual):
    arguments = {"channels": (2, 4, 4), "input_shape": (7, 6, 1), "dtype": "float64"}
    model = randomize(PolyMgNet((2, 1, 2), B=B, step=step, residual=residual, **arguments))
    x = np.random.default_rng(0).normal(size=(3, 7, 6, 1))
    for training in (False, True):
        states = features(model)(tensor(x), training=training).values()
        for (u, _), expected in zip(states, twin(model, x, B, step, training), strict=True):
            close(u, expected, 1e-8)


def test_norms_are_where_the_released_code_uses_them():
    """Its table of places, read off the names of the norms of one level with nu = 1."""
    found = {}
    for step, residual in itertools.product(STEPS, RESIDUALS):
        level = PolyMgNet((1,), (2,), step=step, residual=residual, input_shape=(4, 4, 1)).get_layer("level1")
        norms = [part for part in level._flatten_layers() if isinstance(part, keras.layers.BatchNormalization)]
        sigmas = [part.name[:2] + ("" if part.activation is keras.activations.linear else "s") for part in norms]
        found[step, residual] = sorted(sigmas)
    inside = {"regular": ["s2s"], "outside": ["s3s"], "relu_outside": ["s2"], "relu_outside_nobn": []}
    before = {"regular": ["s1s"], "bn_only": ["s1"], "plain": []}
    assert found == {(s, r): before[r] + inside[s] for s, r in itertools.product(inside, before)}


def test_a_norm_cancels_the_size_of_alpha_but_not_its_sign(images):
    model = randomize(PolyMgNet((2,), (4,), input_shape=(8, 8, 1)))
    x, alpha = images(model, 8), model.get_layer("level1").scheme.alpha[0]
    outputs = []
    for value in (5.0, 10.0, -5.0):
        alpha.assign([value])
        outputs.append(keras.ops.convert_to_numpy(model(x, training=True)))
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-3, atol=1e-4)
    assert np.abs(outputs[0] - outputs[2]).max() > 0.1


def test_nothing_reads_the_transfer_of_the_first_grid(images):
    model = randomize(PolyMgNet((1, 1), (2, 4), input_shape=(8, 8, 1)))
    x, idle = images(model), model.get_layer("transfer1")
    expected = model(x)
    for w in idle.weights:
        w.assign(w + 1)
    assert count_params(idle) == 18 * 2
    np.testing.assert_array_equal(model(x), expected)


def test_mgnet_takes_depthwise_restrictions_too():
    arguments = {"channels": (2, 4), "input_shape": (8, 8, 1), "share_B": False}
    sizes = [count_params(MgNet((1, 1), Pi=kind, R=kind, **arguments)) for kind in ("conv", "depthwise")]
    assert sizes[0] - sizes[1] == 2 * 9 * (2 * 4 - 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"B": "cubic"}, "unknown B 'cubic'"),
        ({"step": "outsied"}, "unknown step 'outsied'; did you mean 'outside'"),
        ({"residual": "bn"}, "unknown residual 'bn'"),
        ({"share_B": 1}, "share_B"),
        (
            {"B": "conv", "step": "outside"},
            r"expected step='regular' and residual='regular' for B='conv'\. Received: step='outside'",
        ),
        (
            {"channels": (4, 6, 6, 6)},
            r"expected channels to be a multiple of the 4 input channels\. Received: channels=6",
        ),
        ({"channels": (4, 4)}, "expected channels to have 4 entries"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        PolyMgNet(**arguments)


def test_networks_name_their_method():
    names = {smoother: MgNet((1,), 2, smoother=smoother, input_shape=(4, 4, 1)).method.name for smoother in SMOOTHERS}
    assert names == {
        "residual_correction": "multigrid, residual correction",
        "damped": "multigrid, damped Jacobi",
        "chebyshev": "multigrid, Chebyshev semi-iteration",
        "multistep": "multigrid, multi-step residual correction",
    }
    tiny = {"nu": (1,), "channels": (2,), "input_shape": (4, 4, 1)}
    assert PolyMgNet(**tiny).method.name == "multigrid, polynomial (Richardson) smoother"
    assert PolyMgNet(B="conv", **tiny).method.name == "multigrid, residual correction"
    assert VCycleMgNet(**tiny).method.name == "multigrid V-cycle"
    assert FBResNet("both", **tiny).method.name == "stationary iteration for the feature"
