"""The numbers of the analyses against what is known exactly, or against a second way to compute them."""

import math

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops

from keras_mgnet import HamiltonianNet, LMResNet, MgNet, PreActResNet, ResNet, k_values
from keras_mgnet.analysis import (
    activation_maps,
    amplification,
    arnoldi,
    chain_variances,
    coefficients,
    derivative_coefficient,
    estimation,
    initialization,
    interpolating_network,
    kernel_of_moments,
    moment_matrix,
    moments,
    nearest_stencil,
    optimal_combination,
    random_labels,
    randomization,
    residuals,
    smoothing_factor,
    spectra,
    stability,
    step_symbol,
    symbol,
    vanishing_order,
)
from keras_mgnet.analysis.differential_operators import STENCILS
from keras_mgnet.analysis.eigenvalues import EULER, Recursion, recursion, right_hand_sides
from keras_mgnet.analysis.fourier import BINS, frequencies, is_high
from keras_mgnet.analysis.states import iterates, residuals_of
from keras_mgnet.layers.schemes.smoothers import chebyshev_omegas
from keras_mgnet.optimizers import SGD
from support import catalogue
from support.numerics import randomize

POISSON = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])[:, :, None, None]
TINY = {"input_shape": (8, 8, 1), "classes": 3}


def delta(value):
    return np.array(value, float).reshape(1, 1, 1, 1)


@pytest.mark.parametrize("form", ["residual", "feature"])
def test_residuals_are_f_minus_A_u(form, images):
    model = randomize(MgNet((2, 3), 4, form=form, **TINY))
    x = images(model, 5)
    states, features = next(residuals_of(model, x)), next(iterates(model, x))
    for name, rs in states.items():
        level, us = model.get_layer(name), features[name]
        us = us if len(us) == len(rs) else [np.zeros_like(us[0]), *us]
        assert len(rs) == level.nu + 1
        f = rs[0] + level.field.A[0](us[0])
        for r, u in zip(rs, us, strict=True):
            np.testing.assert_allclose(r, f - level.field.A[0](u), rtol=1e-4, atol=1e-4)
    result = residuals(model, x)
    norms = [np.sqrt(np.square(r).sum((1, 2, 3))) for r in states["level2"]]
    np.testing.assert_allclose(result.relative["level2"], [np.mean(norm / norms[0]) for norm in norms], rtol=1e-5)
    assert result.first["level2"] == pytest.approx(norms[0].mean(), rel=1e-5)


def test_a_cycle_goes_on_behind_the_coarse_grid(images):
    model = randomize(catalogue.build("vcycle_mgnet_unshared_b"))
    level = model.get_layer("level1")
    found = residuals(model, images(model)).relative["level1"]
    assert len(found) >= level.nu + 1 + level.post_nu


def test_estimation_is_that_of_all_images_at_once(images):
    model = randomize(PreActResNet(blocks=(3, 2), base_width=3, **TINY))
    x = images(model, 260)  # more than one batch
    parts = [states["level2"] for states in iterates(model, x)]
    xs = [np.concatenate(pieces).astype(float) for pieces in zip(*parts, strict=True)]
    assert len(parts) == 2 and len(xs) == 2
    d, scale = xs[0] - xs[-1], xs[-1].std()
    result = estimation(model, x)
    assert result.mean["level2"][0] == pytest.approx(d.mean() / scale, rel=1e-5)
    assert result.spread["level2"][0] == pytest.approx(d.std() / scale, rel=1e-5)
    assert result.bias["level2"][0] == pytest.approx(np.sqrt(np.mean(d.mean(0) ** 2)) / scale, rel=1e-5)
    assert result.mean["level2"][-1] == result.spread["level2"][-1] == 0


def test_states_are_those_of_the_recursion(images):
    model = randomize(ResNet(blocks=(3,), base_width=3, **TINY))
    level = model.get_layer("level1")
    xs = next(iterates(model, images(model)))["level1"]
    for i in range(level.nu):
        x, f = level.field.parts(xs[i], i)
        np.testing.assert_allclose(xs[i + 1], ops.relu(x + f), rtol=1e-5, atol=1e-6)


@given(st.floats(0.1, 9), st.floats(0.1, 9), st.floats(-0.9, 0.9))
def test_the_optimal_combination_has_the_least_variance(a, b, correlation):
    covariance = correlation * math.sqrt(a * b)
    if a + b - 2 * covariance < 1e-3:
        return
    q, other = optimal_combination(a, b, covariance)

    def variance(q):
        return q * q * a + (1 - q) ** 2 * b + 2 * q * (1 - q) * covariance

    assert q + other == pytest.approx(1)
    assert all(variance(q) <= variance(q + step) + 1e-12 for step in (-0.01, 0.01, -1, 1))


