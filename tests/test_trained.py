"""The trained networks of the package: what their records say holds, and every way to use them by name."""

import json
import shutil

import numpy as np
import pytest

from keras_mgnet import MgNet, create_model, trained
from keras_mgnet.models import weights
from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.loop.inference import evaluate, load_data
from keras_mgnet.training.loop.shipping import calibration_error, measured, ship
from keras_mgnet.training.runs.run import open_run
from support import TFDS
from support.command import invoke

NAME, OPTIONS = "mgnet_digits", {"nu": (2, 2), "channels": (8, 16), "input_shape": (8, 8, 1)}
BUDGET = 12e6  # bytes of all files together


@pytest.fixture(scope="module")
def run():
    return open_run(NAME)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n != NAME else ()) for n in trained.trained_names()]
)
def test_a_record_is_that_of_the_file(name):
    run = open_run(name)
    dataset = run.record["config"]["dataset"]
    if dataset != "digits" and not (TFDS / dataset).is_dir():
        pytest.skip(f"{dataset} is not prepared in {TFDS}; set TFDS_DATA_DIR")
    facts, found = run.record["trained"], measured(run.load_model(), load_data(run))
    assert round(100 * found["accuracy"], 2) == round(100 * facts["accuracy"], 2)
    assert found["loss"] == pytest.approx(facts["loss"], rel=1e-4)
    assert found["calibration_error"] == pytest.approx(facts["calibration_error"], abs=1e-4)
    assert run.record["model"]["params"] > 0 and run.record["command"].startswith("keras-mgnet train ")


@pytest.mark.parametrize("name", trained.trained_names())
def test_the_configuration_of_a_record_can_be_used(name):
    """As `evaluate` and `export` do, from any directory."""
    config = TrainConfig(**open_run(name).record["config"])
    assert config.out is None and not config.resume


def test_all_files_together_are_small():
    assert sum(open_run(name).record["trained"]["bytes"] for name in trained.trained_names()) <= BUDGET


def test_evaluate_gives_the_accuracy_of_the_record(run):
    assert evaluate(run)["accuracy"] == pytest.approx(run.record["trained"]["accuracy"], abs=1e-6)
    with pytest.raises(ValueError, match=r"expected checkpoint='last' of a trained network. Received: 'best'"):
        run.load_model("best")


def test_a_constructor_takes_the_name(run):
    network, expected = MgNet(**OPTIONS, weights=NAME), run.load_model()
    for own, theirs in zip(network.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(own, theirs)
    backbone = MgNet(**OPTIONS, include_top=False, weights=NAME)
    np.testing.assert_array_equal(backbone.get_weights()[0], expected.get_weights()[0])
    with pytest.warns(UserWarning, match=f"left out the classifier of '{NAME}'"):
        MgNet(**OPTIONS, classes=3, weights=NAME)
    with pytest.raises(ValueError, match=f"expected the weights of mgnet.* Received: .* variables in '{NAME}'"):
        MgNet(**OPTIONS | {"channels": 8}, weights=NAME)
    with pytest.raises(ValueError, match=f"or a trained network: .*{NAME}.* Received: weights='mgnet_digit'"):
        MgNet(**OPTIONS, weights="mgnet_digit")


def test_a_published_network_takes_the_name_of_a_data_set(monkeypatch):
    config = {"model": "mgnet_2222_c64_shared_b", "dataset": "digits", "set": {}}
    monkeypatch.setattr(trained, "trained_names", lambda: [NAME])
    monkeypatch.setattr(trained, "trained_record", lambda name: open_run(NAME).record | {"config": config})
    assert trained.trained_on("mgnet_2222_c64_shared_b", "digits") == NAME
    assert trained.trained_on("mgnet_2222_c64_shared_b", "mnist") is None
    with pytest.raises(ValueError, match=f"Received: .* variables in '{NAME}'"):  # the file is asked
        create_model("mgnet_2222_c64_shared_b", channels=2, weights="digits")


def test_a_damaged_file_is_refused(tmp_path, monkeypatch):
    folder = shutil.copytree(trained.trained_folder(NAME), tmp_path / NAME)
    content = bytearray((folder / trained.WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / trained.WEIGHTS).write_bytes(content)
    with pytest.raises(ValueError, match=r"expected the file with the SHA-256 of its run\.json"):
        open_run(folder).load_model()
    monkeypatch.setattr(weights, "trained_folder", lambda name: folder)
    with pytest.raises(ValueError, match=r"expected the file with the SHA-256 of its run\.json"):
        MgNet(**OPTIONS, weights=NAME)


def test_the_command_line_takes_the_name_in_place_of_a_run(tmp_path):
    assert NAME in invoke("list", "--trained")
    (facts,) = (fact for fact in json.loads(invoke("list", "--trained", "--json")) if fact["name"] == NAME)
    assert facts["params"] == open_run(NAME).record["model"]["params"]
    assert "level2" in invoke("describe", NAME)
    assert f"{100 * facts['accuracy']:.2f}%" in invoke("evaluate", NAME)


def test_ships_finished_classifiers_under_new_names_alone(run, tmp_path):
    with pytest.raises(ValueError, match=f"expected a finished run and a new name. .* name='{NAME}'"):
        ship(run, NAME)


def test_calibration_error_of_a_known_case():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.1, 1, 200_000)
    assert calibration_error(confidence, rng.random(200_000) < confidence) < 0.01
    assert calibration_error(confidence, rng.random(200_000) < confidence - 0.1) == pytest.approx(0.1, abs=0.01)
