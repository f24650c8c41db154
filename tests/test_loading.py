"""Whole files are loaded: every family, every precision."""

import numpy as np
import pytest

from keras_mgnet.loading import load_model
from keras_mgnet.training.runs.run import model_config
from support import catalogue
from support.catalogue import forms_first


@forms_first
def test_every_family_is_loaded(name, tmp_path, images):
    model = catalogue.built(name)
    model.save(tmp_path / "m.keras")
    x = images(model)
    np.testing.assert_array_equal(load_model(tmp_path / "m.keras")(x), model(x))


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "bfloat16", "float64"])
def test_every_precision_is_loaded(dtype, tmp_path):
    model = catalogue.build("mgnet", dtype=dtype)
    model.save(tmp_path / "m.keras")
    assert model_config(load_model(tmp_path / "m.keras")) == model_config(model)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        load_model(tmp_path / "nowhere.keras")
