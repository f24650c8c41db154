"""The residual networks as numerical schemes: the two-step method, stochastic depth, shake-shake, aggregated branches."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm

from keras_mgnet import LMResNet, LMResNeXt, PreActResNet, ResNet, ResNeXt, ShakeShake, k_values
from keras_mgnet.layers import (
    Blocks,
    Conv,
    Euler,
    Field,
    Level,
    LinearMultistep,
    Shake,
    StochasticDepth,
    basic,
    bottleneck,
    steps,
)
from keras_mgnet.layers.schemes.smoothers import chebyshev_omegas
from keras_mgnet.layers.stochastic import survival_probabilities
from support.numerics import randomize

SMALL = {"base_width": 2, "input_shape": (8, 8, 1), "classes": 3}


def copy_by_path(source, target):
    values = {w.path: w for w in source.weights}
    for w in target.weights:
        if w.path in values:
            w.assign(values[w.path])


def assign_k(model, value):
    for level in model.layers:
        for k in getattr(getattr(level, "scheme", None), "k", ()):
            k.assign(value)


def tensor(*shape):
    return keras.ops.convert_to_tensor(np.random.default_rng(5).normal(size=shape))


# the two-step method, Lu2018


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("lm", "plain"),
    [
        (LMResNet(50, **SMALL), PreActResNet(50, **SMALL)),
        (
            LMResNeXt(11, cardinality=2, group_width=2, lm_transition="plain", input_shape=(8, 8, 1)),
            ResNeXt(11, cardinality=2, group_width=2, preactivation=True, input_shape=(8, 8, 1)),
        ),
    ],
    ids=["lm_resnet", "lm_resnext"],
)
def test_k_zero_is_the_preactivation_network_bit_for_bit(lm, plain, training, images):
    copy_by_path(randomize(lm), plain)
    assign_k(lm, 0.0)
    x = images(lm)
    np.testing.assert_array_equal(lm(x, training=training), plain(x, training=training))


@given(blocks=st.integers(1, 4), k_first=st.booleans(), gives_previous=st.booleans())
def test_the_level_is_the_recursion_written_out(blocks, k_first, gives_previous):
    level = Level(
        LinearMultistep(blocks, k_first=k_first, dtype="float64"),
        basic(2, uses=blocks, dtype="float64"),
        dtype="float64",
    )
    states = [tensor(2, 4, 4, 2) for _ in range(2)] if gives_previous else [tensor(2, 4, 4, 2)]
    level(*states)
    randomize(level)
    x, previous = states[0], states[1] if gives_previous else 0.0
    k = [float(value) for value in level.scheme.k]
    ks = k if k_first else [None, *k]
    for i in range(blocks):
        f = level.field(x, i=i)
        x, previous = x + f if ks[i] is None else (1 - ks[i]) * x + ks[i] * previous + f, x
    ours = level(*states)
    np.testing.assert_allclose(ours[0], x, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ours[1], previous, rtol=1e-12, atol=1e-12)


def two_step(k, rate, dt, end=1.0):
    """Iterates the scheme on u' = rate u / (1 + k) from two exact values; returns the last iterate."""
    x, previous = np.exp(rate * dt / (1 + k)), 1.0
    for _ in range(round(end / dt) - 1):
        x, previous = steps.linear_multistep(x, previous, dt * rate * x, k), x
    return x


@pytest.mark.parametrize("k", [-0.5, -0.1, 0.0, 0.5])
def test_the_limit_is_u_prime_equals_g_over_1_plus_k_with_order_1(k):
    errors = [abs(two_step(k, -1.0, dt) - np.exp(-1 / (1 + k))) for dt in (1 / 200, 1 / 400, 1 / 800)]
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    np.testing.assert_allclose(orders, 1, atol=0.05)


