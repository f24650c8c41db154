"""Models by name: the rows, what their sources print, and the networks made from them."""

import pytest

import keras_mgnet
from keras_mgnet import MgNet, create_model, list_models, model_info
from keras_mgnet.models import FAMILIES
from keras_mgnet.recipes import RECIPES


def test_names_and_recipes_of_rows_are_unique_and_known():
    rows = [row for family in FAMILIES for row in family.family.rows]
    names = {row.name for row in rows}
    assert len(names) == len(rows) and names <= set(keras_mgnet.list_models())  # which has those of users, too
    recipes = {family.family.recipe for family in FAMILIES} | {row.recipe for row in rows}
    recipes |= {printed.recipe for row in rows for printed in row.published}
    assert recipes - {None} <= set(RECIPES)


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("preact_resnet110", [("cifar10", "1.7M", 93.63), ("cifar100", "1.7M", 72.24), ("cifar10", None, 93.63)]),
        ("resnet110", [("cifar10", None, 93.39)]),
        ("resnet18_shared_a", [("cifar10", "8.1M", 93.54), ("cifar100", "8.1M", 74.46)]),
        ("tnrd5_5x5", [("bsd68", "10,565", 28.78)]),
        ("revnet38", [("cifar10", None, None)]),
    ],
)
def test_what_is_printed_of_a_network(name, figures):
    published = keras_mgnet.model_info(name).published
    assert [(printed.dataset.name, printed.size, printed.figure) for printed in published] == figures


@pytest.mark.parametrize(
    ("name", "top5"),
    [("resnet50", 7.8), ("resnet101", 7.1), ("resnet152", 6.7), ("lm_resnet50", 7.0), ("lm_resnet101", 6.4)],
)
def test_top5_errors_of_imagenet(name, top5):
    """Lu2018, Table 3."""
    info = keras_mgnet.model_info(name)
    assert info.published[0].top5_error == top5 and info.reported["imagenet_top5"] == pytest.approx(100 - top5)


@pytest.mark.parametrize("name", [name for name in list_models() if "params" in model_info(name).reported])
def test_published_sizes_are_ours_or_say_why_not(name):
    info = model_info(name)
    assert info.size_matches == ("params_note" not in info.reported)


def test_a_model_knows_its_recipe():
    model = create_model("resnet56_stochastic_depth", base_width=2)
    assert model.recipe is RECIPES["stochastic_depth"]
    assert model.optimizer.get_config() == model.recipe.optimizer().get_config()
    assert MgNet(nu=(1,), channels=2, include_top=False).recipe is RECIPES["xuteam"]


def test_every_row_names_a_recipe():
    assert {model_info(name).recipe for name in list_models()} <= set(RECIPES)


def test_names_are_found_by_a_pattern_in_their_order():
    assert list_models() == sorted(list_models()) and set(list_models("mgnet_*")) < set(list_models())
    assert all(name.startswith("mgnet_") for name in list_models("mgnet_*")) and list_models("nothing") == []


def test_a_network_keeps_its_name_where_it_is_only_fitted_to_images():
    name = "mgnet_1111_c64_shared_b"
    assert create_model(name, classes=3, input_shape=(8, 8, 1)).name == name
    assert create_model(name, channels=2).name == "mgnet"


def test_an_unknown_name_comes_with_the_nearest():
    for make in (create_model, model_info):
        with pytest.raises(
            ValueError, match="unknown model 'mgnet_1111_c64_share_b'; did you mean 'mgnet_1111_c64_shared_b'"
        ):
            make("mgnet_1111_c64_share_b")
