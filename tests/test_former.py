"""Files that were written before levels had a scheme and a field: they load and go on, or a sentence says why not."""

import io
import zipfile

import keras
import numpy as np
import pytest
from rich.console import Console

from keras_mgnet.former import renamed
from keras_mgnet.loading import load_model
from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.loop.loop import train
from keras_mgnet.training.runs.run import read_log
from support import ROOT
from support.catalogue import build
from support.numerics import assert_close

FILES = ROOT / "tests" / "support" / "former" / "files.zip"
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
    assert_close(model.predict(expected[f"{name}/x"], verbose=0), expected[f"{name}/y"], 1e-4)


@pytest.mark.parametrize("name", names(".keras"))
def test_models_give_the_predictions_of_then_and_train_on(name, folder, expected):
    model = load_model(folder / f"{name}.keras")
    assert_close(model.predict(expected[f"{name}/x"], verbose=0), expected[f"{name}/y"], 1e-4)
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
