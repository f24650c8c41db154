"""A fractal level: its recursion, its columns, what drop-path draws, and the Runge-Kutta step that it contains."""

from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mgnet.layers import FractalLevel, GlobalPath, Join, Norm
from support.fractal import images, one_hot
from support.numerics import frozen, randomize


def level_of(columns, column=None, **options):
    level = FractalLevel(4, columns, column=column, dtype="float64", **options)
    level.build((None, 8, 8, 3))
    return frozen(randomize(level))


def recursion(level, columns, x, layers):
    """The ends of the columns of f_C, the shallowest first: f_1 = conv, f_{C+1} = (f_C o f_C) join conv."""
    if columns == 1:
        return [apply_layer(level, layers, level.nu.bit_length() - 1, x)]
    middle = sum(inner := recursion(level, columns - 1, x, layers)) / len(inner)
    shallow = apply_layer(level, layers, level.nu.bit_length() - columns, x)
    return [shallow, *recursion(level, columns - 1, middle, layers)]


def apply_layer(level, layers, column, x):
    """The next layer of a column, written out: relu((K * x + b - mean) / sqrt(var + 1e-5))."""
    conv, norm = layers[column].pop(0)
    x = keras.ops.conv(x, conv.kernel, 1, "same", "channels_last") + conv.bias
    mean, variance = (keras.ops.cast(v, "float64") for v in (norm.moving_mean, norm.moving_variance))
    return keras.ops.relu((x - mean) / keras.ops.sqrt(variance + 1e-5))


@pytest.mark.parametrize("columns", [1, 2, 3, 4])
def test_the_level_is_the_recursion(columns):
    level = level_of(columns)
    layers = {c: [] for c in range(columns)}
    for conv, norm in zip(level.K, level.s, strict=True):
        layers[int(conv.name[1])].append((conv, norm))
    assert [len(chain) for chain in layers.values()] == [2**c for c in range(columns)]
    x = images()
    ends = recursion(level, columns, x, layers)
    pooled = [keras.ops.max_pool(end, 2, 2, "valid", "channels_last") for end in ends]
    np.testing.assert_allclose(level(x), sum(pooled) / columns, rtol=1e-9, atol=1e-12)
    assert not any(layers.values())


def test_the_columns_have_equal_weights_and_not_those_of_nested_means():
    """Lu2018 prints f_{C+1} = conv / 2 + (f_C o f_C) / 2: 1/2, 1/4, 1/4 for three columns. The level has 1/3 each."""

    def nested(columns):
        return [1.0] if columns == 1 else [0.5, *(share / 2 for share in nested(columns - 1))]

    assert nested(2) == [0.5, 0.5] and nested(3) == [0.5, 0.25, 0.25]
    join = Join(dtype="float64")
    np.testing.assert_allclose(join([keras.ops.convert_to_tensor(row) for row in np.eye(3)]), [1 / 3] * 3)


def test_pooling_precedes_the_last_join():
    level = level_of(2)
    x = images()
    columns = [level(x, one_hot(c, 2), training=True) for c in range(2)]
    np.testing.assert_allclose(level(x), (columns[0] + columns[1]) / 2, rtol=1e-9)


def test_dropout_stands_between_convolution_and_norm():
    """With all but the bias at zero an output is the standardised 0 or b / (1 - rate), half of the time each."""
    level = FractalLevel(1, 1, dropout=0.5, dtype="float64")
    level.build((None, 64, 64, 1))
    (K,), (s,) = level.K, level.s
    K.kernel.assign(np.zeros((3, 3, 1, 1)))
    K.bias.assign([1.0])
    s.trainable = False
    y = np.asarray(level(images((4, 64, 64, 1)), training=True))
    np.testing.assert_allclose(np.unique(y.round(3)), [0, 2])
    assert abs((y == 0).mean() - 0.5**4) < 0.02  # of the 2x2 maxima


def test_a_norm_that_learns_nothing_has_neither_gamma_nor_beta():
    norm, bare = Norm("relu", dtype="float64"), Norm("relu", learned=False, dtype="float64")
    x = images() * 3 + 1
    np.testing.assert_allclose(bare(x, training=True), norm(x, training=True), rtol=1e-12)
    np.testing.assert_allclose(bare(x), norm(x), rtol=1e-12)
    assert [w.path.rpartition("/")[2] for w in bare.weights] == ["moving_mean", "moving_variance"]
    np.testing.assert_array_equal(bare.affine(), norm.affine())


@pytest.mark.parametrize("column", [0, 1, 2])
def test_only_the_chosen_column_learns(column):
    level = level_of(3)
    with tf.GradientTape() as tape:
        loss = keras.ops.sum(level(images(), one_hot(column, 3), training=True) ** 2)
    gradients = tape.gradient(loss, [conv.kernel.value for conv in level.K])
    moved = {int(conv.name[1]) for conv, g in zip(level.K, gradients, strict=True) if np.abs(g).max() > 0}
    assert moved == {column}


DRAWS = 4000