@pytest.mark.parametrize("k", [-0.5, -0.1, 0.0, 0.3])
def test_the_modified_equation_is_one_order_closer(k):
    """(1 + k) u' + (1 - k)(dt / 2) u'' = g: its principal exponent against that of the scheme, Lu2018 (3)."""
    rate, gaps = -1.0, {"modified": [], "limit": []}
    for dt in (1e-2, 5e-3, 2.5e-3):
        scheme = np.log(np.roots([1, -(1 - k) - dt * rate, -k]).max()) / dt
        modified = np.roots([(1 - k) * dt / 2, 1 + k, -rate]).max()
        gaps["modified"].append(abs(scheme - modified))
        gaps["limit"].append(abs(scheme - rate / (1 + k)))
    for name, order in {"modified": 2, "limit": 1}.items():
        np.testing.assert_allclose(np.log2(np.divide(gaps[name][:-1], gaps[name][1:])), order, atol=0.15)


class Decay(Field):
    """f(x) = dt rate x."""

    def __init__(self, uses, factor):
        super().__init__(dtype="float64")
        self.uses, self.factor = uses, factor

    def call(self, x, i=0):
        return self.factor * x

    def compute_output_shape(self, input_shape):
        return input_shape


@pytest.mark.parametrize("k", [-0.5, -0.1, 0.0, 0.3])
def test_halving_dt_divides_the_error_by_4_for_the_modified_equation_and_by_2_for_its_limit(k):
    """A level of the method from x(0) = 1 to t = 1, g = -x, with the state before x(0) of the equation it is compared with."""
    rate, errors = -1.0, {"modified": [], "limit": []}
    for n in (100, 200, 400):
        exponents = {"modified": np.roots([(1 - k) / (2 * n), 1 + k, -rate]).max(), "limit": rate / (1 + k)}
        level = Level(LinearMultistep(n, k_first=True, dtype="float64"), Decay(n, rate / n), dtype="float64")
        level.build([(1, 1, 1, 1)] * 2)
        for variable in level.scheme.k:
            variable.assign(k)
        for name, exponent in exponents.items():
            x, previous = (np.full((1, 1, 1, 1), np.exp(exponent * t)) for t in (0, -1 / n))
            errors[name].append(abs(level(x, previous)[0].numpy().item() - np.exp(exponent)))
    for name, factor in {"modified": 4, "limit": 2}.items():
        np.testing.assert_allclose(np.divide(errors[name][:-1], errors[name][1:]), factor, rtol=0.05)


def test_the_two_step_method_with_dropped_blocks_is_a_step_of_its_second_order_equation():
    """Lu2018 section 3.2, dt = 1: Y_{n+1} = Y_n + eta f(X_n) - g Y_n and X_{n+1} = X_n + Y_{n+1} have k = g - 1."""
    rng, g, p = np.random.default_rng(0), 0.3, 0.6
    x, y = rng.normal(size=2)
    two_steps = x, x - y
    for eta in rng.uniform(size=50) < p:
        y += p * np.tanh(-x) + (eta - p) * np.tanh(-x) - g * y
        x += y
        two_steps = steps.linear_multistep(*two_steps, eta * np.tanh(-two_steps[0]), g - 1), two_steps[0]
        assert two_steps[0] == pytest.approx(x, rel=1e-12)


@pytest.mark.parametrize("p", [0.2, 0.5, 0.8])
def test_the_second_moments_of_the_second_order_equation_have_order_1(p):
    """f(X) = -X: the second moments of (X, Y) at t = 1, exactly, in the method and by Ito's formula in the equation."""
    g, noise = 0.3, np.array([[0.0, 0.0], [-1.0, 0.0]])  # the factor of dW is noise (X, Y) (p (1 - p))^(1/2)
    drift, start, one = np.array([[0.0, 1.0], [-p, -g]]), np.kron([1.0, 0.5], [1.0, 0.5]), np.eye(2)
    exact = expm(np.kron(drift, one) + np.kron(one, drift) + p * (1 - p) * np.kron(noise, noise)) @ start

    def error(n):
        h = 1 / n
        position = np.array([[1.0, h], [0.0, 1.0]])  # X by the new Y
        mean, spread = position @ (one + h * np.array([[0.0, 0.0], [-p, -g]])), position @ noise
        step = np.kron(mean, mean) + h * p * (1 - p) * np.kron(spread, spread)
        return np.abs(np.linalg.matrix_power(step, n) @ start - exact).max()

    errors = [error(n) for n in (50, 100, 200)]
    np.testing.assert_allclose(np.divide(errors[:-1], errors[1:]), 2, rtol=0.05)


