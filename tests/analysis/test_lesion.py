"""Surgery on a built network: what is left is the network that it should be, and afterwards the one that it was."""

import re
from itertools import combinations

import numpy as np
import pytest
from keras import ops

from keras_mgnet import FractalNet, LMResNet, MgNet, PreActResNet, ResNet
from keras_mgnet.analysis import Module, lesions, modules, path_gradient, path_lengths, rewired
from keras_mgnet.analysis.intercept import all_intercepted, intercepted
from keras_mgnet.analysis.lesion import kendall_tau
from keras_mgnet.analysis.residual_paths import euler_levels
from keras_mgnet.analysis.rewiring import can_be_deleted
from keras_mgnet.analysis.states import iterates
from keras_mgnet.layers import autodiff
from support import catalogue
from support.numerics import randomize

SMALL = {"base_width": 3, "input_shape": (8, 8, 1), "classes": 4}


def shallower(model, **overrides):
    """The model with one iteration less on level 1, and the values of the model without iteration 1 of it."""
    other = type(model).from_config(model.get_config() | overrides)
    values = {variable.path: variable for variable in model.weights}
    for variable in other.weights:
        path = variable.path
        if path.startswith("level1/"):  # the last iteration takes the place of the middle one
            path = re.sub(r"(?<=[a-z]\d_)1(?=/)|(?<=[AB])1(?=/)", "2", path)
        variable.assign(values[path])
    return other


