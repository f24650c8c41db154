"""zoo.json against the networks: `list` and `describe` print what it says."""

import json
import runpy

import pytest

from keras_mgnet import create_model, list_models
from keras_mgnet.description import describe, description
from keras_mgnet.zoo import entries, entry, matching
from support import ROOT, slow_unless

GENERATOR = runpy.run_path(str(ROOT / "docs" / "generate" / "entries.py"))
STALE = "run `python docs/generate/entries.py`"


def test_the_file_has_the_facts_of_every_network():
    assert list(entries()) == list_models()
    for name, told in entries().items():
        facts = json.loads(json.dumps(GENERATOR["facts"](name)))
        assert {key: getattr(told, key) for key in facts} == facts, STALE
        assert told.description.params == told.params


@pytest.mark.parametrize("name", slow_unless(("mgnet_1111_c64_shared_b",), list_models()))
def test_the_file_has_the_description_of_every_network(name):
    model = create_model(name)
    assert description(model) == entry(name).description, STALE
    assert describe(model) == str(entry(name).description)


def test_names_that_do_not_exist():
    with pytest.raises(ValueError, match="unknown model 'mgnet_2222_c26'; did you mean 'mgnet_2222_c256'"):
        entry("mgnet_2222_c26")
    with pytest.raises(ValueError, match=r"expected a pattern that matches a model\. Received: 'vgg\*'"):
        matching("vgg*")
