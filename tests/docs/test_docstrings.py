"""Every example in a docstring runs and says the truth."""

import doctest
import importlib
import pkgutil

import pytest

import keras_mgnet
import keras_mgnet.cli
import keras_mgnet.export
import keras_mgnet.serving
import keras_mgnet.training

PACKAGES = (keras_mgnet, keras_mgnet.training, keras_mgnet.export, keras_mgnet.serving, keras_mgnet.cli)
MODULES = sorted({info.name for p in PACKAGES for info in pkgutil.walk_packages(p.__path__, f"{p.__name__}.")})


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert results.failed == 0
