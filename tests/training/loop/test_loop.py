"""The training loop on real digits: what a run leaves, resumes nothing silently, survives Ctrl-C."""

import io
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from keras_mgnet import ResNet, count_params, create_model
from keras_mgnet.images import normalize
from keras_mgnet.layers.operators.whitening import whitening_kernel
from keras_mgnet.recipes import RECIPES
from keras_mgnet.training.data.dataset import load
from keras_mgnet.training.loop import callbacks, loop, task
from keras_mgnet.training.loop.averaging import averaged
from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.loop.inference import evaluate, predict
from keras_mgnet.training.runs.compare import compare, write_comparison
from keras_mgnet.training.runs.measure import described
from keras_mgnet.training.runs.run import Run, new_run_directory, open_run, read_log
from support.runs import stop_at

FILES = ["best.keras", "checkpoints", "curves.png", "last.keras", "log.csv", "run.json", "samples.npz", "tensorboard"]


def digits_run(out, **changes):
    config = {
        "dataset": "digits",
        "set": {"nu": [1, 1], "channels": 16},
        "epochs": 5,
        "batch_size": 64,
        "out": str(out),
    }
    return loop.train(TrainConfig(**config | {"learning_rate": 0.1} | changes), Console(file=io.StringIO()))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return digits_run(tmp_path_factory.mktemp("runs") / "a", schedule="cosine", warmup_epochs=0.5, augment="shift")


