"""The bounds of pyproject.toml are those of the environments in which the tests were run."""

import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from support import ROOT

HERE = ROOT / "tests" / "environments"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
UNTRIED = {"bench", "gpu", "test", "wandb", "mlflow"}
LINES = [*PROJECT["dependencies"], *(line for name in sorted(EXTRAS.keys() - UNTRIED) for line in EXTRAS[name])]
REQUIREMENTS = [requirement for requirement in map(Requirement, LINES) if requirement.name != "keras-mgnet"]


def pins(name):
    lines = (HERE / f"{name}.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {canonicalize_name(package): version for package, version in pairs}


def lower(requirement):
    return next(Version(entry.version) for entry in requirement.specifier if entry.operator == ">=")


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_the_lowest_version_is_tried(requirement):
    pinned = pins("lowest")[canonicalize_name(requirement.name)]
    assert pinned in requirement.specifier
    assert Version(pinned).release[:2] == (*lower(requirement).release, 0)[:2]


@pytest.mark.parametrize("name", ["colab", "kaggle"])
def test_what_notebooks_have_is_inside_the_bounds(name):
    pinned = pins(name)
    found = [(requirement, pinned.get(canonicalize_name(requirement.name))) for requirement in REQUIREMENTS]
    refused = [str(requirement) for requirement, version in found if version and version not in requirement.specifier]
    assert refused == []


def test_new_releases_of_keras_and_tensorflow_are_accepted():
    newest = {"keras": "3.99", "tensorflow": "2.99", "tensorflow-serving-api": "2.99"}
    assert [str(r) for r in REQUIREMENTS if r.name in newest and newest[r.name] not in r.specifier] == []


def test_the_base_is_small_and_leaves_the_backend_to_the_user():
    names = {Requirement(line).name for line in PROJECT["dependencies"]}
    assert names == {"keras", "numpy", "h5py", "lazy-loader"}
