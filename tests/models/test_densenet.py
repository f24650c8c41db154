"""DenseNet: sizes as published, and the logits of another implementation."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_mgnet import DenseNet, ResNet, count_params
from keras_mgnet.layers import Branch
from keras_mgnet.recipes import RECIPES
from support.numerics import normal, randomize

TINY = {"depth": 10, "growth": 3, "input_shape": (8, 8, 1), "classes": 3}

# L, k, bottleneck: parameters with 10 and with 100 classes
PUBLISHED = {
    (40, 12, False): (1_019_722, 1_060_132),
    (100, 12, False): (6_979_642, 7_084_852),
    (100, 24, False): (27_249_082, 27_457_972),
    (100, 12, True): (769_162, 800_032),
    (250, 24, True): (15_324_406, 15_480_556),
    (190, 40, True): (25_624_430, 25_821_620),
}


def size(nu, k, bottleneck, theta, classes, image_channels):
    """Stem 9 c_in c_0; layer 2 c + 9 c k or 2 c + 4 c k + 8 k + 36 k^2; transition 2 c + c theta c; last norm 2 c."""
    c = 2 * k if bottleneck else 16
    total = 9 * image_channels * c
    for level, n in enumerate(nu):
        if level:
            total += 2 * c + c * int(theta * c)
            c = int(theta * c)
        for _ in range(n):
            total += 2 * c + (4 * c * k + 8 * k + 36 * k * k if bottleneck else 9 * c * k)
            c += k
    return total + 2 * c + (c + 1) * classes


@pytest.mark.parametrize(("depth", "growth", "bottleneck"), PUBLISHED)
def test_the_closed_form_has_the_published_sizes(depth, growth, bottleneck):
    nu = ((depth - 4) // (6 if bottleneck else 3),) * 3
    sizes = tuple(size(nu, growth, bottleneck, 0.5 if bottleneck else 1, classes, 3) for classes in (10, 100))
    assert sizes == PUBLISHED[depth, growth, bottleneck]


@given(
    nu=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    growth=st.integers(1, 4),
    bottleneck=st.booleans(),
    theta=st.sampled_from([0.3, 0.5, 0.7, 1.0]),
    classes=st.integers(2, 12),
)
def test_networks_have_the_size_of_the_closed_form(nu, growth, bottleneck, theta, classes):
    model = DenseNet(
        growth=growth,
        blocks=nu,
        bottleneck=bottleneck,
        reduction=theta,
        classes=classes,
        input_shape=(2 ** len(nu), 2 ** len(nu), 1),
    )
    assert count_params(model) == size(nu, growth, bottleneck, theta, classes, 1)


def test_the_smallest_published_network_itself():
    model = DenseNet(40, 12)
    assert count_params(model) == PUBLISHED[40, 12, False][0]
    assert [layer.nu for layer in model.layers if layer.name.startswith("level")] == [12, 12, 12]
    assert [model.get_layer(f"level{level}").output.shape[1:] for level in (1, 2, 3)] == [
        (32, 32, 160),
        (16, 16, 304),
        (8, 8, 448),
    ]


def test_dropout_stands_behind_each_convolution_and_acts_in_training_alone(images):
    plain, dropped = DenseNet(**TINY), DenseNet(**TINY, dropout=0.5)
    dropped.set_weights(randomize(plain).get_weights())
    x = images(plain)
    np.testing.assert_allclose(dropped(x), plain(x), rtol=1e-4, atol=1e-4)
    assert not np.allclose(dropped(x, training=True), dropped(x, training=True))

    f = Branch((64,), (3,), dropout=0.25)
    y = f(keras.ops.cast(normal(2, 16, 16, 2), "float32"), training=True).numpy()
    assert abs((y == 0).mean() - 0.25) < 0.01


def in_order(level):
    """Yields the weights of a level in the order in which they are used."""
    for f in level.field.branches:
        for p in (0, 1):
            yield from f.norms()[p][0].weights
            yield from f.conv(p, 0).weights


@pytest.mark.slow
def test_it_is_the_densenet_of_keras_applications(images):
    """DenseNet-121: its size, and its logits from the same weights."""
    head = {"input_shape": (64, 64, 3), "classes": 1000, "classifier_activation": None}
    theirs = keras.applications.DenseNet121(weights=None, **head)
    ours = DenseNet(growth=32, blocks=(6, 12, 24, 16), bottleneck=True, stem="imagenet", **head)
    assert count_params(ours) == count_params(theirs) == 7_978_856

    weights = [*ours.get_layer("stem").conv.weights, *ours.get_layer("stem").s.weights]
    for level in (1, 2, 3, 4):
        if level > 1:
            s, _, R = ours.get_layer(f"transfer{level}").chain
            weights += [*s.weights, *R.weights]
        weights += in_order(ours.get_layer(f"level{level}"))
    weights += [*ours.get_layer("s").weights, *ours.get_layer("classifier").weights]
    x = images(ours, 2)
    theirs(x, training=True)  # moves the statistics
    for target, source in zip(weights, theirs.weights, strict=True):
        target.assign(source)
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-3, atol=1e-3)


def test_the_recipe_is_the_published_one():
    recipe = RECIPES["densenet"]
    assert (recipe.epochs, recipe.batch_size, recipe.milestones, recipe.nesterov) == (300, 64, (150, 225), True)
    assert DenseNet(**TINY).optimizer.nesterov
    assert not ResNet(14, base_width=2, input_shape=(8, 8, 1)).optimizer.nesterov


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 41}, r"expected depth to be 3n \+ 4. Received: depth=41"),
        ({"depth": 40, "bottleneck": None}, "unknown bottleneck 'None'"),
        ({"depth": 43, "bottleneck": True}, r"expected depth to be 6n \+ 4. Received: depth=43"),
        ({"depth": 4}, r"expected depth to be 3n \+ 4. Received: depth=4"),
        ({"growth": 0}, "expected growth to be an integer >= 1. Received: growth=0"),
        ({"reduction": 1.5}, "expected reduction between 0 and 1. Received: reduction=1.5"),
        ({"dropout": -0.1}, "expected dropout between 0 and 1. Received: dropout=-0.1"),
        ({"blocks": (2, 0)}, r"expected blocks to be a non-empty sequence of integers >= 1. Received: blocks=\(2, 0\)"),
    ],
)
def test_arguments_that_make_no_network(arguments, message):
    with pytest.raises(ValueError, match=message):
        DenseNet(**{**TINY, **arguments})
