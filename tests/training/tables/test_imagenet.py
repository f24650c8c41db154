"""The tables on ImageNet, on a small set of its form: as folders, as TFRecords and as a set of TFDS."""

import io
import json

import keras
import numpy as np
import pytest
from rich.console import Console

from keras_mgnet.images import normalize
from keras_mgnet.training.loop.inference import load_data, predict
from keras_mgnet.training.runs.run import open_run
from keras_mgnet.training.tables import cost
from keras_mgnet.training.tables.reproduce import reproduce
from keras_mgnet.training.tables.request import Reproduction
from support import slow_unless
from support.command import invoke
from support.pictures import pictures, write_folder, write_tfds, write_tfrecords

TABLES = ("he2019:4", "lu2018:3", "xuteam:imagenet", "densenet:imagenet")
WRITE = {"folder": write_folder, "tfrecord": write_tfrecords, "tfds": write_tfds}


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root, photos = tmp_path_factory.mktemp("imagenet"), pictures(40, 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(root / "tfds"))
        yield {form: write(root / form, photos) for form, write in WRITE.items()}


@pytest.mark.parametrize("form", WRITE)
@pytest.mark.parametrize("name", TABLES)
def test_a_dry_run_finds_the_images(name, form, sets, tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "training_rate", lambda dtype: 1e9)
    shown = invoke("reproduce", name, "--dry-run", "--data", f"imagenet={sets[form]}", "--out", tmp_path / "out")
    assert f"{name}: " in shown and "hours" in shown and "cannot be loaded" not in shown
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", slow_unless(["tfrecord"], [*WRITE]))
def test_a_table_runs(form, sets, tmp_path):
    changes = {"budget": {"epochs": 1, "batch_size": 20}, "set": {"base_width": 16}, "data": {"imagenet": sets[form]}}
    asked = Reproduction("he2019:4", tmp_path, ("2",), **changes)
    outcome = reproduce(asked, Console(file=io.StringIO()))
    run = open_run(tmp_path / "resnet18_shared_a_imagenet" / "seed-1")
    assert run.record["result"]["status"] == "finished" and run.input_shape == (224, 224, 3)
    assert (run.record["config"]["augment"], run.record["config"]["image_size"]) == ("scale_flip", 224)
    row = json.loads((tmp_path / "table.json").read_text())["rows"][1]
    assert row["accuracy"]["last"]["mean"] == pytest.approx(100 * run.record["result"]["last_test_accuracy"], abs=1e-3)
    assert np.isfinite(run.record["result"]["last_test_loss"]) and len(outcome.results) == 4
    assert_predicts_from_the_centre(run, tmp_path / "photo")


def assert_predicts_from_the_centre(run, file):
    images = load_data(run).test.images
    assert images.fit == "centre"
    file.write_bytes(images.source[images.places[0]].read_bytes())
    (found,) = predict(run, [file], top=1)
    logits = run.load_model()(normalize(images[:1].astype("float32"), *run.normalization), training=False)
    expected = keras.ops.convert_to_numpy(keras.ops.softmax(logits))[0]
    assert found["classes"] == {run.class_names[expected.argmax()]: pytest.approx(expected.max(), rel=1e-4)}


@pytest.mark.slow
def test_a_network_learns_the_classes(tmp_path):
    from keras_mgnet.training import TrainConfig, train

    photos = write_folder(tmp_path / "photos", pictures(400, 100))
    network = {"model": "resnet18_imagenet", "recipe": "he2019_imagenet", "set": {"base_width": 8, "stem": "cifar"}}
    config = TrainConfig(photos, **network, image_size=32, epochs=8, batch_size=20, out=str(tmp_path / "run"))
    assert train(config, Console(file=io.StringIO())).record["result"]["best_test_accuracy"] > 0.3