def test_a_run_leaves_its_files_and_its_record(run):
    assert sorted(path.name for path in run.path.iterdir()) == FILES
    rows = read_log(run.path / "log.csv")
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "images_per_second"} <= set(rows[0])
    result = run.record["result"]
    assert result["status"] == "finished"
    assert result["last_test_accuracy"] == float(rows[-1]["val_accuracy"])
    assert result["best_test_accuracy"] == max(float(row["val_accuracy"]) for row in rows)
    assert run.record["config"]["momentum"] == RECIPES["xuteam"].momentum
    assert run.record["model"]["params"] == count_params(run.load_model())
    assert set(run.record["versions"]) >= {"python", "keras", "tensorflow", "keras-mgnet", "backend"}
    assert list((run.path / "tensorboard").rglob("events*"))
    assert (run.path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_record_older_than_an_argument_means_its_default(run):
    config = {key: value for key, value in run.record["model"]["config"].items() if key != "remat"}
    older = Run(run.path, run.record | {"model": run.record["model"] | {"config": config}})
    assert count_params(older.load_model()) == run.record["model"]["params"]
    other = Run(run.path, run.record | {"model": {"config": config | {"remat": ["level1"]}}})
    with pytest.raises(ValueError, match="different remat"):
        other.load_model()


def test_it_learns(run):
    assert run.record["result"]["last_test_accuracy"] > 0.5


def test_evaluate_agrees_with_the_log(run):
    result = evaluate(run)
    assert result["accuracy"] == pytest.approx(run.record["result"]["last_test_accuracy"])
    assert evaluate(run, "best")["accuracy"] == pytest.approx(run.record["result"]["best_test_accuracy"])


def test_views_are_reported_apart_from_the_plain_accuracy(run):
    """The run shifts its images and does not mirror them."""
    result = evaluate(run, views=True)
    assert result.items() >= evaluate(run).items()
    model, data = run.load_model(), load("digits")
    images = normalize(data.test.images.astype("float32"), data.mean, data.std)
    framed = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
    views = {0.5: [images], 0.25: [framed[:, 2:, 2:], framed[:, :-2, :-2]]}
    plain, mirrored = (
        sum(weight * model.predict(x[:, :, ::step], verbose=0) for weight, several in views.items() for x in several)
        for step in (1, -1)
    )
    expected = np.mean(plain.argmax(axis=-1) == data.test.labels)
    assert result["views_accuracy"] == pytest.approx(expected, abs=2 / len(images))
    np.testing.assert_allclose(averaged(model, flip=True)(images), (plain + mirrored) / 2, atol=1e-4)


def test_a_run_whitens_its_stem_by_its_training_images_and_keeps_it(tmp_path):
    run = digits_run(tmp_path / "w", epochs=1, recipe="fast", set={"nu": [1], "channels": 4, "stem": "whitening"})
    data = load("digits")
    images = normalize(data.train.images.astype("float32"), data.mean, data.std)
    kernel = run.load_model().get_layer("stem").whitening.kernel
    np.testing.assert_allclose(kernel, whitening_kernel(images, 2), rtol=1e-4, atol=1e-4)


def test_steps_that_run_together_give_the_same_run(run, tmp_path):
    together = digits_run(
        tmp_path / "b", schedule="cosine", warmup_epochs=0.5, augment="shift", steps_per_execution=4, checkpoint_steps=5
    )
    for one, other in zip(run.load_model().get_weights(), together.load_model().get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
    losses = [[row["loss"] for row in read_log(r.path / "log.csv")] for r in (run, together)]
    np.testing.assert_allclose(*np.array(losses, float), rtol=1e-4)


def test_with_many_classes_the_top_5_accuracy_is_measured_too(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"x_train": (300, 8, 8, 1), "x_test": (200, 8, 8, 1)}
    images = {name: rng.integers(0, 256, shape, dtype=np.uint8) for name, shape in arrays.items()}
    np.savez(tmp_path / "set.npz", **images, y_train=np.arange(300) % 100, y_test=np.arange(200) % 100)
    run = digits_run(tmp_path / "run", dataset=f"npz:{tmp_path / 'set.npz'}", epochs=1)
    outputs = run.load_model().predict(normalize(images["x_test"].astype("float32"), *run.normalization), verbose=0)
    ranks = (outputs > outputs[np.arange(200), np.arange(200) % 100][:, None]).sum(axis=1)
    result = run.record["result"]
    assert result["last_test_top5_accuracy"] == pytest.approx((ranks < 5).mean())
    assert result["last_test_accuracy"] == pytest.approx((ranks < 1).mean())
    assert evaluate(run)["top5_accuracy"] == pytest.approx(result["last_test_top5_accuracy"])
    assert f"top-5 {result['best_test_top5_accuracy']:.2%} in epoch 1" in described(result)
    (entry,) = compare([run])
    assert entry.top5 == (result["last_test_top5_accuracy"],)
    (text, _) = write_comparison([entry], tmp_path / "comparison")
    assert f"(top-5 {100 * entry.top5[0]:.2f} %)" in text.read_text()


def test_the_same_seed_gives_the_same_run(run, tmp_path, monkeypatch):
    stop_at(monkeypatch, 30)  # in the second epoch
    again = digits_run(tmp_path / "b", schedule="cosine", warmup_epochs=0.5, augment="shift")
    assert again.record["result"]["epochs"] == 1
    losses = [float(read_log(r.path / "log.csv")[0]["loss"]) for r in (run, again)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_predict_names_the_digit_of_a_file(run, tmp_path):
    from PIL import Image

    digits = load("digits").test
    correct = evaluate(run)["accuracy"]
    paths = []
    for i, image in enumerate(digits.images[:60]):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(image.squeeze(-1)).convert("RGB").save(paths[-1])
    predictions = predict(run, paths, top=2)
    assert [prediction["image"] for prediction in predictions] == [str(path) for path in paths]
    named = [next(iter(prediction["classes"])) for prediction in predictions]
    assert np.mean([int(name) == label for name, label in zip(named, digits.labels, strict=False)]) > correct - 0.15
    for prediction in predictions:
        first, second = prediction["classes"].values()
        assert 0 <= second <= first <= 1


def test_predict_names_an_unreadable_file(run, tmp_path):
    (tmp_path / "x.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"expected a readable image\. Received: .*x\.png"):
        predict(run, [tmp_path / "x.png"])


def test_evaluate_refuses_another_kind_of_data(run, tmp_path):
    images, labels = np.zeros((5, 8, 8, 1), "uint8"), np.arange(5)
    np.savez(tmp_path / "d.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    with pytest.raises(ValueError, match="expected images"):
        evaluate(run, dataset=f"npz:{tmp_path / 'd.npz'}")


def test_a_classifier_is_asked_for_classes_alone(run, tmp_path):
    with pytest.raises(ValueError, match=rf"expected a data set with classes for .*Received: denoise:{tmp_path}"):
        evaluate(run, dataset=f"denoise:{tmp_path}")


def test_a_run_knows_its_files_from_anywhere_and_its_version():
    assert TrainConfig("folder:photos").dataset == f"folder:{Path('photos').absolute()}"
    assert TrainConfig("cifar10:3.0.2").dataset == "cifar10:3.0.2"


def test_a_run_directory_of_another_model_is_refused(run, tmp_path):
    other = digits_run(tmp_path / "other", set={"nu": [1], "channels": 4}, epochs=1)
    (other.path / "last.keras").write_bytes((run.path / "last.keras").read_bytes())
    with pytest.raises(ValueError, match=r"to hold the model of its run\.json\. Received: different .*nu"):
        other.load_model()
    with pytest.raises(ValueError, match=r"expected a new or empty run directory.*a run of mgnet\S* on digits"):
        digits_run(other.path)
    (other.path / "best.keras").unlink()
    with pytest.raises(ValueError, match=r"no such checkpoint: '.*best\.keras'"):
        other.load_model("best")
    with pytest.raises(ValueError, match="unknown checkpoint 'lats'; did you mean 'last'"):
        other.load_model("lats")


def test_runs_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i in (1, 2, 3):
        path = new_run_directory(None, "folder:a/b", "resnet18")
        assert path.name == f"folder_b-resnet18-00{i}"
        path.mkdir(parents=True)


def test_a_failed_run_says_so(tmp_path, monkeypatch):
    def fail(self, batch, logs=None):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(callbacks.StepWatch, "on_train_batch_end", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        digits_run(tmp_path / "run")
    assert open_run(tmp_path / "run").record["result"]["status"] == "failed"


def test_a_second_interrupt_acts_at_once(tmp_path, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(task.Classification, "train_batches", interrupt)
    run = digits_run(tmp_path / "run")
    assert run.record["result"] | {"seconds": 0} == {"status": "interrupted", "seconds": 0, "epochs": 0}


def test_a_folder_run_is_evaluated_from_anywhere(tmp_path, monkeypatch):
    from PIL import Image

    for i in range(10):
        folder = tmp_path / "photos" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9 + i, 12), (25 * i, 0, 0)).save(folder / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    run = digits_run(tmp_path / "run", dataset="folder:photos", image_size=8, epochs=1, augment="crop_flip")
    monkeypatch.chdir(tmp_path / "run")
    assert evaluate(run)["images"] == 2


@pytest.mark.slow
def test_classic_networks_train_too(tmp_path):
    run = digits_run(tmp_path / "run", model="resnet18_shared_ab", set={"base_width": 2}, epochs=1)
    assert isinstance(run.load_model(), ResNet)


def test_an_imagenet_preset_takes_the_small_stem_for_small_images():
    prepared = loop.prepare(TrainConfig("digits", model="resnet18_imagenet", set={"base_width": 2}))
    assert prepared.model.get_layer("level1").output.shape[1:3] == (8, 8)


def test_a_short_run_of_before_goes_on_with_its_steps(tmp_path):
    options = {"epochs": 1, "set": {"nu": [1], "channels": 2}, "batch_size": 500}
    digits_run(tmp_path / "run", schedule="step", **options)  # what the record of an older run says
    with pytest.raises(ValueError, match=r"expected schedule='step' as in the run in .*schedule='cosine'"):
        digits_run(tmp_path / "run", resume=True, **options)
    assert digits_run(tmp_path / "run", resume=True, schedule="step", **options).record["config"]["schedule"] == "step"


def test_training_starts_from_a_trained_network_of_the_package():
    config = TrainConfig("digits", weights="mgnet_digits")
    assert config.set == {"nu": [2, 2], "channels": [8, 16]}
    models = loop.prepare(config).model, open_run("mgnet_digits").load_model()
    for ours, theirs in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("as_argument", [False, True])
@pytest.mark.parametrize("stem", ["cifar", "whitening"])
def test_training_starts_from_weights_of_other_classes(as_argument, stem, tmp_path):
    network, path = {"nu": [1], "channels": 2, "stem": stem}, str(tmp_path / "w.weights.h5")
    trained = create_model("mgnet_2222_c64_shared_b", **network, input_shape=(8, 8, 1), classes=3)
    trained.save_weights(path)
    given = {"set": network | {"weights": path}} if as_argument else {"set": network, "weights": path}
    with pytest.warns(
        UserWarning, match=r"left out the classifier of .*kernel \(2, 3\) .* do not fit kernel \(2, 10\)"
    ):
        model = loop.prepare(TrainConfig("digits", **given)).model
    for ours, theirs in zip(model.get_weights()[:-2], trained.get_weights()[:-2], strict=True):
        np.testing.assert_array_equal(ours, theirs)


SCALED = {"set": {"nu": [1], "channels": 2}, "dtype": "mixed_float16", "ema": 0.9, "epochs": 1, "batch_size": 512}


@pytest.mark.parametrize("options", [{}, SCALED])
def test_the_files_of_a_run_can_be_trained_on(run, options, tmp_path):
    """At the starting rate and without momentum, whatever the rate was at the end; the checkpoint has the state of the run."""
    run = digits_run(tmp_path / "run", **options) if options else run
    digits = load("digits").train
    for name in ("last", "best"):
        model = keras.saving.load_model(run.path / f"{name}.keras")
        optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        assert float(optimizer.learning_rate) == pytest.approx(0.1) and int(optimizer.iterations) == 0
        before = model.get_weights()
        model.fit(normalize(digits.images[:64], *run.normalization), digits.labels[:64], verbose=0)
        changed = [np.abs(new - old).max() for new, old in zip(model.get_weights(), before, strict=True)]
        assert max(changed) > 1e-3


def test_a_model_that_was_compiled_for_labels_predicts_each_by_itself(run, tmp_path):
    model = run.load_model()
    model.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True))
    model.save(tmp_path / "last.keras")
    Image.fromarray(load("digits").test.images[0, ..., 0]).save(tmp_path / "digit.png")
    (prediction,) = predict(Run(tmp_path, run.record), [tmp_path / "digit.png"], top=10)
    image = normalize(load("digits").test.images[:1], *run.normalization)
    expected = keras.ops.convert_to_numpy(keras.ops.sigmoid(model(image, training=False)))[0]
    received = [prediction["classes"][str(c)] for c in range(10)]
    np.testing.assert_allclose(received, expected, atol=1e-6)