def test_estimates_without_a_difference_have_no_best_combination():
    with pytest.raises(ValueError, match="expected A and B that differ"):
        optimal_combination(1.0, 1.0, 1.0)


def test_coefficients_are_the_learned_ones():
    lm = randomize(LMResNet(blocks=(3, 4), base_width=2, **TINY))
    result = coefficients(lm)
    np.testing.assert_allclose(np.concatenate([*result.k.values()]), k_values(lm))
    assert result.first == {"level1": 1, "level2": 1}
    assert result.chebyshev[0.9]["level2"] == [1 - omega for omega in chebyshev_omegas(0.9, 4)[1:]]
    omegas = (1.0, 1.5, 0.5)
    mgnet = MgNet((3,), 4, smoother="chebyshev", **TINY)
    mgnet.get_layer("level1").scheme.omega.assign(omegas)
    assert coefficients(mgnet).k["level1"] == pytest.approx([0, -0.5, 0.5])
    damped = coefficients(MgNet((2,), 4, smoother="damped", **TINY))
    assert damped.damping["level1"] == pytest.approx(1 / (1 + math.exp(-1))) and not damped.k
    with pytest.raises(ValueError, match="expected an LM network"):
        coefficients(MgNet((1,), 4, **TINY))


@pytest.mark.parametrize("omega, factor", [(4 / 5, 0.6), (2 / 3, 2 / 3), (1, 1)])
def test_smoothing_factor_of_jacobi(omega, factor):
    assert smoothing_factor(POISSON, delta(omega / 4)) == pytest.approx(factor, abs=1e-12)


def test_the_symbol_is_what_a_convolution_does_to_a_wave():
    rng = np.random.default_rng(0)
    A, B = rng.normal(size=(3, 3, 2, 3)), rng.normal(size=(3, 3, 3, 2))
    theta = np.array([0.7, -1.9])
    amplitude = rng.normal(size=3)
    y, x = np.mgrid[:9, :9]
    wave = np.exp(1j * (theta[0] * y + theta[1] * x))[None, :, :, None] * amplitude

    def convolve(values, kernel):
        return ops.convert_to_numpy(ops.conv(values, kernel, padding="same", data_format="channels_last"))

    def step(values):
        return values - convolve(convolve(values, B), A)

    found = (step(wave.real) + 1j * step(wave.imag))[0, 4, 4] / wave[0, 4, 4, :1] * amplitude[0]
    np.testing.assert_allclose(found, step_symbol(A, B, theta[None, None])[0, 0] @ amplitude, rtol=1e-9)
    assert symbol(POISSON, np.zeros((1, 1, 2))).item() == 0


@pytest.mark.parametrize(
    ("smoother", "factor"),
    [("residual_correction", 1), ("damped", 1 / (1 + math.exp(-1))), ("chebyshev", 1), ("multistep", 1)],
)
def test_spectra_of_jacobi_in_a_network(smoother, factor, images):
    """A net whose A is Poisson's and B Jacobi's: the norms are fresh, so only sigma' and the scheme's factor stand between."""
    model = MgNet((2,), 1, smoother=smoother, activation="linear", **TINY)
    level = model.get_layer("level1")
    level.field.A[0].kernel.assign(POISSON)
    B = np.zeros((3, 3, 1, 1))
    B[1, 1] = 1 / 5 / factor
    level.field.B[0].kernel.assign(B)
    result = spectra(model, images(model, 50))
    assert result.high["level1"] == pytest.approx([0.6, 0.6], abs=1e-4)
    assert result.low["level1"][0] == pytest.approx(1, abs=1e-4)
    theta = frequencies()
    assert result.radius["level1"].shape == (2, *is_high(theta).shape) and result.measured["level1"].shape == (2, BINS)
    known = np.isfinite(result.measured["level1"][0])
    assert known.sum() == 5  # an 8 x 8 grid has the frequencies 0, 1/4, ..., 1 of pi
    highest = result.measured["level1"][0][-1]
    assert highest < 0.75 and result.measured["level1"][0][0] > 0.8  # but for the boundary


