"""Training of denoisers: batches as a pure function of (seed, epoch, place), runs that resume bit for bit, their commands."""

import json
import signal

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from keras_mgnet.training.data import denoise
from keras_mgnet.training.data.plan import Plan
from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.loop.inference import evaluate, predict
from keras_mgnet.training.loop.prepare import prepare
from keras_mgnet.training.runs.run import read_log
from support.command import invoke
from support.denoising import config, train
from support.runs import checkpoints_of, stop_at


@pytest.fixture
def images(folder):
    return denoise.load_images(f"denoise:{folder}", sigma=25.0, patch_size=8)


def epoch(images, seed, number, batch_size, first_step=0):
    plan = Plan(seed, images.patches, batch_size, number, first_step, epochs=1)
    batches = [images.train_batch(plan, i) for i in range(len(plan))]
    return [np.concatenate(part) for part in zip(*batches, strict=True)]


def test_an_epoch_has_the_pixels_of_the_training_images(images):
    assert [image.shape for image in images.train] == [(24, 20), (20, 33)]
    assert images.patches == 8 + 11 and images.counts == (19, 3)
    noisy, clean = epoch(images, 0, 0, 6)
    assert noisy.shape == clean.shape == (19, 8, 8, 1) and noisy.dtype == clean.dtype == np.float32


