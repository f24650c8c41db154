"""Multi-ResNet as a sum of branches, and recurrent ResNets as loops over one branch."""

import keras
import numpy as np
import pytest

from keras_mgnet import MultiResNet, PreActResNet, RecurrentResNet, count_params
from keras_mgnet.layers import Branch, Euler, EulerSystem, Level, Norm, Recurrent, Sum, basic
from support.numerics import randomize

SMALL = {"base_width": 2, "input_shape": (8, 8, 1), "classes": 3}
EXACT = {"dtype": "float64"}


def tensor(*shape):
    return keras.ops.convert_to_tensor(np.random.default_rng(5).normal(size=shape))


def built(layer, x):
    layer.build(x.shape)
    return randomize(layer)


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


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("order", [(1, 0, 2), (2, 0, 1)])
def test_the_order_of_the_branches_does_not_matter(order, training):
    x = tensor(2, 4, 4, 2)
    fs = [basic(2, uses=2, **EXACT) for _ in range(3)]
    level = built(Level(Euler(), Sum(fs, **EXACT), **EXACT), x)
    permuted = Level(Euler(), Sum([fs[j] for j in order], **EXACT), **EXACT)
    np.testing.assert_allclose(permuted(x, training=training), level(x, training=training), rtol=1e-12, atol=1e-12)


def test_equal_branches_add_up():
    x = tensor(2, 4, 4, 2)
    f = built(basic(2, uses=1, **EXACT), x)
    level = Level(Euler(), Sum([f, f, f], **EXACT), **EXACT)
    np.testing.assert_allclose(level(x), x + 3 * f(x), rtol=1e-12)


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
    norms = [f.norms[0] for f in level.field.branch.branches]
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


def cell_of(K: Branch) -> Branch:
    """Returns a branch of one step with the kernels of K."""
    cell = basic(2, **EXACT)
    cell.build((None, 4, 4, 2))
    for p in (0, 1):
        cell.convs[p][0].set_weights(K.conv(p, 0).get_weights())
    return cell


def with_norms(cell: Branch, K: Branch, use: int) -> Branch:
    """Gives the cell the norms that K has at a use."""
    for p in (0, 1):
        cell.norms[p][0].set_weights(K.norms[p][use].get_weights())
    return cell


@pytest.mark.parametrize("share_norms", [False, True])
@pytest.mark.parametrize("nu", [1, 2, 5])
@pytest.mark.parametrize("states", [1, 2, 3])
def test_the_unrolled_level_is_the_loop_over_one_cell(states, nu, share_norms):
    """h_i <- h_i + sum_j K_ij(h_j), the cells of one step reused; a state that is not reached yet drives nothing."""
    x = tensor(2, 4, 4, 2)
    level = built(Level(EulerSystem(), Recurrent(2, nu, states, share_norms=share_norms, **EXACT), **EXACT), x)
    cells = {K.name: cell_of(K) for row in level.field.K for K in row if K is not None}
    h = {0: x}
    for t in range(nu):
        after = dict(h)
        for i in range(states) if t < nu - 1 else [states - 1]:
            for j, h_j in h.items():
                K = level.field.K[i][j]
                drive = with_norms(cells[K.name], K, t if j == 0 else t - 1)(h_j)
                after[i] = after[i] + drive if i in after else drive
        h = after
    np.testing.assert_allclose(level(x), h[states - 1], rtol=1e-12, atol=1e-12)


def test_the_shared_kernel_gets_the_gradients_of_all_times():
    """Backpropagation through time: with equal kernels the sum over the unshared twin's."""
    import tensorflow as tf

    x = tensor(2, 4, 4, 2)
    shared = built(Level(EulerSystem(), Recurrent(2, 3, **EXACT), **EXACT), x)
    unshared = Level(EulerSystem(), Recurrent(2, 3, share_K=False, **EXACT), **EXACT)
    unshared.build(x.shape)
    K, twin = shared.field.K[0][0], unshared.field.K[0][0]
    for p in (0, 1):
        for t in range(3):
            twin.conv(p, t).set_weights(K.conv(p, t).get_weights())
            twin.norms[p][t].set_weights(K.norms[p][t].get_weights())

    def gradients(level, kernels):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(level(x, training=True) ** 2)
        return tape.gradient(loss, [kernel.kernel.value for kernel in kernels])

    ours, theirs = gradients(shared, K.kernels()), gradients(unshared, twin.kernels())
    np.testing.assert_array_equal(shared(x), unshared(x))
    for p in (0, 1):
        np.testing.assert_allclose(ours[p], sum(theirs[3 * p : 3 * p + 3]), rtol=1e-10)


@pytest.mark.parametrize("states", [1, 2])
@pytest.mark.parametrize("nu", [3, 6])
def test_sharing_leaves_one_kernel_of_those_of_all_times(states, nu):
    def kernels(share_K):
        level = Level(EulerSystem(), Recurrent(4, nu, states, share_K=share_K))
        return np.array([[len(K.kernels()) for K in row] for row in level.field.K])

    uses = [[nu - (j > 0) - (i < states - 1) for j in range(states)] for i in range(states)]
    assert (kernels(True) == 2).all()
    np.testing.assert_array_equal(kernels(False), 2 * np.array(uses))


def test_time_specific_norms_have_statistics_and_scales_of_their_own():
    x = tensor(2, 4, 4, 2)
    level = Level(EulerSystem(), Recurrent(2, 3, **EXACT), **EXACT)
    level(x, training=True)
    means = [norm.moving_mean.numpy() for norm in level.field.K[0][0].norms[0]]
    assert len({tuple(mean) for mean in means}) == 3

    before = level(x).numpy()
    level.field.K[0][0].norms[0][2].beta.assign([1.0, -1.0])
    assert not np.allclose(level(x), before)


def test_shared_norms_see_every_step():
    """One moving mean, updated once a step, as in a loop over one layer."""
    x = tensor(2, 4, 4, 2)
    level = built(Level(EulerSystem(), Recurrent(2, 3, share_norms=True, **EXACT), **EXACT), x)
    K = level.field.K[0][0]
    assert sum(isinstance(layer, Norm) for layer in level._flatten_layers()) == 2
    one = with_norms(cell_of(K), K, 0)
    level(x, training=True)
    for _ in range(3):
        x = x + one(x, training=True)
    np.testing.assert_allclose(K.norms[0][0].moving_mean, one.norms[0][0].moving_mean, rtol=1e-12)
    np.testing.assert_allclose(K.norms[1][0].moving_variance, one.norms[1][0].moving_variance, rtol=1e-12)


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
