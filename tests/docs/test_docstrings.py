"""Every example in a docstring runs and says the truth."""

import doctest
import importlib

import pytest

from support.package import MODULES


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert results.failed == 0
