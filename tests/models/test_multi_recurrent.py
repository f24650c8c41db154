"""Multi-ResNet and recurrent ResNets: sizes, and the pre-activation network that they contain."""

import keras
import numpy as np
import pytest

from keras_mgnet import MultiResNet, PreActResNet, RecurrentResNet, count_params
from support.numerics import randomize

SMALL = {"base_width": 2, "input_shape": (8, 8, 1), "classes": 3}


def sizes(model):
    return {layer.name: count_params(layer) for layer in model.layers}


# several branches


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "arguments",
    [
        {"depth": 14, "shortcut": "padding"},
        {"depth": 14, "shortcut": "projection"},
        {"blocks": (2, 1), "bottleneck": True},
        {"blocks": (1, 2), "bottleneck": True, "shortcut": "padding", "stem": "imagenet", "input_shape": (32, 32, 3)},
    ],
    ids=["padding", "projection", "bottleneck", "imagenet"],
)
def test_one_branch_is_the_preactivation_network_bit_for_bit(arguments, training, images):
    arguments = SMALL | arguments
    multi, plain = MultiResNet(branches=1, **arguments), PreActResNet(**arguments)
    plain.set_weights(randomize(multi).get_weights())
    x = images(multi)
    np.testing.assert_array_equal(multi(x, training=training), plain(x, training=training))


@pytest.mark.parametrize(("k", "bottleneck"), [(2, False), (3, True)])
def test_the_branches_have_k_times_the_parameters_and_the_rest_as_many_as_before(k, bottleneck):
    arguments = SMALL | {"blocks": (1, 2), "bottleneck": bottleneck, "shortcut": "padding"}
    one, many = sizes(MultiResNet(branches=1, **arguments)), sizes(MultiResNet(branches=k, **arguments))
    assert many == {name: params * (k if name.startswith("level") else 1) for name, params in one.items()}


def test_widening_spares_the_stem():
    model = MultiResNet(14, widen=3, **SMALL)
    assert [model.get_layer(name).output.shape[-1] for name in ("stem", "level1", "level2", "level3")] == [2, 6, 12, 24]


def test_with_a_projection_branches_and_shortcut_take_one_norm():
    """As in the source; sizes are then 10.2M and 20.4M where 200 and 398 layers have 5 branches."""
    level = MultiResNet(blocks=(2, 2), branches=3, bottleneck=True, **SMALL).get_layer("level2")
    norms = [f.norms()[0] for f in level.field.branch.branches]
    assert [norm[0] is None for norm in norms] == [False, True, True]
    assert len({id(norm[1]) for norm in norms}) == 3

    sizes = [
        count_params(MultiResNet(blocks=(n,) * 3, branches=k, bottleneck=True)) for n, k in ((1, 1), (2, 1), (1, 2))
    ]
    first, next_block, next_branch = sizes[0], sizes[1] - sizes[0], sizes[2] - sizes[0]
    assert [first + (n - 1) * 5 * next_block + 4 * next_branch for n in (22, 44)] == [10_187_354, 20_388_314]


# recurrent networks


@pytest.mark.parametrize(
    ("arguments", "params"),
    [
        ({"states": 1}, 78_794),
        ({"states": 1, "share_norms": True}, 76_490),
        ({"states": 1, "share_K": False}, 742_346),
        ({"states": 2}, 306_634),
        ({"states": 3}, 122_362),
        ({"states": 3, "share_K": False}, 315_898),
    ],
)
def test_sizes(arguments, params):
    assert count_params(RecurrentResNet(**arguments)) == params


@pytest.mark.parametrize("training", [False, True])
def test_one_unshared_state_is_a_preactivation_network_of_one_grid(training, images):
    recurrent = RecurrentResNet(1, 4, share_K=False, **SMALL)
    plain = PreActResNet(blocks=(4,), **SMALL)
    plain.set_weights(randomize(recurrent).get_weights())
    x = images(plain)
    np.testing.assert_array_equal(recurrent(x, training=training), plain(x, training=training))


def test_shared_norms_survive_a_file(images, tmp_path):
    model = randomize(RecurrentResNet(2, 3, share_norms=True, **SMALL))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert len(loaded.weights) == len(model.weights)
    np.testing.assert_array_equal(loaded(images(model)), model(images(model)))


@pytest.mark.parametrize(
    ("family", "arguments", "message"),
    [
        (MultiResNet, {"branches": 0}, "expected branches to be an integer >= 1. Received: branches=0"),
        (MultiResNet, {"widen": 1.5}, "expected widen to be an integer >= 1. Received: widen=1.5"),
        (MultiResNet, {"shortcut": "pad"}, "unknown shortcut 'pad'; did you mean 'padding'"),
        (RecurrentResNet, {"states": 4}, "unknown number of states '4'. Expected one of: 1, 2, 3. Received: 4"),
        (RecurrentResNet, {"states": True}, "unknown number of states 'True'"),
        (RecurrentResNet, {"steps": 0}, "expected steps to be an integer >= 1. Received: steps=0"),
        (RecurrentResNet, {"share_K": "all"}, "unknown share_K 'all'"),
    ],
)
def test_arguments_that_make_no_network(family, arguments, message):
    with pytest.raises(ValueError, match=message):
        family(**arguments)
