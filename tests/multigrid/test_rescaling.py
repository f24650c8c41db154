"""Trained networks at half and twice their resolution: the same operators, by stencils and on smooth images."""

import keras
import numpy as np
import pytest

from keras_mgnet import MgNet, ReactionDiffusion, ResNet
from keras_mgnet.analysis import resolution
from keras_mgnet.analysis.multilevel_learning import WAYS, resized
from keras_mgnet.layers import Conv
from keras_mgnet.multigrid import rescale, transfer_stencil
from keras_mgnet.multigrid.rescaling import stencil_map
from keras_mgnet.multigrid.stencils import RULES
from support import slow_unless
from support.catalogue import FORMS, ONE_PER_FAMILY, build

LAPLACIAN = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], "float32")
OTHER_KERNELS = {"preact_resnet18_imagenet", "very_deep_polynet"}
RESCALED = [*(name for name in ONE_PER_FAMILY if name not in OTHER_KERNELS), "preact_resnet18_shared_b"]


def kernels(model):
    convs = [part for part in model._flatten_layers() if isinstance(part, Conv) and part.kernel_size == (3, 3)]
    return [keras.ops.convert_to_numpy(conv.kernel) for conv in convs]


def others(model):
    own = {id(part.kernel) for part in model._flatten_layers() if isinstance(part, Conv) and part.kernel_size == (3, 3)}
    return [keras.ops.convert_to_numpy(weight) for weight in model.weights if id(weight) not in own]


def randomized(model, seed=0):
    """No weight at its first value: a norm that was left behind would show."""
    rng = np.random.default_rng(seed)
    model.set_weights([w + rng.uniform(0.1, 0.2, w.shape).astype(w.dtype) for w in model.get_weights()])
    return model


