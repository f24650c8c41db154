"""A level of MgNet: numpy twins, equality of the forms, and the invariants of He2019."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_mgnet import MgNet, features
from keras_mgnet.layers import GridLevel
from keras_mgnet.layers.schemes.smoothers import SMOOTHERS
from support.numerics import randomize
from support.twins import twin_conv, twin_norm


def twin_level(level, f, u, training):
    """The textbook iteration u <- u + s2(B * s1(f - A * u)), He2019 (4.3), in numpy."""
    A, B = level.field.A[0].kernel.numpy(), [conv.kernel.numpy() for conv in level.field.B]
    for i in range(level.nu):
        r = f - twin_conv(u, A)
        e = twin_conv(twin_norm(r, level.field.s1[i], training), B[min(i, len(B) - 1)])
        u = u + twin_norm(e, level.field.s2[i], training)
    return u, f - twin_conv(u, A)


def relative(a, b):
    return np.abs(np.asarray(a) - np.asarray(b)).max() / max(1.0, np.abs(np.asarray(b)).max())


@given(
    nu=st.integers(1, 4),
    c_u=st.integers(1, 3),
    c_f=st.integers(1, 3),
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    share_B=st.booleans(),
    training=st.booleans(),
    seed=st.integers(0, 99),
)
def test_level_equals_its_numpy_twin(nu, c_u, c_f, size, share_B, training, seed):
    level = GridLevel(c_u, c_f, nu, share_B=share_B, dtype="float64")
    rng = np.random.default_rng(seed)
    r, u = rng.normal(size=(3, *size, c_f)), rng.normal(size=(3, *size, c_u))
    level.build(r.shape, u.shape)
    randomize(level, seed)
    f = r + twin_conv(u, level.field.A[0].kernel.numpy())
    expected_u, expected_r = twin_level(level, f, u, training)
    computed_u, computed_r = level(keras.ops.convert_to_tensor(r), keras.ops.convert_to_tensor(u), training=training)
    np.testing.assert_allclose(computed_u, expected_u, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(computed_r, expected_r, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("form", ["residual", "feature"])
def test_what_an_unshared_A_means(form):
    """r <- r - A_i * e in the residual form, f - A_i * u with f = r + A_0 * u in the feature form."""
    rng = np.random.default_rng(0)
    level = GridLevel(2, 3, 3, share_A=False, form=form, dtype="float64")
    r, u = rng.normal(size=(2, 4, 4, 3)), rng.normal(size=(2, 4, 4, 2))
    level.build(r.shape, u.shape)
    randomize(level)
    A, B = [conv.kernel.numpy() for conv in level.field.A], level.field.B[0].kernel.numpy()
    computed = level(*map(keras.ops.convert_to_tensor, (r, u)))
    f = r + twin_conv(u, A[0])
    for i in range(3):
        r = r if form == "residual" else f - twin_conv(u, A[i])
        e = twin_norm(twin_conv(twin_norm(r, level.field.s1[i], False), B), level.field.s2[i], False)
        u, r = u + e, r - twin_conv(e, A[i])
    r = r if form == "residual" else f - twin_conv(u, A[2])
    np.testing.assert_allclose(computed[0], u, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(computed[1], r, rtol=1e-8, atol=1e-8)


@given(
    nu=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    channels=st.integers(1, 5),
    channels_f=st.integers(1, 5),
    share_B=st.booleans(),
    smoother=st.sampled_from(list(SMOOTHERS)),
    training=st.booleans(),
)
def test_residual_form_equals_feature_form(nu, channels, channels_f, share_B, smoother, training):
    arguments = {"channels_f": channels_f, "share_B": share_B, "smoother": smoother, "input_shape": (9, 8, 2)}
    residual, feature = (MgNet(nu, channels, form=form, **arguments) for form in ("residual", "feature"))
    randomize(residual)
    feature.set_weights(residual.get_weights())
    x = np.random.default_rng(0).normal(size=(4, 9, 8, 2)).astype("float32")
    states = [features(model)(x, training=training) for model in (residual, feature)]
    for name in states[0]:
        for ours, theirs in zip(states[0][name], states[1][name], strict=True):
            assert relative(ours, theirs) <= 1e-5


def test_the_forms_are_two_networks_when_A_is_not_shared(images):
    residual, feature = (
        MgNet((3,), 4, form=form, share_A=False, input_shape=(8, 8, 1)) for form in ("residual", "feature")
    )
    feature.set_weights(randomize(residual).get_weights())
    x = images(residual)
    assert relative(residual(x), feature(x)) > 1e-3


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("smoother", SMOOTHERS)
@pytest.mark.parametrize("form", ["residual", "feature"])
def test_r_is_f_minus_A_u(form, smoother, training):
    """Theorem 1 of He2019, in float64, with f rebuilt at the entry of each level."""
    model = randomize(MgNet((3, 2), 3, form=form, smoother=smoother, input_shape=(8, 8, 2), dtype="float64"))
    x = keras.ops.convert_to_tensor(np.random.default_rng(0).normal(size=(3, 8, 8, 2)))
    r, u = model.get_layer("stem")(x, training=training), None
    for j in (1, 2):
        level = model.get_layer(f"level{j}")
        if u is not None:
            u, r = model.get_layer(f"transfer{j}")(u, r, training=training)
        A = level.field.A[0]
        f = r if u is None else r + A(u)
        u, r = level(r, training=training) if u is None else level(r, u, training=training)
        assert relative(r, f - A(u)) <= 1e-12


def test_u_is_nonnegative_with_relu(images):
    model = randomize(MgNet((2, 2, 1), 4, input_shape=(8, 8, 1)))
    for u, _ in features(model)(images(model)).values():
        assert keras.ops.min(u) >= 0


def test_the_norms_of_a_nonlinear_A_count_from_the_state_of_each_call():
    options = {"A": (None, "sigma"), "form": "feature"}
    first, second = GridLevel(4, 4, 2, **options), GridLevel(4, 4, 2, **options)
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 4)).astype("float32")
    first(x)  # built from zero
    second(x, x)
    randomize(first)
    second.set_weights(first.get_weights())
    for call in ((x,), (x, x)):
        np.testing.assert_array_equal(first(*call)[0], second(*call)[0])
