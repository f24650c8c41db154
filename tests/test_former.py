"""Files of earlier versions load and go on, or a sentence says why not.

Those of files.zip were written before levels had a scheme and a field, those of lists.zip when chains had lists inside lists.
"""

import io
import re
import zipfile

import h5py
import keras
import numpy as np
import pytest
from rich.console import Console

from keras_mgnet.former import renamed
from keras_mgnet.hdf5 import plain_arrays
from keras_mgnet.loading import load_model
from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.loop.loop import train
from keras_mgnet.training.runs.run import read_log
from support import ROOT
from support.catalogue import build
from support.numerics import assert_close, randomize

FORMER = ROOT / "tests" / "support" / "former"
FILES = FORMER / "files.zip"
LOST = "very_deep_polynet"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("former")
    with zipfile.ZipFile(FILES) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def expected(folder):
    return np.load(io.BytesIO((folder / "expected.npz").read_bytes()))


def names(suffix):
    with zipfile.ZipFile(FILES) as archive:
        return sorted(name.removesuffix(suffix) for name in archive.namelist() if name.endswith(suffix))


@pytest.mark.parametrize("name", [name for name in names(".weights.h5") if name != LOST])
def test_weights_give_the_predictions_of_then(name, folder, expected):
    model = build(name)
    model.load_weights(folder / f"{name}.weights.h5")
    assert_close(model(expected[f"{name}/x"], training=False), expected[f"{name}/y"], 1e-4)


@pytest.mark.parametrize("name", names(".keras"))
def test_models_give_the_predictions_of_then_and_train_on(name, folder, expected):
    model = load_model(folder / f"{name}.keras")
    assert_close(model(expected[f"{name}/x"], training=False), expected[f"{name}/y"], 1e-4)
    kept = [v for v in model.optimizer.variables if len(v.shape) == 4 and np.abs(v.numpy()).max() > 0]
    assert bool(kept) == (name != "lm_resnet14")  # the momentum of convolutions
    assert np.isfinite(model.train_on_batch(expected[f"{name}/x"], np.arange(4) % 3)[0])


def test_files_whose_names_cannot_be_told_apart_are_refused(folder):
    with pytest.raises(ValueError, match="expected a file of this version for a VeryDeepPolyNet"):
        build(LOST).load_weights(folder / f"{LOST}.weights.h5")


@pytest.mark.filterwarnings("ignore:Skipping nested container")  # what Keras says of it alone
@pytest.mark.parametrize("name", names(".keras"))
def test_keras_itself_refuses_models_of_then_with_a_sentence(name, folder):
    with pytest.raises(
        ValueError, match=r"with keras_mgnet\.loading\.load_model, .* Received: a file of an earlier version"
    ):
        keras.saving.load_model(folder / f"{name}.keras")


def test_a_layer_of_ones_own_is_not_taken_for_one_of_then():
    assert renamed("layers/dense_level/vars/0") == "layers/dense_level/vars/0"


@pytest.mark.parametrize("name", ["resnet8.keras", "recurrent_resnet3.keras", "polynet_2way.weights.h5"])
def test_lists_inside_lists_are_found(name, tmp_path):
    with zipfile.ZipFile(FORMER / "lists.zip") as archive:
        archive.extract(name, tmp_path)
        expected = np.load(io.BytesIO(archive.read("expected.npz")))
    key, _, suffix = name.partition(".")
    model = load_model(tmp_path / name) if suffix == "keras" else build(key)
    if suffix == "keras":
        assert all(np.abs(v.numpy()).max() > 0 for v in model.optimizer.variables if len(v.shape) == 4)
    else:
        model.load_weights(tmp_path / name)
    assert_close(model(expected[f"{key}/x"]), expected[f"{key}/y"], 1e-4)


def test_lists_inside_lists_of_inceptions_are_not_those_of_then(tmp_path):
    """A VeryDeepPolyNet of lists inside lists can be told from one of the files that cannot be read."""
    model = randomize(build(LOST))
    model.save_weights(tmp_path / "now.weights.h5")
    with h5py.File(tmp_path / "now.weights.h5") as now, h5py.File(tmp_path / "then.weights.h5", "w") as then:
        for name, _ in plain_arrays(tmp_path / "now.weights.h5"):
            former = re.sub(r"/([Ks])(\d+)/(?=conv|norm)", in_lists, name)
            now.copy(now[name], then, former)
            assert renamed(former) == name
    other = build(LOST)
    other.load_weights(tmp_path / "then.weights.h5")
    for ours, theirs in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def in_lists(match):
    place, number = {"K": "convs", "s": "norms"}[match[1]], int(match[2]) - 1
    return f"/{place}/container{f'_{number}' if number else ''}/"


def test_norms_of_a_fractal_level_are_found_under_the_name_of_their_former_class(tmp_path):
    model = randomize(build("fractalnet"))
    model.save_weights(tmp_path / "now.weights.h5")
    with h5py.File(tmp_path / "now.weights.h5") as now, h5py.File(tmp_path / "then.weights.h5", "w") as then:
        for name, _ in plain_arrays(tmp_path / "now.weights.h5"):
            former = name.replace("/s/norm", "/s/standardize")
            now.copy(now[name], then, former)
            assert renamed(former) == name
    other = build("fractalnet")
    other.load_weights(tmp_path / "then.weights.h5")
    for ours, theirs in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def resumed(folder, name):
    directory = folder / "runs" / name
    return train(TrainConfig.of_run(directory), Console(file=io.StringIO()))


def test_a_run_goes_on_as_it_did_then(folder):
    then = read_log(folder / "runs" / "mgnet" / "log.csv")  # three epochs; the checkpoint is that of the second
    now = read_log(resumed(folder, "mgnet").path / "log.csv")
    for key in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert float(now[2][key]) == pytest.approx(float(then[2][key]), abs=0.01)


def test_a_run_of_an_lm_network_of_then_is_refused(folder):
    with pytest.raises(ValueError, match=r"expected the state of lm_resnet.*earlier version"):
        resumed(folder, "lm")
