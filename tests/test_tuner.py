"""Search spaces: every draw keeps within its budget, and KerasTuner's own tuners take them."""

import keras
import keras_tuner
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_mgnet import HyperMgNet, HyperNetwork, count_params, list_models, model_info
from keras_mgnet.description import level_table
from keras_mgnet.models import FAMILIES
from keras_mgnet.training.data.dataset import load
from support import slow_unless
from support.search import KERAS_TUNER

pytestmark = KERAS_TUNER

PRESETS = {model_info(name).family: name for name in reversed(list_models())} | {"MgNet": "mgnet_2222_c64_shared_b"}
IMAGES = {"ResNeXt": (32, 32, 3), "LMResNeXt": (32, 32, 3)}
BUDGETS = {"ResNeXt": 2_000_000, "LMResNeXt": 4_000_000}


def space(family, **budget):
    preset = PRESETS[family]
    least = 64 if model_info(preset).kwargs["stem"] == "imagenet" else 16
    return HyperNetwork(preset, (least, least, 1), 3, **budget)


def draws(hypermodel, seed, count):
    """Yields what KerasTuner's random search draws."""
    oracle = keras_tuner.oracles.RandomSearchOracle("val_accuracy", seed=seed)
    for _ in range(2):  # the second time with every condition known
        hp = oracle.get_space()
        hypermodel.declare(hp)
        oracle.update_space(hp)
    for _ in range(count):
        hp = oracle.get_space()
        hp.values = oracle._random_values()
        yield hp


def check_draw(hypermodel, hp):
    """A drawn network costs exactly what was counted, keeps within its share, and the next width would not."""
    arguments, model = hypermodel.arguments(hp), hypermodel.build(hp)
    cost = hypermodel.cost(arguments)
    assert cost == (count_params(model), sum(row.multiply_adds for row in level_table(model)))
    used = max(getattr(cost, name.removeprefix("max_")) / bound for name, bound in hypermodel.budget.items())
    narrowest = np.min(arguments[hypermodel.space.width]) == hypermodel.space.multiple
    assert used <= (1 if narrowest else hp["size"])
    assert float(model.optimizer.learning_rate) == pytest.approx(hp["learning_rate"])
    assert model.optimizer.coupled_weight_decay == hp["weight_decay"]


SEARCHED = [family.__name__ for family in FAMILIES if family.family.space]


@pytest.mark.parametrize("family", slow_unless(("ResNet",), SEARCHED))
def test_every_family_keeps_within_its_budget(family):
    hypermodel = space(family, max_params=BUDGETS.get(family, 200_000))
    for hp in draws(hypermodel, seed=1, count=2):
        check_draw(hypermodel, hp)


def test_a_budget_of_multiply_adds():
    hypermodel = space("MgNet", max_params=None, max_madds=3_000_000)
    for hp in draws(hypermodel, seed=3, count=1):
        check_draw(hypermodel, hp)


@settings(max_examples=1)
@given(st.integers(1, 10**6), st.integers(8_000, 300_000), st.none() | st.integers(2_000_000, 9_000_000))
def test_mgnets_keep_within_any_budget(seed, max_params, max_madds):
    hypermodel = HyperMgNet((16, 16, 1), 10, max_params=max_params, max_madds=max_madds)
    (hp,) = draws(hypermodel, seed, count=1)
    check_draw(hypermodel, hp)


def test_a_draw_makes_the_most_of_its_share():
    hypermodel = HyperMgNet((16, 16, 1), 10, max_params=50_000)
    for hp in draws(hypermodel, seed=2, count=2):
        chosen, growths = hypermodel.declare(hp)
        width = hypermodel.arguments(hp)["channels"][0]
        wider = hypermodel.cost(chosen | hypermodel._width(width + 1, growths))
        assert wider.params > hp["size"] * 50_000


def test_the_space_of_mgnet_has_what_the_papers_vary():
    hypermodel = HyperMgNet((32, 32, 3), 10)
    names = {name for hp in draws(hypermodel, seed=0, count=1) for name in (p.name for p in hp.space)}
    levels = range(1, 5)
    assert names == {
        *("levels", "share_A", "share_B", "smoother", "size", "learning_rate", "weight_decay"),
        *(f"nu_{level}" for level in levels),
        *(f"growth_{level}" for level in levels if level > 1),
    }
    assert HyperMgNet((8, 8, 1), 10).most_levels == 3


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_draw_is_trained_by_the_recipe_but_for_what_is_searched(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        hp = keras_tuner.HyperParameters()
        optimizer = space("RevNet", max_params=50_000).build(hp).optimizer
    finally:
        keras.config.set_dtype_policy(before)
    if policy == "mixed_float16":  # the loss is scaled
        optimizer = optimizer.inner_optimizer
    assert (optimizer.decayed, optimizer.momentum, optimizer.built) == ("kernels", 0.9, True)
    assert optimizer.coupled_weight_decay == hp["weight_decay"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_params": 100}, r"expected max_params >= \d+ .*Received: max_params=100"),
        ({"max_params": None, "max_madds": 100}, r"expected max_madds >= \d+"),
        ({"max_params": None}, "expected max_params, max_madds or both"),
        ({"max_params": 0}, "expected max_params to be an integer >= 1"),
        ({"model": "polynet_very_deep_imagenet"}, "unknown family with a search space 'VeryDeepPolyNet'"),
        ({"model": "resnet81"}, "did you mean 'resnet18'"),
    ],
)
def test_what_makes_no_space_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        HyperNetwork(**{"model": "resnet20", "input_shape": (8, 8, 1), "classes": 10, **arguments})


STOCK = {
    "random": (keras_tuner.RandomSearch, {"max_trials": 2}),
    "bayesian": (keras_tuner.BayesianOptimization, {"max_trials": 3, "num_initial_points": 2}),
    "hyperband": (keras_tuner.Hyperband, {"max_epochs": 2, "factor": 2}),
}


@pytest.mark.slow
@pytest.mark.parametrize("method", STOCK)
def test_the_stock_tuners_take_it(method, tmp_path):
    kind, arguments = STOCK[method]
    digits = load("digits")
    x, y = digits.train.images[:64] / 255, digits.train.labels[:64]
    tuner = kind(
        HyperMgNet((8, 8, 1), 10, max_params=4_000),
        objective="val_accuracy",
        seed=1,
        directory=tmp_path,
        project_name="p",
        **arguments,
    )
    tuner.search(x, y, validation_data=(x, y), epochs=1, verbose=0)
    assert {trial.status for trial in tuner.oracle.trials.values()} == {"COMPLETED"}
    assert len(tuner.oracle.trials) == arguments.get("max_trials", 5)
    assert count_params(tuner.get_best_models()[0]) <= 4_000
