"""The few images that a run keeps: what is in the file, and that later commands need no more."""

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from keras_mgnet.cli.analyze import subject_of
from keras_mgnet.errors import MissingDataError
from keras_mgnet.training.data.dataset import Split, load
from keras_mgnet.training.data.denoise import load_images as load_clean
from keras_mgnet.training.data.samples import MOST, MOST_BYTES, read_samples, write_samples
from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.loop.inference import evaluate, export_arguments, load_data, load_images
from keras_mgnet.training.loop.loop import train
from keras_mgnet.training.runs.run import SAMPLES, open_run
from support.command import invoked

GONE = r"no such file: '.*digits\.npz'"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose data set was moved after the training."""
    folder, digits = tmp_path_factory.mktemp("moved"), load("digits")
    names = [f"digit {i}" for i in range(10)]
    (x_train, y_train), (x_test, y_test) = (
        (part.images[:150], part.labels[:150]) for part in (digits.train, digits.test)
    )
    parts = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    np.savez(folder / "digits.npz", **parts, class_names=names, mean=[0.25], std=[0.5])
    options = {"set": {"nu": [1], "channels": 2}, "epochs": 1, "out": str(folder / "run")}
    train(TrainConfig(f"npz:{folder / 'digits.npz'}", **options), Console(file=io.StringIO()))
    (folder / "digits.npz").rename(folder / "moved.npz")
    return open_run(folder / "run")


def test_a_file_holds_images_of_every_class_and_all_that_a_data_set_says(tmp_path):
    digits = replace(load("digits"), mean=(0.25,), std=(0.5,))
    write_samples(tmp_path / SAMPLES, digits)
    kept = read_samples(tmp_path / SAMPLES)
    assert kept.counts == (MOST, MOST) and set(kept.test.labels) == set(range(10))
    assert (kept.class_names, kept.mean, kept.std) == (digits.class_names, (0.25,), (0.5,))
    for few, split in ((kept.train, digits.train), (kept.test, digits.test)):
        pairs = {(image.tobytes(), label) for image, label in zip(split.images, split.labels, strict=True)}
        assert {(image.tobytes(), label) for image, label in zip(few.images, few.labels, strict=True)} <= pairs


@pytest.mark.parametrize(("side", "count"), [(32, 64), (512, 5), (1200, 2)])
def test_large_images_are_few(side, count, tmp_path):
    images = Split(np.zeros((70, side, side, 3), "uint8")[: count + 6], np.zeros(min(70, count + 6), "int32"))
    write_samples(
        tmp_path / SAMPLES, replace(load("digits"), train=images, test=images, mean=(0.5,) * 3, std=(1.0,) * 3)
    )
    assert count == 2 or (tmp_path / SAMPLES).stat().st_size < 2.1 * MOST_BYTES
    assert np.load(tmp_path / SAMPLES)["x_test"].shape == (count, side, side, 3)


def test_denoisers_keep_squares(folder, tmp_path):
    whole = load_clean(f"denoise:{folder}", sigma=25.0, patch_size=16)
    write_samples(tmp_path / SAMPLES, whole)
    kept = read_samples(tmp_path / SAMPLES, sigma=25.0, patch_size=16)
    assert (len(kept.train), len(kept.test)) == (len(whole.train), len(whole.test))
    side = min(length for image in whole.test for length in image.shape)
    np.testing.assert_array_equal(kept.test_squares(side)[1], whole.test_squares(side)[1])
    assert kept.export_images(4, 8)["calibration"].shape[1:] == (16, 16, 1)


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / SAMPLES).write_bytes(b"PK")
    for options in ({}, {"sigma": 25.0, "patch_size": 16}):
        with pytest.raises(ValueError, match=SAMPLES):
            read_samples(tmp_path / SAMPLES, **options)


def test_a_run_is_exported_and_analyzed_without_its_data_set(run, tmp_path):
    with pytest.warns(UserWarning, match=GONE):
        arguments = export_arguments(run)
    assert arguments["class_names"][3] == "digit 3" and arguments["normalization"] == ([0.25], [0.5])
    assert len(arguments["samples"]) == len(arguments["labels"]) == len(arguments["calibration"]) == MOST
    with pytest.warns(UserWarning, match=GONE):
        subject = subject_of(run, "last", 500, 0)
    assert len(subject.images) == MOST
    with pytest.warns(UserWarning, match=GONE):
        invoked(["export", run.path, "--format", "onnx", "--out", tmp_path / "out"])
    assert (tmp_path / "out" / "card.json").is_file()


def test_another_data_set_is_taken_where_it_is_named(run):
    moved = f"npz:{run.path.parent / 'moved.npz'}"
    assert load_images(run, moved).counts == (150, 150)
    assert export_arguments(run, dataset=moved)["samples"].shape[0] == 150
    assert evaluate(run, dataset=moved)["images"] == 150
    with pytest.raises(ValueError, match=r"expected images \(8, 8, 1\) of the classes \['digit 0'"):
        load_images(run, "digits")


def test_what_is_missing_is_called_missing(run, tmp_path):
    with pytest.raises(MissingDataError, match=GONE + r"; name the data set of '.*run' with dataset"):
        evaluate(run)
    for name in (f"npz:{tmp_path}/no.npz", f"folder:{tmp_path}/no"):
        with pytest.raises(MissingDataError, match=rf"no such (file|folder): '{tmp_path}/no"):
            load_images(run, name)
    with pytest.raises(MissingDataError, match="no such folder"):
        load_clean(f"denoise:{tmp_path}/no", sigma=25.0, patch_size=16)


def test_a_run_of_an_earlier_version_needs_its_data_set(run, tmp_path):
    (tmp_path / "run.json").write_bytes((run.path / "run.json").read_bytes())
    with pytest.raises(MissingDataError, match=GONE):
        load_images(open_run(tmp_path))


def test_the_images_of_another_run_are_refused(run, tmp_path):
    (tmp_path / "run.json").write_bytes((run.path / "run.json").read_bytes())
    write_samples(tmp_path / SAMPLES, load("digits"))
    with pytest.warns(UserWarning, match=GONE), pytest.raises(ValueError, match="expected images"):
        load_images(open_run(tmp_path))
    assert load_data(run, f"npz:{run.path / SAMPLES}").counts == (MOST, MOST)
