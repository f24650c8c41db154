"""FB-ResNet: the sixteen schemes of He2019, Table 1."""

import itertools

import keras
import numpy as np
import pytest
from keras.ops import convert_to_tensor as tensor

from keras_mgnet import FBResNet, count_params, features
from keras_mgnet.layers import Euler, GridLevel, Level, basic
from keras_mgnet.layers.sharing import own, shared
from keras_mgnet.models.fb_resnet import MAPS
from support import slow_unless
from support.numerics import randomize
from support.twins import close, mapping, twin_conv, twin_norm

COLUMNS = ("linear", "post", "pre", "both")
PARAMS = {
    "linear": (12_503_882, 12_507_722, 12_507_722, 12_511_562),
    "pre": (12_507_722, 12_511_562, 12_511_562, 12_515_402),
    "post": (12_507_722, 12_511_562, 12_511_562, 12_515_402),
    "both": (12_511_562, 12_515_402, 12_515_402, 12_519_242),
}
SCHEMES = [*itertools.product(PARAMS, COLUMNS)]
every_scheme = pytest.mark.parametrize(("A", "B"), SCHEMES)


@pytest.mark.parametrize(("A", "B"), slow_unless(SCHEMES[::5], SCHEMES))
def test_size(A, B):
    assert count_params(FBResNet(A, B)) == PARAMS[A][COLUMNS.index(B)]


def twin(model, x, training):
    """Algorithm 2 with A(0) = 0; returns the (u, f - A(u)) of each level."""
    stem = model.get_layer("stem")
    f, u, states = twin_norm(twin_conv(x, stem.conv.kernel.numpy()), stem.s, training), None, []
    for level in [layer for layer in model.layers if isinstance(layer, GridLevel)]:
        first = 1 if u is None else 0

        def A(u, i, level=level, first=first):
            pair = min(i - first, level.nu - 1)
            return mapping(u, level.field.A[0].kernel.numpy(), level.field.t1[pair], level.field.t2[pair], training)

        if u is None:
            u = np.zeros_like(f)
            r = f
        else:
            transfer = model.get_layer(level.name.replace("level", "transfer"))
            u = twin_conv(u, transfer.Pi.conv.kernel.numpy(), 2)
            f = r = twin_conv(r, transfer.R.conv.kernel.numpy(), 2)
            f = f + A(u, 0)
        for i in range(level.nu):
            r = f - A(u, i) if i else r
            u = u + mapping(r, level.field.B[i].kernel.numpy(), level.field.s1[i], level.field.s2[i], training)
        r = f - A(u, level.nu)
        states.append((u, r))
    return states


@pytest.mark.parametrize("training", slow_unless([True], [False, True]))
@every_scheme
def test_equals_its_numpy_twin(A, B, training):
    model = randomize(FBResNet(A, B, nu=(2, 3, 1), channels=(2, 3, 2), input_shape=(6, 5, 2), dtype="float64"))
    x = np.random.default_rng(0).normal(size=(3, 6, 5, 2))
    states = features(model)(tensor(x), training=training).values()
    for (u, r), (expected_u, expected_r), level in zip(states, twin(model, x, training), (1, 2, 3), strict=True):
        close(u, expected_u)
        if not (training and level == 3):  # nobody reads it
            close(r, expected_r)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("B", MAPS)
def test_linear_A_has_both_forms(B, training):
    options = {"B": MAPS[B], "share_B": False, "dtype": "float64"}
    residual, feature = (GridLevel(2, 3, 3, form=form, **options) for form in ("residual", "feature"))
    rng = np.random.default_rng(0)
    r, u = tensor(rng.normal(size=(2, 5, 4, 3))), tensor(rng.normal(size=(2, 5, 4, 2)))
    for level in (residual, feature):
        level.build(r.shape, u.shape)
    feature.set_weights(randomize(residual).get_weights())
    for ours, theirs in zip(residual(r, u, training=training), feature(r, u, training=training), strict=True):
        close(ours, theirs, 1e-12)


@pytest.mark.parametrize("training", [False, True])
def test_linear_A_with_both_is_the_modified_preactivation_iteration(training):
    """He2019 (4.6): r <- r - A * s(B^i * s(r)) is pre-activation ResNet's r <- r + A' * s(B^i * s(r)) with A' = -A."""
    level = GridLevel(4, 4, 3, B=MAPS["both"], share_B=False, dtype="float64")
    residual = Level(Euler(), basic(4, uses=3, sharing=(own(3), shared(3)), dtype="float64"), dtype="float64")
    r = tensor(np.random.default_rng(0).normal(size=(3, 5, 5, 4)))
    for layer in (level, residual):
        layer.build(r.shape)
    randomize(level)
    branch = residual.field
    branch.conv(1, 0).kernel.assign(-level.field.A[0].kernel)
    for i in range(3):
        branch.conv(0, i).kernel.assign(level.field.B[i].kernel)
        for ours, theirs in ((branch.norms()[0][i], level.field.s1[i]), (branch.norms()[1][i], level.field.s2[i])):
            ours.set_weights(theirs.get_weights())
    close(residual(r, training=training), level(r, training=training)[1], 1e-12)


def test_the_unread_residual_stays_out_of_the_moving_statistics():
    rng = np.random.default_rng(0)
    r, u = tensor(rng.normal(size=(4, 5, 5, 3))), tensor(rng.normal(size=(4, 5, 5, 3)))
    level = GridLevel(3, 3, 2, A=MAPS["pre"], B=MAPS["both"], form="feature", last=True)
    level(r, u, training=True)
    first = level.field.B[0].kernel.numpy()
    u1 = u + mapping(
        r.numpy(), first, level.field.s1[0], level.field.s2[0], True
    )  # what A takes at i = 1, the last that counts
    close(level.field.t1[0].moving_mean, 0.1 * u.numpy().mean((0, 1, 2)), 1e-5)
    close(level.field.t1[1].moving_mean, 0.1 * u1.numpy().mean((0, 1, 2)), 1e-5)


def test_norms_stand_before_sigma_and_nowhere_else():
    model = FBResNet("post", "linear", nu=(2, 1), channels=3, input_shape=(8, 8, 1))
    norms = {layer.path for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)}
    assert norms == {"stem/s", "level1/system/t2_0", "level1/system/t2_1", "level2/system/t2_0"}


def test_errors():
    with pytest.raises(ValueError, match="unknown A 'lineer'; did you mean 'linear'"):
        FBResNet("lineer")
    with pytest.raises(ValueError, match=r"expected form='feature' for a nonlinear A\. Received: form='residual'"):
        GridLevel(4, 4, 1, A=("sigma", None))
    with pytest.raises(ValueError, match="unknown s1 'sigmoid'"):
        GridLevel(4, 4, 1, B=("sigmoid", None))