@pytest.mark.parametrize(("k", "growth"), [(-1.0, 1000), (-0.9, 11), (0.0, 1), (0.9, 1), (1.0, 1), (1.1, 1e20)])
def test_zero_stability(k, growth):
    """The roots of (z - 1)(z + k): bounded for -1 < k <= 1, linear growth at k = -1, exponential beyond."""
    x, previous, largest = 1.0, 0.0, 1.0
    for _ in range(999):
        x, previous = steps.linear_multistep(x, previous, 0.0, k), x
        largest = max(largest, abs(x))
    assert growth / 2 <= largest <= 2 * growth if growth < 1e20 else largest > growth


def test_k_one_is_the_midpoint_rule_and_k_minus_one_the_leapfrog():
    x, previous, f = tensor(3), tensor(3) + 1, tensor(3) - 2
    np.testing.assert_allclose(steps.linear_multistep(x, previous, f, 1.0), previous + f)
    np.testing.assert_allclose(steps.linear_multistep(x, previous, f, -1.0), 2 * x - previous + f)


def test_k_values_are_one_per_block_that_has_one(images):
    plain, project = (LMResNet(blocks=(3, 2), lm_transition=t, **SMALL) for t in ("plain", "project"))
    assert k_values(plain).shape == (3,)
    assert k_values(project).shape == (5,)
    assert len(np.unique(k_values(project))) == 5
    assert np.all((k_values(project) <= 0) & (k_values(project) >= -0.1))
    with pytest.raises(ValueError, match=r"expected a network with k, such as LMResNet\. Received: ResNet"):
        k_values(ResNet(8, **SMALL))


@pytest.mark.parametrize("rho", [0.5, 0.9])
def test_with_k_equal_1_minus_omega_it_is_the_chebyshev_iteration(rho):
    """On A u = f with I - A of spectrum [-rho, rho] the error falls as 1 / T_n(1 / rho), the least possible."""
    spectrum = np.linspace(-rho, rho, 21)
    e, previous = np.ones(21), np.zeros(21)  # the error of each eigenvector
    for omega in chebyshev_omegas(rho, 12):
        e, previous = steps.linear_multistep(e, previous, omega * (spectrum - 1) * e, 1 - omega), e
    least = 1 / np.polynomial.chebyshev.Chebyshev.basis(12)(1 / rho)
    assert np.abs(e).max() == pytest.approx(least, rel=1e-6)


# stochastic depth


@pytest.mark.parametrize(("blocks", "survival", "huang", "release"), [(27, 0.8, 24.20, 24.30), (54, 0.5, 40.25, 40.50)])
def test_expected_number_of_surviving_blocks(blocks, survival, huang, release):
    assert sum(survival_probabilities(blocks, survival)) == pytest.approx(huang)
    assert sum(survival_probabilities(blocks, survival, "lm_release")) == pytest.approx(release)
    assert survival_probabilities(blocks, survival)[-1] == survival_probabilities(blocks, survival, "lm_release")[-1]


@pytest.mark.parametrize("inverted", [False, True])
def test_the_inference_branch_is_the_mean_of_the_training_branch(inverted):
    gate = StochasticDepth((0.5, 0.8), inverted=inverted, seed=1, dtype="float64")
    f = tensor(2, 3, 3, 1)
    draws = np.stack([gate(f, i=1, training=True) for _ in range(2000)])
    whole_batch = draws / np.asarray(f)
    assert np.ptp(whole_batch, axis=(1, 2, 3, 4)).max() < 1e-6, "one draw for the whole batch"
    np.testing.assert_allclose(whole_batch.mean(), np.mean(gate(f, i=1) / f), atol=0.03)


