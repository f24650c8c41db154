"""FractalNet: its sizes, its columns, and what drop-path leaves alone."""

from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import keras_mgnet
from keras_mgnet import FractalNet, count_params
from support.fractal import images, one_hot
from support.numerics import frozen, randomize

SMALL = {"columns": 3, "channels": (3, 4), "input_shape": (8, 8, 1), "classes": 3}


# structure


@pytest.mark.parametrize(("columns", "params"), [(1, 3_915_914), (2, 13_320_906)])
def test_published_channels(columns, params):
    assert count_params(FractalNet(columns)) == params


@given(
    columns=st.integers(1, 4), channels=st.lists(st.integers(1, 6), min_size=1, max_size=3), classes=st.integers(2, 9)
)
def test_closed_form(columns, channels, classes):
    """A layer has 9 c c' + c' parameters, its bias counted and no gamma and beta; C columns of a block begin with c."""
    expected, before = (channels[-1] + 1) * classes, 2
    for c in channels:
        expected += columns * (9 * before * c + c) + (2**columns - 1 - columns) * (9 * c * c + c)
        before = c
    size = 2 ** len(channels)
    assert count_params(FractalNet(columns, channels, classes=classes, input_shape=(size, size, 2))) == expected


def test_depth_names_the_network():
    assert FractalNet(3, (2,) * 5).name == "fractalnet20"
    assert FractalNet(4, (2,) * 5, column=2).name == "fractalnet40_column2"


def test_dropout_grows_from_block_to_block():
    rates = [FractalNet(1, (2,) * 5).get_layer(f"level{n}").dropout.rate for n in range(1, 6)]
    np.testing.assert_allclose(rates, [0, 0.1, 0.2, 0.3, 0.4])


# columns


@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_column_alone_is_what_the_network_computes_with_it(column, tmp_path):
    model = frozen(randomize(FractalNet(**SMALL, dropout=0)))
    alone = model.column_network(column)
    x = images((2, 8, 8, 1), "float32")
    features = x
    for n in (1, 2):
        features = model.get_layer(f"level{n}")(features, one_hot(column, 3), training=True)
    expected = model.get_layer("classifier")(keras.ops.mean(features, axis=(1, 2)))
    np.testing.assert_allclose(alone(x), expected, rtol=1e-5, atol=1e-6)
    assert [len(alone.get_layer(f"level{n}").K) for n in (1, 2)] == [2**column] * 2

    alone.save(tmp_path / "column.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "column.keras")(x), alone(x))
    alone.compile("sgd", alone.loss)
    alone.fit(x, np.zeros(2), verbose=0)


def test_a_column_is_a_copy():
    model = FractalNet(**SMALL)
    alone = model.column_network(2)
    kernel = model.get_layer("level1").K[0].kernel
    kernel.assign(kernel + 1)
    assert np.abs(alone.get_layer("level1").K[0].kernel - kernel).min() > 0.5
    assert alone.name == f"{model.name}_column2" and alone.get_config()["column"] == 2


def test_a_network_of_one_column_has_no_other():
    with pytest.raises(ValueError, match=r"expected a network of all columns\. Received: column=0"):
        FractalNet(**SMALL, column=0).column_network(1)


def test_one_column_for_the_whole_network():
    """Every step with global drop-path computes one of the columns in all blocks; each comes up."""
    model = frozen(randomize(FractalNet(**SMALL, dropout=0, global_drop_path=1.0)))
    columns = [model.column_network(c) for c in range(3)]
    x = images((2, 8, 8, 1), "float32")
    outputs = np.stack([column(x) for column in columns])
    step = tf.function(lambda x: model(x, training=True))
    seen = Counter()
    for _ in range(30):
        errors = np.abs(outputs - step(x).numpy()).max(axis=(1, 2))
        seen[int(errors.argmin())] += 1
        assert errors.min() < 1e-5
    assert set(seen) == {0, 1, 2}


# drop-path


def test_without_drop_path_training_is_inference():
    model = frozen(randomize(FractalNet(**SMALL, dropout=0, drop_path=0, global_drop_path=0)))
    x = images((2, 8, 8, 1), "float32")
    np.testing.assert_allclose(model(x, training=True), model(x, training=False), rtol=1e-6)
    assert "global_path" not in [layer.name for layer in model.layers]


def test_inference_draws_nothing():
    model = randomize(FractalNet(**SMALL, drop_path=0.9, global_drop_path=1.0))
    x = images((2, 8, 8, 1), "float32")
    np.testing.assert_array_equal(model(x), model(x))
    without = FractalNet(**SMALL, drop_path=0, global_drop_path=0)
    without.set_weights(model.get_weights())
    np.testing.assert_array_equal(model(x), without(x))


@pytest.mark.parametrize(
    ("make", "message"),
    {
        "columns": (lambda: FractalNet(0), "Received: columns=0"),
        "channels": (lambda: FractalNet(channels=()), r"Received: channels=\(\)"),
        "column": (lambda: FractalNet(3, column=3), "expected column to be None or from 0 to 2. Received: column=3"),
        "no column": (lambda: FractalNet(3, column=True), "Received: column=True"),
        "dropout": (lambda: FractalNet(dropout=1.5), "Received: dropout=1.5"),
        "drop_path": (lambda: FractalNet(drop_path=-0.1), "Received: drop_path=-0.1"),
        "global": (lambda: FractalNet(global_drop_path=2), "Received: global_drop_path=2"),
        "image": (lambda: FractalNet(input_shape=(16, 32, 3)), "at least 32x32 pixels"),
        "copy": (lambda: FractalNet(**SMALL).column_network(3), "Received: column=3"),
    }.values(),
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_methods():
    assert FractalNet(**SMALL).method.name == "Runge-Kutta"
    assert "Runge-Kutta" in keras_mgnet.describe(FractalNet(**SMALL))
