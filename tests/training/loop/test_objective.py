"""What a run is compiled with: its loss, its labels, its optimiser."""

import keras
import numpy as np
import pytest

from keras_mgnet import MgNet
from keras_mgnet.recipes import RECIPES
from keras_mgnet.training.data.dataset import load
from keras_mgnet.training.data.pipeline import test_batches as batches_of_test
from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.loop.objective import compile_model, label_classes
from support.compiled import STEPS, fitted, prepared


def test_the_modern_recipe():
    model, config, rate = prepared()
    assert (config.augment, config.label_smoothing, config.ema) == ("rand_augment_cut_mix", 0.1, 0.999)
    assert config.warmup_epochs == pytest.approx(5 * 2 / 200)  # scales with the run
    optimizer = model.optimizer
    assert (optimizer.nesterov, optimizer.decayed, optimizer.ema_momentum) == (True, "kernels", 0.999)
    assert float(rate(0)) == float(optimizer.learning_rate)
    assert label_classes(model, 10) == 10
    assert set(fitted(model, config)) == {"loss", "accuracy"}


@pytest.mark.parametrize(
    ("changes", "one_hot"),
    [({}, False), ({"label_smoothing": 0.1}, True), ({"augment": "cut_mix"}, True), ({"ema": 0.9}, False)],
)
def test_the_loss_takes_one_hot_labels_where_they_are_smoothed_or_mixed(changes, one_hot):
    model, config, _ = prepared("xuteam", **changes)
    assert label_classes(model, 10) == (10 if one_hot else None)
    result = fitted(model, config)
    assert result == pytest.approx(evaluated(model), rel=1e-4)


def test_gradients_are_clipped_and_added_up():
    model, _, rate = prepared("xuteam", epochs=2, accumulate=3, clip_norm=0.5, schedule="cosine")
    optimizer = model.optimizer
    assert (optimizer.gradient_accumulation_steps, optimizer.global_clipnorm) == (3, 0.5)
    updates = 2 * 2  # of four steps each three make an update, and the last one goes on in the next epoch
    assert float(rate(updates)) == pytest.approx(0, abs=1e-8) and float(rate(updates - 1)) > 0
    plain, _, _ = prepared("xuteam")
    assert plain.optimizer.gradient_accumulation_steps is None and plain.optimizer.global_clipnorm is None


def evaluated(model):
    """The numpy twin of cross-entropy and accuracy on the test images of digits."""
    data = load("digits")
    x = (data.test.images / 255 - data.mean) / data.std
    logits = np.asarray(model(x.astype("float32")), "float64")
    log = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    labels = data.test.labels
    return {"loss": -log[np.arange(len(log)), labels].mean(), "accuracy": (log.argmax(axis=1) == labels).mean()}


def test_smoothed_loss_against_numpy():
    """Cross-entropy with (1 - e) y + e / K."""
    model, _, _ = prepared("xuteam", label_smoothing=0.2)
    logits = np.random.default_rng(0).normal(size=(6, 10))
    labels = 0.8 * np.eye(10)[[0, 3, 3, 9, 1, 5]] + 0.02
    log = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert float(model.loss(labels, logits)) == pytest.approx(-(labels * log).sum(axis=1).mean(), rel=1e-5)


def test_softmax_outputs_keep_their_loss():
    model = MgNet(nu=(1,), channels=2, input_shape=(8, 8, 1), classifier_activation="softmax")
    config = TrainConfig("digits", recipe="modern").resolve(RECIPES["modern"], channels=1)
    compile_model(model, config, RECIPES["modern"], STEPS)
    assert model.loss.get_config()["from_logits"] is False and config.augment == "none"


def test_a_compiled_model_survives_its_file(tmp_path):
    model, config, _ = prepared()
    result = fitted(model, config)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)
    for ours, theirs in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    data = load("digits")
    form = {"mean": data.mean, "std": data.std, "classes": label_classes(loaded, 10)}
    again = loaded.evaluate(batches_of_test(data.test, 500, **form), verbose=0, return_dict=True)
    assert again == pytest.approx(result, rel=1e-5)