def test_blocks_drop_in_the_published_share_of_compiled_steps():
    import tensorflow as tf

    p = survival_probabilities(5, 0.3)
    level = Level(Euler(), Blocks(basic(1, uses=5), survival=p))
    x = np.ones((1, 4, 4, 1), "float32")
    level(x)
    survived = tf.function(
        lambda: tf.stack([tf.reduce_any(level.field.gate(x, i=i, training=True) != 0) for i in range(5)])
    )
    counts = np.sum([survived().numpy() for _ in range(1500)], axis=0)
    np.testing.assert_allclose(counts / 1500, p, atol=0.05)


@pytest.mark.parametrize("family", [ResNet, PreActResNet, LMResNet])
def test_survival_one_leaves_the_graph_alone(family):
    model = family(blocks=(1, 1), survival=1.0, **SMALL)
    assert all(level.field.gate is None for level in model.layers if level.name.startswith("level"))


@pytest.mark.parametrize("family", [ResNet, PreActResNet, LMResNet])
def test_the_schedule_of_the_released_code_scales_in_training(family):
    for schedule, inverted in (("huang", False), ("lm_release", True)):
        model = family(blocks=(1, 1), survival=0.5, survival_schedule=schedule, **SMALL)
        assert [model.get_layer(f"level{j}").field.gate.inverted for j in (1, 2)] == [inverted] * 2


@pytest.mark.parametrize("inverted", [False, True])
def test_the_linear_part_of_the_two_step_method_never_drops(inverted):
    level = Level(LinearMultistep(3), Blocks(basic(2, uses=3), survival=(0.0, 0.0, 0.0), inverted=inverted))
    x = tensor(2, 4, 4, 2)
    level(x)
    for k, value in zip(level.scheme.k, (-0.5, 0.25), strict=True):
        k.assign(value)
    np.testing.assert_allclose(level(x, training=True)[0], x, rtol=1e-6)


def test_a_dropped_branch_does_no_harm():
    gate = StochasticDepth((0.0,))
    assert not np.any(gate(np.full((1, 2, 2, 1), np.inf, "float32"), training=True))


# shake-shake


def test_the_mean_of_shakes_is_the_inference_branch():
    f1, f2 = tensor(4, 3, 3, 2), tensor(4, 3, 3, 2) + 1
    layer = Shake(basic(2), basic(2), seed=3, dtype="float64")
    layer(f1)
    layer.f1, layer.f2 = (lambda x, i: f1), (lambda x, i: f2)
    expected = layer(f1)
    np.testing.assert_allclose(expected, (f1 + f2) / 2)
    draws = np.mean([layer(f1, training=True) for _ in range(800)], axis=0)
    assert np.abs(draws - expected).max() < 5 / np.sqrt(12 * 800)


@pytest.mark.parametrize("mode", ["image", "batch"])
def test_the_gradient_takes_an_independent_eta(mode):
    import tensorflow as tf

    layer = Shake(basic(1), basic(1), mode=mode, seed=3)
    layer(np.ones((4, 2, 2, 1), "float32"))
    f1, f2 = tf.constant(np.full((4, 2, 2, 1), 2.0, "float32")), tf.constant(np.full((4, 2, 2, 1), 1.0, "float32"))
    layer.f1, layer.f2 = (lambda x, i: f1), (lambda x, i: f2)
    with tf.GradientTape() as tape:
        tape.watch([f1, f2])
        y = layer(f1, training=True)
    forward = y.numpy()[:, 0, 0, 0] - 1  # y = 1 + eta
    backward, rest = (g.numpy() for g in tape.gradient(y, [f1, f2]))
    np.testing.assert_allclose(backward + rest, 1, rtol=1e-6)
    assert np.abs(backward[:, 0, 0, 0] - forward).min() > 1e-3, "independent of the forward eta"
    distinct = 4 if mode == "image" else 1
    assert len(np.unique(backward)) == distinct
    assert len(np.unique(np.round(forward, 5))) == distinct


