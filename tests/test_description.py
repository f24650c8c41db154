"""What a network says of itself: its levels, their costs, their states."""

import warnings

import keras
import pytest
import tensorflow as tf

import keras_mgnet
from keras_mgnet import DenseNet, MgNet, PreActResNet, VCycleMgNet, describe
from keras_mgnet.description import level_table, short_path, unread_kernels
from keras_mgnet.models.network import UNREAD
from support import catalogue
from support.catalogue import every_family_first


@every_family_first
def test_level_table_accounts_for_every_parameter(name):
    model = catalogue.built(name)
    table = level_table(model)
    assert sum(row.params for row in table) == keras_mgnet.count_params(model)
    assert [row.name for row in table if row.nu] == [f"level{i + 1}" for i in range(sum(1 for r in table if r.nu))]
    assert model.name in keras_mgnet.describe(model)


@every_family_first
def test_features_are_the_states_of_the_levels(name, images):
    model = catalogue.built(name)
    x = images(model)
    states = keras_mgnet.features(model)(x)
    assert list(states) == [layer.name for layer in model.layers if layer.name.startswith("level")]
    for state in states.values():
        assert all(part.shape[0] == len(x) for part in keras.tree.flatten(state))


@pytest.mark.parametrize("name", ["mgnet", "mgnet_nu_1", "mgnet_unshared_a", "poly_mgnet_conv", "fractalnet"])
def test_kernels_that_no_output_reads_have_no_gradient_and_no_warning(name, images):
    model = catalogue.build(name)
    unread = unread_kernels(model)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(images(model)) ** 2)
    gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    without = [v.path for v, gradient in zip(model.trainable_variables, gradients, strict=True) if gradient is None]
    assert sorted(short_path(path.removesuffix("/kernel")) for path in without) == sorted(unread)
    for path, size in unread.items():
        assert f"no output reads {path}: {size:,} parameters" in describe(model)
    model.compile("adam", model.loss, run_eagerly=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", UNREAD)
        model.fit(images(model), tf.constant([0, 1, 2, 0]), verbose=0)


def test_levels_of_an_image_without_fixed_size():
    text = keras_mgnet.describe(catalogue.build("mgnet", input_shape=(None, None, 1)))
    assert "? x ?" in text and "A reused 2 times" not in text and "B reused 2 times" in text


def test_description_counts_both_ways():
    text = describe(VCycleMgNet((1, 2), 4, input_shape=(8, 8, 1)))
    assert "multigrid V-cycle" in text and "R reused 2 times" in text
    assert "B reused 2 times, A reused 2 times" in text and "B reused 2 times, A\n" in text


def test_a_transition_costs_a_quarter():
    row = next(line for line in describe(DenseNet(40, 12)).splitlines() if line.startswith("transfer2"))
    assert f"{160 * 160 * 16 * 16 / 1e6:.1f} M" in row


def test_costs_are_those_counted_by_hand():
    """On 8 x 8 pixels: one channel to four in the stem; B, A and B of two iterations, as no one reads the last A * e."""
    stem, level, head = level_table(MgNet((2,), 4, input_shape=(8, 8, 1), classes=3))
    kernel = 9 * 4 * 4
    assert (stem.params, stem.multiply_adds) == (9 * 4 + 2 * 4, 64 * 9 * 4)
    assert (level.params, level.multiply_adds) == (2 * kernel + 4 * 2 * 4, 3 * 64 * kernel)
    assert (level.uses, level.grid, level.channels, level.nu) == ({"B": 2, "A": 1}, (8, 8), (4,), 2)
    assert (head.params, head.multiply_adds, head.grid) == (4 * 3 + 3, 4 * 3, None)


def test_the_first_lines_name_the_method_and_its_equation():
    lines = describe(PreActResNet(14, base_width=2, input_shape=(8, 8, 1))).splitlines()
    assert lines[1:4] == ["scheme: forward Euler, x_{n+1} = x_n + f(x_n)", "order: 1; equation: x' = f(x)", "levels: 3"]
