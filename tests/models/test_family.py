"""A family: its constructor says what it takes, it comes compiled once, and what belongs to it stands in its class."""

import dataclasses
import inspect
import json
import re
import runpy
import sys

import keras
import pytest

import keras_mgnet
from keras_mgnet import MgNet, PreActResNet, create_model
from keras_mgnet.loading import load_model
from keras_mgnet.models import (
    FAMILIES,
    Frame,
    FrameArguments,
    FunctionFrame,
    FunctionFrameArguments,
    ImageFrame,
    ImageFrameArguments,
)
from keras_mgnet.models.datasets import DATASETS
from keras_mgnet.recipes import RECIPES, Recipe
from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.runs.run import model_config
from support import ROOT, catalogue

TINY = {"nu": (1,), "channels": 2, "input_shape": (8, 8, 1)}
BEFORE = json.loads(
    (ROOT / "tests" / "support" / "former" / "configs_before_recipes.json").read_text()
)  # of the catalogue, once

every_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)


# The constructor


@every_family
def test_every_argument_is_listed_with_its_meaning(family):
    parameters = list(inspect.signature(family).parameters.values())
    assert all(p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and p.default is not p.empty for p in parameters)
    entries = re.findall(r"^    (\w[\w, ]*): \S", family.__init__.__doc__, flags=re.MULTILINE)
    described = [name for entry in entries for name in entry.split(", ")]
    assert sorted(described) == sorted(parameter.name for parameter in parameters)


@pytest.mark.parametrize(
    ("frame", "arguments"),
    [(Frame, FrameArguments), (ImageFrame, ImageFrameArguments), (FunctionFrame, FunctionFrameArguments)],
)
def test_what_checkers_see_of_a_frame_is_what_it_takes(frame, arguments):
    assert arguments.__annotations__ == {field.name: field.type for field in dataclasses.fields(frame)}
    assert arguments.__total__ is False


@pytest.mark.parametrize("argument", ["chanels", "include_topp"])
def test_an_unknown_argument_is_refused_with_the_nearest_before_anything_is_built(argument, monkeypatch):
    monkeypatch.setattr(keras, "Input", None)
    with pytest.raises(ValueError, match=f"unknown argument of MgNet '{argument}'; did you mean '.*'") as error:
        MgNet(**TINY, **{argument: 3})
    assert error.value.__cause__ is None


def test_an_argument_given_twice_is_a_type_error():
    with pytest.raises(TypeError, match="multiple values for argument 'nu'"):
        MgNet((1,), nu=(1,))


def test_a_scope_of_recomputation_ends_with_the_frame_even_when_a_level_fails():
    frame = Frame(remat=("level1",))
    with pytest.raises(KeyError), frame:
        assert keras.layers.Layer()._remat_mode.layer_names == ("level1",)
        raise KeyError
    assert keras.layers.Layer()._remat_mode is None


# The recipe


def test_a_row_is_compiled_once_with_its_recipe_and_keeps_it(monkeypatch, tmp_path):
    compiled, optimizer = [], Recipe.optimizer
    monkeypatch.setattr(Recipe, "optimizer", lambda recipe: compiled.append(recipe) or optimizer(recipe))
    model = create_model("mgnet_1111_c64_shared_b", nu=(1,), channels=2)
    assert compiled == [RECIPES["kaust"]] and model.recipe is RECIPES["kaust"]
    model.save(tmp_path / "model.keras")
    assert load_model(tmp_path / "model.keras").recipe is RECIPES["kaust"]
    assert type(model).from_config(model.get_config() | {"recipe": None}).recipe is RECIPES["xuteam"]


def test_a_recipe_is_chosen_by_key_and_an_unknown_one_is_refused_before_anything_is_built(monkeypatch):
    model = MgNet(**TINY, recipe="lu2018_resnext")
    assert model.optimizer.get_config() == RECIPES["lu2018_resnext"].optimizer().get_config()
    monkeypatch.setattr(keras, "Input", None)
    for family in (PreActResNet, keras_mgnet.ReactionDiffusion):
        with pytest.raises(ValueError, match="unknown recipe 'kaus'; did you mean 'kaust'"):
            family(recipe="kaus")


def test_a_run_has_the_recipe_of_its_configuration_alone():
    """So that a run of before takes up, whose network has no recipe among its arguments."""
    with pytest.raises(ValueError, match="expected no recipe in set"):
        TrainConfig(set={"recipe": "kaust"})
    assert "recipe" not in model_config(create_model("mgnet_1111_c64_shared_b", nu=(1,), channels=2))


# Files of before


@pytest.mark.parametrize("name", [name for name in catalogue.ONE_PER_FAMILY if name in BEFORE])
def test_a_configuration_written_before_networks_had_recipes_loads(name):
    config = BEFORE[name]
    family, _ = catalogue.MODELS[name]
    model = family.from_config(config)
    received = model_config(model)
    assert {key: received[key] for key in config} == config
    assert [v.path for v in model.weights] == [v.path for v in catalogue.build(name).weights]


# What belongs to a family


@every_family
def test_what_a_search_varies_are_arguments(family):
    known, belongs = set(inspect.signature(family).parameters), family.family
    assert set(belongs.small) <= known and belongs.picture is not None
    if belongs.space:
        assert {belongs.space.width, belongs.space.iterations, *belongs.space.choices} - {None} <= known


# Data sets


def test_the_facts_of_the_data_sets_need_no_keras(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)
    facts = runpy.run_path(str(ROOT / "keras_mgnet" / "models" / "datasets.py"))
    assert list(facts["DATASETS"]) == list(DATASETS)


@pytest.mark.parametrize("name", [name for name, info in DATASETS.items() if info.classes])
def test_a_network_fits_its_data_set(name):
    info = DATASETS[name]
    model = MgNet((1,), 2, **info.arguments)
    assert model.input_shape[1:] == info.input_shape and model.output_shape == (None, info.classes)
    assert info.mean is None or len(info.mean) == len(info.std) == info.input_shape[-1]


@pytest.mark.parametrize(
    ("dataset", "channels", "augment"),
    [
        ("cifar10", 3, "crop_flip"),
        ("svhn_cropped", 3, "none"),
        ("mnist:3.0.1", 1, "none"),
        ("folder:x", 3, "crop_flip"),
    ],
)
def test_images_whose_mirror_image_means_something_else_are_not_mirrored(dataset, channels, augment):
    assert TrainConfig(dataset).resolve(RECIPES["xuteam"], channels).augment == augment