def shaken(dt, seed=3):
    """Draws of a step from zero on 20,000 images of one pixel, with branches that are 2 and 1 everywhere."""
    options = {} if dt is None else {"dt": dt}
    layer = Shake(basic(1), basic(1), seed=seed, **options)
    x = np.zeros((20_000, 1, 1, 1), "float32")
    layer(x)
    layer.f1, layer.f2 = (lambda x, i: 2 * np.ones_like(x)), (lambda x, i: np.ones_like(x))
    return layer, layer(x, training=True).numpy().ravel()


@pytest.mark.parametrize("dt", [0.25, 1.0, 4.0])
def test_mean_and_variance_of_a_shake_are_those_of_its_equation(dt):
    """Lu2018 (4): mean dt (f_1 + f_2) / 2, variance dt (f_1 - f_2)^2 / 12, both with four standard errors."""
    layer, draws = shaken(dt)
    assert draws.mean() == pytest.approx(1.5 * dt, abs=4 * np.sqrt(dt / 12 / draws.size))
    assert draws.var() == pytest.approx(dt / 12, rel=4 * np.sqrt(0.8 / draws.size))  # kurtosis 1.8
    np.testing.assert_allclose(layer(np.zeros((1, 1, 1, 1))), 1.5 * dt)


def test_a_unit_step_shakes_as_without_a_step_size_bit_for_bit():
    np.testing.assert_array_equal(shaken(1.0)[1], shaken(None)[1])
    eta = np.random.default_rng(0).uniform(size=1000).astype("float32")
    f1, f2 = np.random.default_rng(1).normal(size=(2, 1000)).astype("float32")
    np.testing.assert_array_equal(steps.mix(f1, f2, eta), eta * f1 + (1 - eta) * f2)


def test_the_gradient_of_a_step_has_the_weights_of_its_equation():
    import tensorflow as tf

    layer, _ = shaken(0.25)
    f1, f2 = tf.ones((1000, 1, 1, 1)), tf.zeros((1000, 1, 1, 1))
    layer.f1, layer.f2 = (lambda x, i: f1), (lambda x, i: f2)
    with tf.GradientTape() as tape:
        tape.watch([f1, f2])
        y = layer(f1, training=True)
    first, second = (g.numpy() for g in tape.gradient(y, [f1, f2]))
    np.testing.assert_allclose(first + second, 0.25, rtol=1e-6)
    assert -0.125 <= first.min() < -0.12 and 0.37 < first.max() <= 0.375  # dt/2 +- dt^(1/2) / 2
    assert np.abs(np.corrcoef(first.ravel(), y.numpy().ravel())[0, 1]) < 0.15


def test_equal_branches_make_shaking_irrelevant(images):
    model = ShakeShake(8, 4, input_shape=(8, 8, 1))
    for level in (layer for layer in model.layers if layer.name.startswith("level")):
        level.field.branch.f2.set_weights(level.field.branch.f1.get_weights())
    x = images(model)
    np.testing.assert_allclose(model(x, training=True), model(x, training=True), rtol=1e-4, atol=1e-5)


# aggregated branches


def test_the_grouped_convolution_is_the_sum_over_explicit_branches():
    """ResNeXt's form C (grouped) against form B (one chain per group, summed)."""
    branch = bottleneck(8, 6, groups=3, order="postactivation")
    x = keras.ops.cast(tensor(2, 5, 5, 4), "float32")
    branch(x)
    randomize(branch)
    (first,), (second,), (third,) = branch.convs
    n1, n2, n3 = (norms[0] for norms in branch.norms)
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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("groups", [2, 6])
def test_grouped_convolutions_are_those_of_their_groups(groups, dtype):
    conv, x = Conv(12, strides=2, groups=groups, dtype=dtype), tensor(2, 7, 6, 6)
    x = keras.ops.cast(x, dtype)
    y, size = conv(x), 6 // groups
    for g in range(groups):
        own = Conv(12 // groups, strides=2, dtype=dtype)
        own.build((None, 7, 6, size))
        part = slice(g * 12 // groups, (g + 1) * 12 // groups)
        own.kernel.assign(conv.kernel[..., part])
        np.testing.assert_allclose(y[..., part], own(x[..., g * size : (g + 1) * size]), rtol=1e-4, atol=1e-5)