@given(st.integers(0, 2**40), st.integers(0, 50), st.integers(1, 25))
def test_a_patch_depends_on_seed_epoch_and_place_alone(folder, seed, number, batch_size):
    images = denoise.load_images(f"denoise:{folder}", sigma=25.0, patch_size=8)
    whole = epoch(images, seed, number, 19)
    for part, again in zip(whole, epoch(images, seed, number, batch_size), strict=True):
        np.testing.assert_array_equal(part, again)
    steps = -(-19 // batch_size)
    if steps > 1:
        rest = epoch(images, seed, number, batch_size, first_step=1)
        np.testing.assert_array_equal(rest[0], whole[0][batch_size:])
    for other in (epoch(images, seed + 1, number, 19), epoch(images, seed, number + 1, 19)):
        assert not np.array_equal(other[0], whole[0])


def test_patches_are_cut_from_the_images_in_all_orientations():
    ramp = np.arange(12 * 12, dtype=np.uint8).reshape(12, 12)
    images = denoise.CleanImages("ramp", (ramp,), (ramp,), sigma=1.0, patch_size=4)
    clean = np.concatenate([epoch(images, 0, number, 9)[1] for number in range(40)])[..., 0].astype(int)
    steps = {(int(patch[0, 1] - patch[0, 0]), int(patch[1, 0] - patch[0, 0])) for patch in clean}
    assert steps == {(a, b) for x in (-1, 1) for y in (-12, 12) for a, b in ((x, y), (y, x))}
    assert {int(patch.min()) for patch in clean} == {12 * top + left for top in range(9) for left in range(9)}


def test_the_noise_is_gaussian_of_the_deviation_and_neither_clipped_nor_rounded():
    flat = np.full((300, 300), 250, np.uint8)
    images = denoise.CleanImages("flat", (flat,), (flat, flat), sigma=25.0, patch_size=300)
    for noisy, clean in (epoch(images, 0, 0, 1), images.test_pair(0), images.test_pair(1)):
        noise = noisy - clean
        assert abs(noise.mean()) < 0.5 and noise.std() == pytest.approx(25, rel=0.01)
        assert noisy.max() > 300 and np.abs(np.rint(noisy) - noisy).max() > 0.4
    assert 10 * np.log10(255**2 / np.mean(noise**2)) == pytest.approx(20.17, abs=0.05)


def test_the_noise_on_a_test_image_is_always_the_same_and_another_on_the_next(images):
    np.testing.assert_array_equal(images.test_pair(1)[0], images.test_pair(1)[0])
    noises = [np.ravel(np.subtract(*images.test_pair(i)))[:50] for i in range(3)]
    assert not np.allclose(noises[0], noises[1])
    batches = [[np.asarray(part) for part in pair] for pair in denoise.test_batches(images)]
    for i, pair in enumerate(batches):
        for part, expected in zip(pair, images.test_pair(i), strict=True):
            np.testing.assert_array_equal(part, expected)
    assert [pair[0].shape for pair in batches] == [(1, 17, 12, 1), (1, 12, 18, 1), (1, 9, 30, 1)]


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    return train(folder, tmp_path_factory.mktemp("runs") / "a", epochs=8)


def test_a_run_learns_and_leaves_its_record(run):
    rows = read_log(run.path / "log.csv")
    psnr = [float(row["val_psnr"]) for row in rows]
    result = run.record["result"]
    assert result["status"] == "finished" and result["last_test_psnr"] == psnr[-1]
    assert result["best_test_psnr"] == max(psnr) == psnr[result["best_epoch"] - 1]
    assert psnr[-1] > 20.17 + 2
    recorded = run.record["config"]
    assert recorded | {"sigma": 25.0, "model": "tnrd5_5x5", "augment": "none", "momentum": 0.9} == recorded
    assert (run.record["data"]["train"], run.record["data"]["test"]) == (19, 3)
    assert (run.path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_evaluate_agrees_with_the_log_and_with_numpy(run, folder):
    result = evaluate(run)
    assert result["psnr"] == pytest.approx(run.record["result"]["last_test_psnr"], rel=1e-6)
    images, model = denoise.load_images(f"denoise:{folder}", sigma=25.0, patch_size=8), run.load_model()
    pairs = [images.test_pair(i) for i in range(3)]
    errors = [np.mean((keras.ops.convert_to_numpy(model(noisy)) - clean) ** 2) for noisy, clean in pairs]
    assert result["psnr"] == pytest.approx(np.mean(10 * np.log10(255**2 / np.array(errors))), rel=1e-5)
    assert result["loss"] == pytest.approx(np.mean(errors), rel=1e-5)
    output = invoke("evaluate", run.path)
    assert f"PSNR {result['psnr']:.2f} dB, mean squared error {result['loss']:.4f}" in output


def test_predict_writes_the_images_without_noise(run, folder, tmp_path):
    paths = sorted((folder / "test").iterdir())
    answer = json.loads(invoke("predict", run.path, *paths, "--out", tmp_path / "out", "--json"))
    assert [row["image"] for row in answer] == [str(path) for path in paths]
    grey = np.asarray(Image.open(paths[0]).convert("L"), np.float32)
    written = np.asarray(Image.open(answer[0]["denoised"]))
    expected = keras.ops.convert_to_numpy(run.load_model()(grey[None, ..., None]))[0, ..., 0]
    np.testing.assert_array_equal(written, np.rint(expected.clip(0, 255)))
    with pytest.raises(ValueError, match="different names"):
        invoke("predict", run.path, paths[0], paths[0], "--out", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_predict_replaces_none_of_its_images(run, folder, tmp_path):
    path = tmp_path / "noisy.png"
    path.write_bytes((folder / "test" / "0.png").read_bytes())
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"expected a folder where no image is overwritten\. .*noisy\.png"):
        invoke("predict", run.path, path, "--out", tmp_path / "new" / "..")
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_predict_refuses_an_image_below_the_filters_before_it_writes_one(run, folder, tmp_path):
    Image.new("L", (1, 9)).save(tmp_path / "line.png")
    with pytest.raises(ValueError, match=r"at least 2 pixels a side\. Received: .*line\.png', 1x9"):
        invoke("predict", run.path, folder / "test" / "0.png", tmp_path / "line.png", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_denoiser_is_asked_for_images_alone(run, folder):
    with pytest.raises(ValueError, match=r"expected denoise:DIR for .*, a run of tnrd5_5x5\. Received: digits"):
        evaluate(run, dataset="digits")
    with pytest.raises(ValueError, match=r"expected the run of a classifier\. Received: .*, a run of tnrd5_5x5"):
        predict(run, [folder / "test" / "0.png"])


def test_denoisers_are_not_compared_by_accuracy(run, tmp_path, refused):
    error = refused("compare", run.path, "--out", tmp_path / "out")
    assert f"expected runs of classifiers. Received: '{run.path}', a denoiser" in error
    assert not (tmp_path / "out").exists()


def test_greedy_training_takes_one_stage_after_the_other(folder, tmp_path):
    prepared = prepare(config(folder, greedy_epochs=1))
    level = prepared.model.get_layer("level1")
    turns, before = [], None
    for number in range(3):
        prepared.task.begin_epoch(number)
        before = [[w.numpy() for w in step.trainable_variables] for step in level.field.steps]
        prepared.model.fit(prepared.task.train_batches(number, 0), shuffle=False, verbose=0)
        after = [[w.numpy() for w in step.trainable_variables] for step in level.field.steps]
        turns.append(
            [any((a != b).any() for a, b in zip(*pair, strict=True)) for pair in zip(before, after, strict=True)]
        )
    if keras.backend.backend() == "jax":  # Adam's momentum goes on
        turns = [turn[: number + 1] for number, turn in enumerate(turns)]
        assert turns[0] == [True] and turns[1][1] and turns[2] == [True, True]
    else:
        assert turns == [[True, False], [False, True], [True, True]]


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, 7, 10])
def test_a_stopped_run_goes_on_bit_for_bit(folder, tmp_path, monkeypatch, step):
    options = {"reproducible": True, "greedy_epochs": 1, "checkpoint_steps": 2}
    whole = train(folder, tmp_path / "whole", **options)
    with monkeypatch.context() as patch:
        stop_at(patch, step, signal.SIGTERM)
        stopped = train(folder, tmp_path / "parts", **options)
    assert stopped.record["result"]["status"] == "preempted"
    resumed = train(folder, tmp_path / "parts", **options, resume=True)
    states = [checkpoints_of(run).newest()[1] for run in (whole, resumed)]
    assert states[0].keys() == states[1].keys()
    for key, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][key], err_msg=key)
    tested = [[row["val_psnr"] for row in read_log(run.path / "log.csv")] for run in (whole, resumed)]
    assert tested[0] == tested[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "resnet20"}, "expected a denoiser for denoise:"),
        ({"augment": "crop_flip"}, "expected no augment"),
        ({"patch_size": 21}, "training images of at least patch_size=21 pixels a side. Received: 20"),
        ({"patch_size": 5, "set": {"filter_size": 7}}, "at least 6 pixels a side, .* Received: patch_size of 5$"),
        (
            {"patch_size": 12, "set": {"filter_size": 11, "filters": 1}},
            "at least 10 pixels .* Received: test image of 9$",
        ),
        ({"greedy_epochs": 2}, r"epochs >= greedy_epochs times the 2 stages\. Received: greedy_epochs=2, epochs=3"),
        ({"sigma": 0.0}, "expected sigma > 0"),
        ({"ema": 0.9}, "ema=0 with Adam"),
        ({"set": {"classes": 3}}, "expected no classes in set"),
        ({"set": {"filter_sise": 3}}, "did you mean 'filter_size'"),
    ],
)
def test_what_cannot_work_is_refused(folder, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        train(folder, tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_images_that_are_not_there_or_damaged_are_named(folder, tmp_path):
    with pytest.raises(ValueError, match=r"no such folder: '.*absent'"):
        prepare(config(tmp_path / "absent"))
    with pytest.raises(ValueError, match=r"expected images in a folder train\* of "):
        prepare(config(tmp_path))
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
    (tmp_path / "train" / "a.png").write_bytes((folder / "test" / "0.png").read_bytes()[:40])
    with pytest.raises(ValueError, match=r"a\.png"):
        prepare(config(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sigma": 25.0}, "expected sigma only with denoise:DIR"),
        ({"model": "tnrd5_5x5"}, "expected a classifier for digits"),
    ],
)
def test_classification_takes_nothing_of_it(arguments, message):
    with pytest.raises(ValueError, match=message):
        prepare(TrainConfig("digits", **arguments))