@pytest.mark.parametrize(
    "model, without",
    [
        (lambda: PreActResNet(blocks=(3, 2), **SMALL), {"blocks": (2, 2)}),
        (lambda: MgNet((3, 2), 4, input_shape=(8, 8, 1)), {"nu": (2, 2)}),
        (lambda: MgNet((3, 2), 4, input_shape=(8, 8, 1), share_B=False), {"nu": (2, 2)}),
        (lambda: MgNet((3, 2), 4, input_shape=(8, 8, 1), form="feature"), {"nu": (2, 2)}),
        (lambda: ResNet(blocks=(3, 2), **SMALL), {"blocks": (2, 2)}),
    ],
    ids=["preactivation", "mgnet", "mgnet_unshared_b", "mgnet_feature", "postactivation"],
)
def test_a_deleted_module_leaves_the_network_without_it(model, without, images):
    model = randomize(model())
    x, other = images(model), shallower(model, **without)
    expected, before = ops.convert_to_numpy(other(x, training=False)), ops.convert_to_numpy(model(x, training=False))
    assert np.abs(expected - before).max() > 1e-3
    with rewired(model, {modules(model)[1]: None}):
        np.testing.assert_allclose(model(x, training=False), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(model(x, training=False), before)


def test_a_deleted_transition_leaves_its_shortcut(images):
    model = randomize(PreActResNet(blocks=(1, 2), **SMALL))
    (block,) = [m for m in modules(model) if m.changes_shape]
    with rewired(model, {block: None}):
        states = next(iterates(model, images(model)))
    level = model.get_layer("level2")
    shortcut, _ = level.field.parts(states["level1"][-1], 0)
    np.testing.assert_array_equal(states["level2"][0], shortcut)


def test_the_linear_part_of_a_two_step_method_stays(images):
    model = randomize(LMResNet(blocks=(4,), **SMALL))
    with rewired(model, {modules(model)[2]: None}):
        x = next(iterates(model, images(model)))["level1"]
    k = float(model.get_layer("level1").scheme.k[1])
    np.testing.assert_allclose(x[3], (1 - k) * x[2] + k * x[1], rtol=1e-5, atol=1e-6)


def test_exchanged_smoothing_steps_keep_the_factor_of_their_scheme(images):
    model = randomize(MgNet((3,), 3, share_B=False, smoother="damped", input_shape=(8, 8, 1), classes=4))
    system, x, (first, second, *_) = model.get_layer("level1").field, images(model), modules(model)
    with rewired(model, {first: second, second: first}):
        exchanged = ops.convert_to_numpy(model(x, training=False))
    for pair in (system.B, system.s1, system.s2):
        one, other = (pair[i].get_weights() for i in (0, 1))
        pair[0].set_weights(other)
        pair[1].set_weights(one)
    np.testing.assert_allclose(exchanged, model(x, training=False), rtol=1e-5, atol=1e-5)


def test_exchanged_modules_are_exchanged_values(images):
    model = randomize(PreActResNet(blocks=(3, 1), **SMALL))
    x, (first, second, third, _) = images(model), modules(model)
    with rewired(model, {first: third, third: first}):
        exchanged = ops.convert_to_numpy(model(x, training=False))
    values = {variable.path: ops.convert_to_numpy(variable) for variable in model.weights}
    swap = {"0": "2", "2": "0"}
    for variable in model.weights:
        if variable.path.startswith("level1/"):
            pattern = r"(?<=[a-z]\d_)[02](?=/)|(?<=[AB])[02](?=/)"
            variable.assign(values[re.sub(pattern, lambda match: swap[match[0]], variable.path)])
    np.testing.assert_allclose(exchanged, model(x, training=False), rtol=1e-5, atol=1e-6)
    assert second not in (first, third)


def test_a_layer_of_a_plain_chain_becomes_the_identity(images):
    model = randomize(FractalNet(3, (4,), column=2, input_shape=(8, 8, 1), dropout=0.0))
    level, x = model.get_layer("level1"), images(model)
    first, *others = modules(model)
    assert first.changes_shape and not can_be_deleted(model, first) and len(others) == 3
    state = x
    for n in (0, 1, 3):
        state = level.s[n](level.K[n](state))
    with rewired(model, {others[1]: None}):
        found = model(x, training=False)
    pooled = ops.max_pool(state, 2, 2, "same", "channels_last")
    np.testing.assert_allclose(found, model.layers[-1](model.layers[-2](pooled)), rtol=1e-4, atol=1e-5)


def test_a_column_has_as_many_modules_as_layers(images):
    model = randomize(FractalNet(3, (4,), column=1, input_shape=(8, 8, 1), dropout=0.0))
    assert [(m.index, m.changes_shape) for m in modules(model)] == [(0, True), (1, False)]
    assert len(lesions(model, images(model), np.zeros(4)).deleted) == 1
    with pytest.raises(ValueError, match="one column of several layers"):
        modules(FractalNet(3, (4, 4), column=0, input_shape=(8, 8, 1)))


@pytest.mark.parametrize(
    "name", ["resnet8", "mgnet", "lm_resnet14", "vcycle_mgnet", "polynet_poly2", "fractalnet_column"]
)
def test_the_network_is_as_before_also_after_an_error(name, images):
    model = catalogue.build(name)
    x = images(model, 2)
    before = ops.convert_to_numpy(model(x, training=False))
    own = {layer.name: set(vars(layer)) for layer in model.layers}
    deletable = [module for module in modules(model) if can_be_deleted(model, module)]
    with pytest.raises(RuntimeError), rewired(model, dict.fromkeys(deletable)):
        changed = ops.convert_to_numpy(model(x, training=False))
        raise RuntimeError
    assert {layer.name: set(vars(layer)) for layer in model.layers} == own
    np.testing.assert_array_equal(model(x, training=False), before)
    assert np.isfinite(changed).all() and np.abs(changed - before).max() > 1e-6


def test_interceptions_nest():
    class Owner:
        def value(self):
            return 1

    owner = Owner()
    with intercepted(owner, "value", lambda original: original() + 1):
        with intercepted(owner, "value", lambda original: 10 * original()):
            assert owner.value() == 20
        assert owner.value() == 2
    assert owner.value() == 1 and not vars(owner)


def test_tables_are_checked_first():
    model = PreActResNet(blocks=(2, 2), **SMALL)
    a, _, transition, c = modules(model)
    plain = FractalNet(2, (4,), column=1, input_shape=(8, 8, 1))
    for network, table, message in [
        (model, {a: c}, "one level"),
        (model, {transition: c}, "one level"),
        (plain, {modules(plain)[0]: None}, "identity"),
        (plain, {Module("level2", 0, False): None}, "modules of"),
    ]:
        with pytest.raises(ValueError, match=message), rewired(network, table):
            pytest.fail("not reached")
    with pytest.raises(ValueError, match="expected a network of residual blocks"):
        modules(FractalNet(2, (4,), input_shape=(8, 8, 1)))


def test_the_sum_over_all_paths_of_a_linear_network_is_its_output(images):
    model = PreActResNet(blocks=(2, 2), activation="linear", **SMALL)  # fresh norms are linear in inference
    x, found = images(model), modules(model)
    owners = {level.field: level.name for level in euler_levels(model)}

    def along(taken):
        def parts(field, original, state, i):
            shortcut, f = original(state, i)
            return (0 * shortcut, f) if (owners[field], i) in taken else (shortcut, 0 * f)

        with all_intercepted(owners, "parts", parts):
            return ops.convert_to_numpy(model(x, training=False))

    names = [(m.level, m.index) for m in found]
    subsets = [set(chosen) for n in range(len(names) + 1) for chosen in combinations(names, n)]
    assert len(subsets) == 2 ** len(found)
    np.testing.assert_allclose(sum(map(along, subsets)), model(x, training=False), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", [ResNet, PreActResNet])
def test_the_sum_over_all_paths_is_the_whole_gradient(family, images):
    model, labels = randomize(family(blocks=(2, 1), **SMALL)), np.array([0, 1, 2, 3])
    x, found = images(model), modules(model)
    subsets = [set(chosen) for n in range(len(found) + 1) for chosen in combinations(found, n)]
    total = sum(path_gradient(model, x, labels, taken) for taken in subsets)

    _, pull = autodiff.vjp(lambda t: ops.mean(model.loss(labels, model(t, training=False))), ops.convert_to_tensor(x))
    (whole,) = pull(ops.ones(()))
    np.testing.assert_allclose(total, whole, rtol=1e-3, atol=1e-6)


def test_path_lengths_are_binomial():
    share = path_lengths(54)  # ResNet110, Veit et al.
    assert share.sum() == pytest.approx(1) and share @ np.arange(55) == pytest.approx(27)
    assert share[19:36].sum() == pytest.approx(0.9802, abs=5e-5)
    assert share[5:18].sum() == pytest.approx(0.00454, abs=5e-6)


def test_lesions_are_those_of_their_tables(images):
    model = randomize(ResNet(blocks=(3, 2), **SMALL))
    x = images(model, 40)
    labels = ops.convert_to_numpy(model(x, training=False)).argmax(-1)
    result = lesions(model, x, labels, draws=2, most=3)
    assert result.intact == 0 and len(result.deleted) == 5 and list(result.several) == [1, 2, 3]
    with rewired(model, {result.modules[1]: None}):
        wrong = ops.convert_to_numpy(model(x, training=False)).argmax(-1) != labels
    assert result.deleted[1] == wrong.mean()
    assert all(tau < 1 for drawn in result.exchanged.values() for tau, _ in drawn)
    again = lesions(model, x, labels, draws=2, most=3)
    assert again == result


def test_kendall_tau():
    assert kendall_tau([1, 2, 3, 4], [2, 1, 3, 4]) == pytest.approx(2 / 3)