def test_the_symbols_that_are_drawn_are_those_of_the_channels_that_mix(images):
    model = randomize(MgNet((2,), 10, **TINY))
    level, others = model.get_layer("level1"), (np.arange(10) != 4).astype("float32")
    level.field.B[0].kernel.assign(level.field.B[0].kernel * others[:, None])  # nothing from channel 4
    level.field.A[0].kernel.assign(level.field.A[0].kernel * others)  # and nothing to it
    result = spectra(model, images(model, 20))
    drawn = result.drawn["level1"]
    assert len(drawn) == 8 and 4 not in drawn and drawn == sorted(drawn)
    high = result.symbols["level1"][is_high(frequencies())].mean(0)
    np.testing.assert_allclose(high, result.pairs["level1"][-1][np.ix_(drawn, drawn)], rtol=1e-6)


@pytest.mark.parametrize("norm", ["batch", None])
def test_sigma_counts_as_its_mean_slope(norm, images):
    model = randomize(MgNet((1,), 3, norm=norm, **TINY))
    x = images(model, 20)
    level = model.get_layer("level1")
    (r, *_), kernel = next(residuals_of(model, x))["level1"], ops.convert_to_numpy(level.field.B[0].kernel)
    open_1 = np.mean(ops.convert_to_numpy(level.field.s1[0](r)) > 0, axis=(0, 1, 2))
    e = level.field.s2[0](level.field.B[0](level.field.s1[0](r)))
    open_2 = np.mean(ops.convert_to_numpy(e) > 0, axis=(0, 1, 2))
    s1, s2 = (s[0].affine()[0] if norm else 1.0 for s in (level.field.s1, level.field.s2))
    scaled = kernel * (s1 * open_1)[:, None] * (s2 * open_2)
    expected = step_symbol(ops.convert_to_numpy(level.field.A[0].kernel), scaled, frequencies())
    np.testing.assert_allclose(
        np.sort(np.abs(np.linalg.eigvals(expected)).max(-1).ravel()),
        np.sort(spectra(model, x).radius["level1"].ravel()),
        rtol=1e-4,
    )


@given(arrays(np.float64, (3, 3, 2), elements=st.floats(-5, 5)))
def test_kernels_and_moments_determine_each_other(q):
    np.testing.assert_allclose(kernel_of_moments(moment_matrix(q)), q, atol=1e-12)


@pytest.mark.parametrize(
    "name, order, a, b, C",
    [
        ("d/dx", 1, 1, 0, 2),
        ("d/dy", 1, 0, 1, 2),
        ("d2/dx2", 2, 2, 0, 1),
        ("d2/dxdy", 2, 1, 1, 4),
        ("Sobel x", 1, 1, 0, 8),
    ],
)
def test_a_stencil_is_its_derivative(name, order, a, b, C):
    q = STENCILS[name]
    assert vanishing_order(q) == order and derivative_coefficient(q, a, b) == C
    assert list(STENCILS)[int(nearest_stencil(0.3 * q)[0])] == name

    def F(x, y):
        return np.exp(0.3 * x - 0.7 * y)

    derivative = 0.3**a * (-0.7) ** b * F(0.2, 0.1)
    k = np.arange(3) - 1
    errors = []
    for eps in (0.1, 0.05):
        sampled = F(0.2 + eps * k[:, None], 0.1 + eps * k)
        errors.append(abs(eps**-order * np.sum(q * sampled) - C * derivative))
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)  # these are symmetric, so even of second order


def test_orders_of_many_kernels_at_once():
    q = np.stack([STENCILS["Laplacian"], np.ones((3, 3)), np.zeros((3, 3)), STENCILS["d4/dx2dy2"]], axis=-1)
    assert vanishing_order(q).tolist() == [2, 0, 5, 4]


def test_moments_of_a_network_made_of_stencils():
    model = MgNet((1,), 2, **TINY)
    level = model.get_layer("level1")
    level.field.A[0].kernel.assign(np.broadcast_to(STENCILS["Laplacian"][:, :, None, None], (3, 3, 2, 2)))
    result = moments(model)
    assert result.nearest["level1/A"]["Laplacian"] == 1 and result.order["level1/A"] == [0, 0, 1, 0]
    assert result.cosine["level1/A"] == pytest.approx(1) and result.high_pass["level1/A"] == 0
    assert all(sum(shares.values()) == pytest.approx(1) for shares in result.nearest.values())


