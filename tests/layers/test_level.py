"""The equations: numpy twins, equality of the forms, and the invariants of He2019."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_mgnet import MgNet, PreActResNet, ResNet, count_params, features
from keras_mgnet.layers import (
    Chain,
    Conv,
    CycleLevel,
    FullWeighting,
    GridLevel,
    Level,
    LinearMultistep,
    LinearSystem,
    Norm,
    PolynomialSmoother,
    basic,
    separable_scales,
    steps,
)
from keras_mgnet.layers.schemes.smoothers import SMOOTHERS
from support.numerics import randomize
from support.twins import twin_conv


def twin_norm(x, norm, training):
    gamma, beta, moving_mean, moving_variance = (w.numpy() for w in norm.weights)
    mean, variance = (x.mean((0, 1, 2)), x.var((0, 1, 2))) if training else (moving_mean, moving_variance)
    return np.maximum(gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta, 0)


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


@pytest.mark.parametrize("share_B", [False, True, "published_size"])
@pytest.mark.parametrize(("preactivation", "form"), [(False, "released"), (True, "released"), (True, "printed")])
def test_residual_level_equals_its_numpy_twin(preactivation, form, share_B):
    """He2019 (2.1)-(2.4), (6.1), and (6.4) where the size is as published; printed, R takes r itself."""
    family, printed = PreActResNet if preactivation else ResNet, form == "printed"
    options = {"share_A": True, "share_B": share_B, "base_width": 2, "input_shape": (8, 8, 1), "dtype": "float64"}
    model = randomize(family(18, form=form, **options))
    restricts_first = share_B == "published_size"
    chain = ["transfer2", *([] if preactivation else ["sigma2"])] if restricts_first else []
    level, f = model.get_layer("level2"), model.get_layer("level2").field.branch
    r = np.random.default_rng(0).normal(size=(2, 6, 6, 2))
    computed = keras.ops.convert_to_tensor(r)
    for name in [*chain, "level2"]:
        computed = model.get_layer(name)(computed)

    def norm(x, layer):
        scale, shift = layer.affine()
        return scale * x + shift

    def conv(x, layer, strides=1):
        return twin_conv(x, layer.kernel.numpy(), strides)

    def relu(x):
        return np.maximum(x, 0)

    first = model.get_layer("transfer2") if restricts_first else level.field.R
    for i in range(2):
        (B, s1), (A, s2) = ((f.conv(p, i), f.norms[p][i]) for p in (0, 1))
        strides = 1 if i or restricts_first else 2
        if preactivation:
            if i == 0 and restricts_first and printed:
                skip = r = conv(r, first, 2)
                x = relu(norm(r, s1))
            elif i == 0 and restricts_first:
                r = conv(relu(norm(r, first.norms[0][0])), first.conv(0, 0), 2)
                x = skip = r
                x = relu(x)
            else:
                x = relu(norm(r, s1))
                skip = r if i else conv(r if printed else x, first, 2)
            r = skip + conv(relu(norm(conv(x, B, strides), s2)), A)
        else:
            skip = r if i else norm(conv(r, first.conv(0, 0), 2), first.norms[0][0])
            r = relu(skip) if i == 0 and restricts_first else r
            skip = r if restricts_first else skip
            r = relu(skip + norm(conv(relu(norm(conv(r, B, strides), s1)), A), s2))
    np.testing.assert_allclose(computed, r, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("depth", "width", "more"), [(18, 8, 2 * 8), (20, 4, 2 * 4 - 2 * 16)])
def test_the_printed_network_has_a_stem_with_sigma_and_no_norm_at_the_end(depth, width, more, images):
    """f_in = s(theta^0 * f) and h = R_ave(r), He2019 Algorithm 1."""
    options = {"base_width": width, "input_shape": (8, 8, 1)}
    released, printed = (PreActResNet(depth, form=form, **options) for form in ("released", "printed"))
    assert count_params(printed) == count_params(released) + more
    stem = keras.Model(printed.input, printed.get_layer("stem").output)
    assert float(keras.ops.min(stem(images(printed)))) == 0.0
    assert printed.layers[-3].name.startswith("level") and released.get_layer("stem").s is None


def test_released_and_printed_differ_by_the_pooling_block_alone_where_norms_and_sigma_are_identities():
    """R s(r) and R r are the same map for s = I; a ResNet has both forms in one."""
    for share_B in (False, "published_size"):
        options = {"share_B": share_B, "base_width": 2, "activation": "linear", "norm": None, "input_shape": (8, 8, 1)}
        released, printed = (PreActResNet(18, form=form, **options) for form in ("released", "printed"))
        printed.set_weights(released.get_weights())
        x = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype("float32")
        np.testing.assert_allclose(printed(x), released(x), rtol=1e-4, atol=1e-5)
    options = {"base_width": 2, "input_shape": (8, 8, 1)}
    configs = [ResNet(18, form=form, **options) for form in ("released", "printed")]
    assert [w.path for w in configs[0].weights] == [w.path for w in configs[1].weights]


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


@pytest.mark.parametrize("smoother", ["chebyshev", "multistep"])
def test_smoothers_start_as_the_plain_correction(smoother, images):
    plain = MgNet((3, 2), 4, input_shape=(8, 8, 1))
    other = MgNet((3, 2), 4, input_shape=(8, 8, 1), smoother=smoother)
    source = {w.path: w for w in plain.weights}
    for w in other.weights:
        if w.path in source:
            w.assign(source[w.path])
    x = images(plain)
    np.testing.assert_array_equal(other(x), plain(x))


@pytest.mark.parametrize(("smoother", "extra"), [("damped", 1), ("chebyshev", 4), ("multistep", 6)])
def test_smoothers_add_their_coefficients(smoother, extra):
    shape = {"input_shape": (8, 8, 1)}
    sizes = [sum(w.numpy().size for w in MgNet((4,), 4, smoother=s, **shape).trainable_weights)
             for s in ("residual_correction", smoother)]  # fmt: skip
    assert sizes[1] - sizes[0] == extra


def test_smoothers_follow_their_equations():
    """Given corrections e^j, the iterates of section 1.4 written out."""
    rng = np.random.default_rng(0)
    level = {name: GridLevel(2, 2, 3, smoother=name, dtype="float64") for name in SMOOTHERS}
    r, u = rng.normal(size=(2, 4, 4, 2)), rng.normal(size=(2, 4, 4, 2))
    for each in level.values():
        each.build(r.shape, u.shape)
        randomize(each)

    def run(name, iterate):
        layer = level[name]
        f = r + twin_conv(u, layer.field.A[0].kernel.numpy())
        us = [u]
        for i in range(3):
            correct = [
                v + correction(layer, j, f - twin_conv(v, layer.field.A[0].kernel.numpy())) for j, v in enumerate(us)
            ]
            us.append(iterate(layer.scheme, i, us, correct))
        computed, _ = layer(keras.ops.convert_to_tensor(r), keras.ops.convert_to_tensor(u))
        np.testing.assert_allclose(computed, us[-1], rtol=1e-8, atol=1e-8)

    def correction(layer, j, residual):
        B = layer.field.B[0].kernel.numpy()
        damping = 1 / (1 + np.exp(-layer.scheme.a.numpy())) if hasattr(layer.scheme, "a") else 1.0
        return twin_norm(
            damping * twin_conv(twin_norm(residual, layer.field.s1[j], False), B), layer.field.s2[j], False
        )

    def chebyshev(scheme, i, us, correct):
        omega = scheme.omega.numpy()[i]
        return omega * correct[i] + (1 - omega) * us[max(i - 1, 0)]

    def multistep(scheme, i, us, correct):
        early = scheme.alpha[i - 1].numpy() if i else np.array([])
        alpha = [*early, 1 - early.sum()]
        return sum(a * v for a, v in zip(alpha, correct, strict=True))

    run("residual_correction", lambda scheme, i, us, correct: correct[i])
    run("damped", lambda scheme, i, us, correct: correct[i])
    run("chebyshev", chebyshev)
    run("multistep", multistep)


@given(size=st.tuples(st.integers(1, 9), st.integers(1, 9)), k=st.sampled_from([1, 3, 7]), s=st.sampled_from([1, 2]))
def test_convolution_samples_the_pixels_0_2_4(size, k, s):
    conv = Conv(2, k, strides=s, dtype="float64")
    x = np.random.default_rng(0).normal(size=(2, *size, 3))
    y = conv(keras.ops.convert_to_tensor(x))
    padded = np.pad(x, ((0, 0), (k, k), (k, k), (0, 0)))
    full = twin_conv(padded, conv.kernel.numpy())[:, k:-k, k:-k]
    np.testing.assert_allclose(y, full[:, ::s, ::s], rtol=1e-9, atol=1e-9)
    assert tuple(y.shape) == conv.compute_output_shape(x.shape)


def test_full_weighting_is_the_stencil_of_multigrid():
    x = np.zeros((1, 5, 5, 2), "float32")
    x[0, 2, 2] = 16
    y = FullWeighting()(x)[0, :, :, 0].numpy()
    assert y.tolist() == [[0, 0, 0], [0, 4, 0], [0, 0, 0]]
    x = np.zeros((1, 5, 5, 1), "float32")
    x[0, 1, 2] = 16
    assert FullWeighting()(x)[0, :, :, 0].numpy().tolist() == [[0, 2, 0], [0, 2, 0], [0, 0, 0]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_norm_equals_its_twin_and_keeps_the_unbiased_variance(dtype):
    norm = Norm("relu", dtype=dtype)
    x = np.random.default_rng(0).normal(2.0, 3.0, size=(2, 3, 4, 5)).astype(dtype)
    norm.build(x.shape)
    randomize(norm)
    mean, variance = norm.moving_mean.numpy(), norm.moving_variance.numpy()
    expected = twin_norm(x, norm, training=True)
    np.testing.assert_allclose(norm(keras.ops.convert_to_tensor(x), training=True), expected, rtol=1e-4, atol=1e-5)
    flat = x.reshape(-1, 5)
    np.testing.assert_allclose(norm.moving_mean, 0.9 * mean + 0.1 * flat.mean(0), rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, 0.9 * variance + 0.1 * flat.var(0, ddof=1), rtol=1e-5)


def test_a_frozen_norm_uses_and_keeps_its_statistics():
    norm = Norm()
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 2)).astype("float32")
    norm.build(x.shape)
    randomize(norm)
    norm.trainable = False
    before = [w.numpy() for w in norm.weights]
    np.testing.assert_allclose(norm(x, training=True), norm(x, training=False))
    np.testing.assert_equal([w.numpy() for w in norm.weights], before)


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


def test_steps_take_a_zero_feature_without_storing_it():
    f = np.ones((1, 2, 2, 1))
    assert steps.residual(f, None, None) is f
    assert steps.data(f, None, None) is f


KEPT = {"behind": "sigma"}, {"behind": "norm"}, {"sigma_last": True}


@pytest.mark.parametrize("options", KEPT, ids=str)
def test_a_smoother_that_does_not_keep_the_residual_is_refused_where_it_would_have_to(options):
    loses = PolynomialSmoother(2, **options)
    levels = {
        "GridLevel": lambda form: GridLevel(4, 4, 2, B=(None, None), smoother=loses, form=form),
        "CycleLevel": lambda form: CycleLevel(4, 2, 1, smoothers=(loses, "residual_correction"), form=form),
    }
    for make in levels.values():
        with pytest.raises(ValueError, match=r"keep r = f - A \* u\. Received: form='residual'"):
            make("residual")
    level = levels["GridLevel"]("feature")
    f = np.random.default_rng(0).normal(size=(1, 8, 8, 4)).astype("float32")
    u, r = level(f)
    np.testing.assert_allclose(r, f - level.field.A[0](u), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMOOTHERS)
def test_smoothers_keep_the_residual_whatever_their_coefficients(name):
    level = GridLevel(3, 3, 4, smoother=name, dtype="float64")
    f = keras.ops.convert_to_tensor(np.random.default_rng(0).normal(size=(2, 6, 6, 3)))
    level(f)
    randomize(level)
    u, r = level(f)
    np.testing.assert_allclose(r, f - level.field.A[0](u), rtol=1e-9, atol=1e-9)


def test_a_scheme_and_a_field_that_do_not_go_together_are_refused():
    system = LinearSystem(4, 4, 2, B=(None, None))
    with pytest.raises(ValueError, match=r"keep r = f - A \* u"):
        Level(PolynomialSmoother(2, behind="sigma"), system)
    with pytest.raises(ValueError, match=r"expected a scheme of 5 iterations, like the field\. Received: nu=3"):
        Level(LinearMultistep(3), basic(4, uses=5)).build((None, 8, 8, 4))
    with pytest.raises(ValueError, match="expected a smoother of nu=3 iterations"):
        GridLevel(4, 4, 3, smoother=PolynomialSmoother(2))
    with pytest.raises(ValueError, match=r"places\[0\].*'simga'"):
        Chain(((4, 3),), ("simga", None))


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