@pytest.mark.parametrize("name", slow_unless((*FORMS, RESCALED[-1]), RESCALED))
def test_every_family_keeps_all_but_its_3x3_kernels(name):
    model = randomized(build(name, input_shape=(16, 16, 1)))
    before = model.get_weights()
    half = rescale(model, 1 / 2, "galerkin")
    assert type(half) is type(model) and half.input_shape == (None, 8, 8, 1)
    assert half.output_shape == model.output_shape and half.loss.get_config() == model.loss.get_config()
    for K, K_H in zip(kernels(model), kernels(half), strict=True):
        np.testing.assert_allclose(K_H, transfer_stencil(K, "galerkin"), rtol=1e-4, atol=1e-6)
    for mine, theirs in zip(others(model), others(half), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for mine, theirs in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert np.isfinite(half(np.ones((2, 8, 8, 1)), training=False)).all()


@pytest.mark.parametrize("rule", RULES)
def test_there_and_back_is_the_same_network(rule):
    model = randomized(ResNet(8, base_width=2, input_shape=(16, 16, 1)))
    for first, second in ((1 / 2, 2), (2, 1 / 2)):
        back = rescale(rescale(model, first, rule), second, rule)
        assert back.input_shape == model.input_shape
        for mine, theirs in zip(model.get_weights(), back.get_weights(), strict=True):
            np.testing.assert_allclose(theirs, mine, rtol=1e-3, atol=1e-4)


def test_without_a_rule_the_network_takes_other_images_and_is_the_same():
    model = randomized(MgNet((1, 2), 4, input_shape=(None, None, 1)))
    double = rescale(model, 2, None)
    x = np.random.default_rng(0).normal(size=(2, 12, 12, 1)).astype("float32")
    np.testing.assert_array_equal(double(x, training=False), model(x, training=False))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("factor", [1 / 2, 2])
def test_a_network_of_laplacians_finds_the_same_second_derivatives(factor, rule):
    """h^2 (u_xx + u_yy) of quadratic images is exact on every grid, by every rule."""
    model = MgNet((1,), 1, input_shape=(16, 16, 1))
    model.get_layer("stem").conv.kernel.assign(LAPLACIAN[:, :, None, None])
    conv = rescale(model, factor, rule).get_layer("stem").conv
    h = 1 / factor
    x, y = np.meshgrid(*2 * [np.arange(int(16 * factor)) * h], indexing="ij")
    u = (x**2 + 3 * y**2 + 2 * x * y - x + 5).astype("float32")[None, :, :, None]
    np.testing.assert_allclose(conv(u)[0, 2:-2, 2:-2, 0], 2 + 6, rtol=1e-3)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("factor", [1 / 2, 2])
def test_on_smooth_images_outputs_change_by_h_squared(factor, rule):
    """Half the grid width, a quarter of the difference; images that vanish at the edge, where padding is another matter."""
    differences = []
    for n in (32, 64):
        model = ResNet(8, blocks=(1, 1), base_width=4, input_shape=(n, n, 1), activation="tanh")
        rng = np.random.default_rng(0)
        model.set_weights([rng.normal(0, 0.15, w.shape) if w.ndim > 1 else w for w in model.get_weights()])
        other = rescale(model, factor, rule)
        difference = other(bump(int(factor * n)), training=False) - model(bump(n), training=False)
        differences.append(float(keras.ops.max(abs(difference))))
    assert 0 < differences[1] < differences[0] / 3


def bump(n):
    s = np.sin(np.pi * np.arange(n) / n) ** 4
    return (np.outer(s, s * np.roll(s, n // 8)))[None, :, :, None].astype("float32")


def test_the_map_of_twice_the_points_inverts_that_of_half():
    for rule in RULES:
        product = np.tensordot(stencil_map(2, rule), stencil_map(1 / 2, rule), 2)
        np.testing.assert_allclose(product.reshape(9, 9), np.eye(9), atol=1e-12)


@pytest.mark.parametrize(
    "model, arguments, message",
    [
        (lambda: ResNet(8, base_width=2), (3,), "expected factor to be 1/2 or 2. Received: factor=3"),
        (lambda: ResNet(8, base_width=2), (2, "galerkn"), "unknown rule 'galerkn'; did you mean 'galerkin'"),
        (lambda: ResNet(8, base_width=2, stem="imagenet", input_shape=(64, 64, 3)), (2,), "Received: 7x7 in stem/conv"),
        (lambda: build("very_deep_polynet"), (2,), "expected a network of 3x3 and 1x1 convolutions. Received: 7x1"),
        (lambda: build("highway_dense"), (2,), "expected a network with 3x3 convolutions. Received: HighwayNet"),
        (lambda: ReactionDiffusion(stages=1), (2,), "expected a network with 3x3 convolutions. Received: ReactionD"),
        (lambda: ResNet(8, base_width=2, input_shape=(9, 8, 1)), (0.5,), "expected images of even height and width"),
        (lambda: ResNet(8, base_width=2, input_shape=(4, 4, 1)), (0.5,), "expected an image of at least 4x4 pixels"),
    ],
)
def test_what_cannot_be_rescaled_is_refused(model, arguments, message):
    with pytest.raises(ValueError) as error:
        rescale(model(), *arguments)
    assert message in str(error.value)


def test_images_are_halved_by_means_and_doubled_bilinearly():
    x = np.random.default_rng(0).normal(size=(3, 6, 4, 2)).astype("float32")
    means = x.reshape(3, 3, 2, 2, 2, 2).mean((2, 4))
    np.testing.assert_allclose(resized(x, 1 / 2), means, atol=1e-6)
    double = resized(x, 2)
    assert double.shape == (3, 12, 8, 2)
    near, far = x[:, 1:-1, 1:-1], x[:, :-2, 1:-1]  # a fine pixel lies a quarter of a pixel before its own
    rows = 0.75 * near + 0.25 * far
    rows_left = 0.75 * x[:, 1:-1, :-2] + 0.25 * x[:, :-2, :-2]
    np.testing.assert_allclose(double[:, 2:-2:2, 2:-2:2], 0.75 * rows + 0.25 * rows_left, atol=1e-5)


def test_accuracies_are_those_of_each_network():
    model = randomized(ResNet(8, base_width=4, input_shape=(8, 8, 1), classes=4))
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(40, 8, 8, 1)).astype("float32"), rng.integers(0, 4, 40)
    result = resolution(model, images, labels)
    assert list(result.accuracy) == ["4x4", "16x16"] and all(tuple(ways) == WAYS for ways in result.accuracy.values())

    def accuracy(network, x):
        return np.mean(np.argmax(network(x, training=False), -1) == labels)

    assert result.intact == pytest.approx(accuracy(model, images))
    small = images.reshape(40, 4, 2, 4, 2, 1).mean((2, 4))
    assert result.accuracy["4x4"]["moment"] == pytest.approx(accuracy(rescale(model, 1 / 2, "moment"), small))
    assert result.accuracy["16x16"]["resized back"] == pytest.approx(accuracy(model, resized(resized(images, 2), 0.5)))