def test_arnoldi_finds_all_eigenvalues_of_a_small_map():
    rng = np.random.default_rng(0)
    M = rng.normal(size=(6, 6))
    values, errors = arnoldi(lambda v: M @ v, rng.normal(size=6), 10)
    np.testing.assert_allclose(np.sort_complex(values), np.sort_complex(np.linalg.eigvals(M)), rtol=1e-8)
    assert errors.max() == 0


def test_arnoldi_finds_the_outer_eigenvalues_of_a_large_map():
    diagonal = np.concatenate([np.linspace(-0.5, 0.5, 300), [-2, 3]])
    values, errors = arnoldi(lambda v: diagonal * v, np.ones(302), 25)
    assert values.real.max() == pytest.approx(3, abs=1e-6) and values.real.min() == pytest.approx(-2, abs=1e-6)
    assert errors[values.real.argmax()] < 1e-3


@pytest.mark.parametrize("k", [-0.5, 0.0, 0.4])
def test_amplification_is_the_growth_of_the_recursion(k):
    scheme, rate = Recursion((1 - k, k), (1.0, 0.0)), -0.4 + 0.3j
    before, now = 1.0, 0.3 + 0.2j
    for _ in range(200):
        before, now = now, (1 - k + rate) * now + k * before
    assert abs(now / before) == pytest.approx(float(amplification(np.array([rate]), scheme)[0]), rel=1e-6)
    np.testing.assert_allclose(amplification(np.array([rate]), EULER), abs(1 + rate))


def test_stability_is_that_of_the_dense_jacobian(images):
    model = randomize(LMResNet(blocks=(2,), base_width=1, input_shape=(4, 4, 1), classes=3))
    result = stability(model, images(model, 1), arnoldi_steps=16)
    for (level, i, f, x), block in zip(right_hand_sides(model, images(model, 1)), result.blocks, strict=True):
        step = 1e-2
        shifts = step * np.eye(16).reshape(16, 1, 4, 4, 1).astype("float32")
        J = np.stack([np.ravel(f(x + d) - f(x - d)) / (2 * step) for d in shifts], axis=1)
        np.testing.assert_allclose(block.eigenvalues.sum(), np.trace(J), atol=0.02 * max(1, np.abs(J).max()))
        assert block.scheme == recursion(level, i)
    k = float(model.get_layer("level1").scheme.k[0])
    assert [block.scheme for block in result.blocks] == [EULER, Recursion((1 - k, k), (1.0, 0.0))]


def test_schemes_of_smoothers():
    chebyshev = MgNet((2,), 2, smoother="chebyshev", **TINY).get_layer("level1")
    chebyshev.scheme.omega.assign([1.0, 1.25])
    assert recursion(chebyshev, 1) == Recursion((1.25, -0.25), (1.25, 0.0))
    multistep = MgNet((3,), 2, smoother="multistep", **TINY).get_layer("level1")
    multistep.scheme.alpha[1].assign([0.25, 0.5])
    assert recursion(multistep, 2) == Recursion((0.25, 0.5, 0.25), (0.25, 0.5, 0.25))


def test_a_damped_antisymmetric_network_does_not_grow(images):
    model = HamiltonianNet(
        blocks=(2,), channels=(4,), scheme="antisymmetric", gamma=2.0, dt=0.1, activation="linear", **TINY
    )
    blocks = stability(model, images(model, 1), arnoldi_steps=20).blocks
    assert len(blocks) == 2 and all(block.rightmost < 0 for block in blocks)


def test_he_keeps_and_xavier_halves():
    forward, backward = chain_variances(2.0)
    assert 1 / 3 < forward[-1] / forward[0] < 3 and 1 / 3 < backward[0] / backward[-1] < 3
    forward, backward = chain_variances(1.0)
    for ratio in (forward[-1] / forward[0], backward[0] / backward[-1]):
        assert -32 < math.log2(ratio) < -27  # 29 layers


def test_norms_make_initialisations_equal(images):
    model = PreActResNet(blocks=(2, 2), base_width=8, **TINY)
    x = images(model, 16)
    before = [ops.convert_to_numpy(v) for v in model.weights]
    result = initialization(model, x, np.arange(16) % 3)
    uses = 1 + 8 + 1
    assert all(
        len(v) == uses for modes in (*result.forward.values(), *result.backward.values()) for v in modes.values()
    )

    def last(mode):
        values = [result.forward[init][mode][-1] / result.forward[init][mode][0] for init in result.forward]
        return max(values) / min(values)

    assert last("no norm") > 10 * last("batch norm")
    assert all(np.array_equal(v, ops.convert_to_numpy(w)) for v, w in zip(before, model.weights, strict=True))


