"""The README's Python runs as it is written."""

import re

import catalogue
import numpy as np
from conftest import ROOT
from safetensors.numpy import save_file
from test_interop import torch_state

from keras_mgnet.models import FAMILIES


def test_python_blocks(tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    network = catalogue.MgNet((2, 2, 2), (16, 32, 48), input_shape=(28, 28, 1))
    save_file(torch_state(network), "mgnet.safetensors")
    images, labels = np.random.default_rng(0).normal(size=(8, 28, 28, 1)), np.arange(8)
    for block in blocks:
        exec(block, {"images": images, "labels": labels})  # our own file
    assert (tmp_path / "mgnet.keras").is_file()


def test_every_family_is_in_the_zoo():
    zoo = (ROOT / "README.md").read_text().partition("## The zoo")[2].partition("## ")[0]
    assert [family.__name__ for family in FAMILIES if f"`{family.__name__}`" not in zoo] == []
