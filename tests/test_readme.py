"""The Python of the README and of the pages about exports and denoising runs as it is written."""

import re

import catalogue
import numpy as np
import pytest
from conftest import ROOT, python_blocks
from safetensors.numpy import save_file
from test_interop import torch_state

from keras_mgnet import layers
from keras_mgnet.models import FAMILIES


def run_python(page, names):
    """Runs the blocks of a page, each by itself."""
    blocks = python_blocks(page)
    for block in blocks:
        exec(block, dict(names))  # our own file
    return blocks


@pytest.fixture
def names(tmp_path, monkeypatch):
    """What the pages take for granted: images and their labels, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).normal(size=(8, 28, 28, 1)).astype("float32")
    return {"images": images, "labels": np.arange(8)}


def test_readme(tmp_path, names):
    network = catalogue.MgNet((2, 2, 2), (16, 32, 48), input_shape=(28, 28, 1))
    save_file(torch_state(network), "mgnet.safetensors")
    assert run_python("README.md", names)
    assert (tmp_path / "mgnet.keras").is_file() and (tmp_path / "exported" / "savedmodel" / "1").is_dir()


def test_the_idea(names):
    assert run_python("docs/index.md", names)


def test_a_network_of_your_own(names):
    names = {"__name__": "own"}
    for block in python_blocks("docs/new_network.md"):
        exec(block, names)  # our own file
    level, x = names["model"].get_layer("level1"), np.ones((1, 8, 8, 4), "float32")
    k1 = level.f(x, i=0)
    np.testing.assert_allclose(level(x), x + (k1 + level.f(x + k1, i=0)) / 2, rtol=1e-6)


def test_export(tmp_path, names):
    names["images"] = 255 * np.abs(names["images"]).clip(0, 1)
    assert run_python("docs/export.md", names)
    assert len(list((tmp_path / "exported").glob("*"))) >= 3


def test_denoising(names):
    rows, columns = np.mgrid[:32, :40]
    names["image"] = (127 + 100 * np.sign(rows - columns)).astype("float32")
    assert run_python("docs/denoising.md", names)


@pytest.mark.parametrize(("page", "things"), [("models", FAMILIES), ("layers", layers.__all__)])
def test_the_reference_is_complete(page, things):
    shown = re.findall(
        r"^::: \S+\.(\w+)$", (ROOT / "docs" / "reference" / f"{page}.md").read_text(), flags=re.MULTILINE
    )
    assert sorted(shown) == sorted(getattr(thing, "__name__", thing) for thing in things)


def test_every_family_is_in_the_zoo():
    zoo = (ROOT / "README.md").read_text().partition("## The zoo")[2].partition("## ")[0]
    assert [family.__name__ for family in FAMILIES if f"`{family.__name__}`" not in zoo] == []