def drawn(step):
    """Counts what a compiled step returns; one trace, so that what varies varies inside the graph."""
    compiled = tf.function(step)
    return Counter(tuple(np.asarray(compiled()).round(6).tolist()) for _ in range(DRAWS))


def assert_frequencies(counts, probabilities):
    """Within four standard deviations of the binomial distribution, and nothing else occurs."""
    assert set(counts) <= set(probabilities)
    for outcome, p in probabilities.items():
        assert abs(counts[outcome] - DRAWS * p) <= 4 * np.sqrt(DRAWS * p * (1 - p)), outcome


@pytest.mark.parametrize(("inputs", "p"), [(2, 0.15), (3, 0.5)])
def test_local_drop_path_by_monte_carlo(inputs, p):
    """S is live with (1 - p)^|S| p^(n - |S|); where none would be, one of n is, with p^n / n each. The join is their mean."""
    join = Join(p, seed=1)
    states = [keras.ops.convert_to_tensor(row) for row in np.eye(inputs, dtype="float32")]
    probabilities = {}
    for mask in np.ndindex(*(2,) * inputs):
        live = sum(mask)
        if live:
            share = tuple((np.array(mask) / live).astype("float32").round(6).tolist())
            revived = p**inputs / inputs if live == 1 else 0
            probabilities[share] = (1 - p) ** live * p ** (inputs - live) + revived
    np.testing.assert_allclose(sum(probabilities.values()), 1)
    assert_frequencies(drawn(lambda: join(states, training=True)), probabilities)


def test_global_drop_path_by_monte_carlo():
    path = GlobalPath(3, 0.6, seed=2)
    x = keras.ops.zeros((1, 1))
    probabilities = {tuple(row.tolist()): 0.2 for row in np.eye(3)} | {(0.0, 0.0, 0.0): 0.4}
    assert_frequencies(drawn(lambda: path(x, training=True)), probabilities)


def test_the_backward_pass_of_a_join_distributes_over_the_live():
    join = Join(0.5, seed=3, dtype="float64")
    states = [images((1, 2, 2, 1)) for _ in range(3)]
    kinds = set()
    for _ in range(30):
        with tf.GradientTape() as tape:
            tape.watch(states)
            joined = keras.ops.sum(join(states, training=True))
        shares = [float(g[0, 0, 0, 0]) for g in tape.gradient(joined, states)]
        live = sum(share > 0 for share in shares)
        assert set(np.round(shares, 12)) <= {0.0, np.round(1 / live, 12)}
        kinds.add(live)
    assert kinds == {1, 2, 3}


def test_a_join_that_the_chosen_column_does_not_enter_goes_on_as_usual():
    join = Join(0.0)
    states = [keras.ops.ones((1, 1, 1, 1)), 3 * keras.ops.ones((1, 1, 1, 1))]
    assert float(join(states, keras.ops.zeros((2,)), training=True)[0, 0, 0, 0]) == 2.0
    assert float(join(states, keras.ops.convert_to_tensor([0.0, 1.0]), training=True)[0, 0, 0, 0]) == 3.0


def linear_block(gains):
    """A block of three columns on constant images: K is multiplication with a gain, by the name of its layer."""
    level = FractalLevel(1, 3, activation="linear", dtype="float64")
    level.build((None, 2, 2, 1))
    for conv, norm in zip(level.K, level.s, strict=True):
        kernel = np.zeros((3, 3, 1, 1))
        kernel[1, 1] = gains[conv.name]
        conv.kernel.assign(kernel)
        norm.moving_variance.assign([1 - 1e-5])
    return lambda u: float(level(keras.ops.full((1, 2, 2, 1), u, dtype="float64"))[0, 0, 0, 0])


def heun(z):
    """The gains for k_1 = k_2 = 1/2, k_3 = 1, f_1 = z, f_2 = z/2: x' = x/2 + y/2 + z/2 y, y = x + z x; joins take means."""
    return {"K0_4": 3 / 2, "K1_4": 3 / 2, "K1_2": 2, "K2_1": 2 * z, "K2_2": 1, "K2_3": 3 * z / 2, "K2_4": 1}


def test_a_block_of_three_columns_is_the_step_of_lu2018():
    """x' = k_1 x + k_2 y + f_2(y), y = k_3 x + f_1(x)."""
    gains = dict(zip(heun(0), np.random.default_rng(0).normal(size=7), strict=True))
    x = 0.7
    y = gains["K1_2"] / 2 * x + gains["K2_2"] * gains["K2_1"] / 2 * x
    expected = gains["K0_4"] / 3 * x + gains["K1_4"] / 3 * y + gains["K2_4"] * gains["K2_3"] / 3 * y
    np.testing.assert_allclose(linear_block(gains)(x), expected, rtol=1e-12)


def test_it_contains_the_runge_kutta_method_of_order_two():
    """u' = -u on [0, 1] (section 5.1 of the reference): the block with Heun's gains has order 2."""
    errors = []
    for n in (8, 16, 32):
        block, u = linear_block(heun(-1 / n)), 1.0
        for _ in range(n):
            u = block(u)
        errors.append(abs(u - np.exp(-1)))
    np.testing.assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), 2, atol=0.1)