def test_the_gradient_by_the_last_output_is_that_by_hand(images):
    """The last convolution of a network without a norm behind it, by hand: pool, classifier, softmax."""
    model = PreActResNet(18, base_width=2, **TINY)
    x, labels = images(model, 4), np.array([0, 1, 2, 0])
    result = initialization(model, x, labels, seed=3)
    keras.utils.set_random_seed(3)
    fresh = PreActResNet.from_config(model.get_config() | {"init": "xavier"})
    p = ops.convert_to_numpy(ops.softmax(fresh(x, training=False))) - np.eye(3)[labels]
    *_, h, w, _ = fresh.layers[-2].input.shape
    gradient = p @ ops.convert_to_numpy(fresh.layers[-1].kernel).T / (4 * h * w)
    assert result.backward["xavier"]["no norm"][-1] == pytest.approx(np.mean(gradient**2), rel=1e-4)


def test_two_layers_interpolate_anything():
    rng = np.random.default_rng(0)
    points, values = rng.normal(size=(50, 8)), rng.normal(size=50)
    network = interpolating_network(points, values)
    assert network.a.size + network.b.size + network.w.size == 2 * 50 + 8
    assert np.abs(network(points) - values).max() < 1e-10
    with pytest.raises(ValueError, match="1 of 3 points equal another"):
        interpolating_network(points[[0, 1, 0]], values[:3])


def test_random_labels_are_learned():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(16, 8, 8, 1)).astype("float32"), rng.integers(0, 3, 16)
    model = MgNet((1,), 16, **TINY)
    before = [ops.convert_to_numpy(v) for v in model.weights]
    result = randomization(model, x, labels, regularizers=["none"], epochs=25, learning_rate=0.05, batch_size=8)
    assert result.train["random"]["none"][-1] > 0.9 and len(result.test["true"]["none"]) == 25
    assert all(np.array_equal(v, ops.convert_to_numpy(w)) for v, w in zip(before, model.weights, strict=True))


@pytest.mark.parametrize("name", ["augmentation", "dropout"])
def test_regularisers_act_in_training_alone(name, images):
    model = MgNet((1,), 4, **TINY | {"input_shape": (8, 8, 3)})
    x, network = images(model), random_labels._regularized(model, name)
    assert network.count_params() == model.count_params()
    assert not np.allclose(network(x, training=True), model(x, training=True), atol=1e-6)
    np.testing.assert_allclose(network(x, training=False), model(x, training=False), rtol=1e-5, atol=1e-6)


def test_augmentation_shifts_grey_images_and_does_not_flip_them(images):
    model = MgNet((1,), 4, **TINY)
    kinds = [type(layer) for layer in random_labels._regularized(model, "augmentation").layers]
    assert kinds == [keras.layers.RandomTranslation, MgNet]


@pytest.mark.parametrize("name", random_labels.REGULARIZERS)
def test_regularised_networks_scale_the_loss_in_half_precision(name):
    network = random_labels._regularized(MgNet((1,), 4, **TINY, dtype="mixed_float16"), name)
    network.compile("sgd", "mse")
    assert isinstance(network.optimizer, keras.optimizers.LossScaleOptimizer)


def test_one_of_the_regularisers_is_weight_decay(monkeypatch, images):
    decays = []
    monkeypatch.setattr(
        random_labels,
        "SGD",
        lambda *args, **kwargs: decays.append(kwargs["coupled_weight_decay"]) or SGD(*args, **kwargs),
    )
    model = MgNet((1,), 2, **TINY)
    result = randomization(model, images(model, 8), np.arange(8) % 3, epochs=1)
    assert decays == 2 * [0, 0, 5e-4, 0] and [list(curves) for curves in result.test.values()] == 2 * [
        [*random_labels.REGULARIZERS]
    ]


def test_maps_add_up_to_the_logits(images):
    model = randomize(ResNet(8, base_width=2, **TINY))
    x = images(model, 6)
    found, expected = activation_maps(model, x, np.zeros(6)), ops.convert_to_numpy(model(x, training=False))
    np.testing.assert_allclose(found.maps.mean((1, 2)) + found.bias, expected.max(-1), rtol=1e-4, atol=1e-5)
    assert found.predicted.tolist() == expected.argmax(-1).tolist()
    with pytest.raises(ValueError, match="ends in a global mean"):
        activation_maps(ResNet(8, base_width=2, include_top=False, input_shape=(8, 8, 1)), x, np.zeros(6))
