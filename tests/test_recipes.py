"""Recipes against the code of their sources, and what a run is compiled with."""

import json
import math
import os
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

from keras_mgnet import MgNet, ResNet, create_model, list_models, model_info
from keras_mgnet.optimizers import SGD
from keras_mgnet.recipes import RECIPES
from keras_mgnet.training.data.dataset import load
from keras_mgnet.training.data.pipeline import test_batches as batches_of_test
from keras_mgnet.training.data.pipeline import train_batches
from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.loop.objective import compile_model, label_classes
from keras_mgnet.training.runs.ema import averaged_weights

STEPS = 4  # per epoch, in these tests


def every(epochs):
    return lambda epoch, step: 0.1 ** (epoch // epochs)


def at(*milestones):
    return lambda epoch, step: 0.1 ** sum(epoch >= milestone for milestone in milestones)


def cosine(epochs):
    return lambda epoch, step: 0.5 * (1 + math.cos(math.pi * (epoch * STEPS + step) / (epochs * STEPS)))


# The rate over that of the beginning, as a function of epoch and step from 0, written as the source has it.
SOURCES = {
    "xuteam": lambda epoch, step: 0.1 ** ((epoch + 1) // 50),  # adjust_learning_rate, with epochs from 1
    "kaust": every(30),
    "he2019_mnist": every(30),
    "he2019_resnet18": every(30),
    "he2019_resnet34": every(30),
    "he2019_imagenet": every(40),
    "lu2018_cifar10": at(80, 120),
    "lu2018_cifar100": at(150, 225),
    "lu2018_resnext": at(150, 225),
    "lu2018_imagenet": every(30),
    "densenet": at(150, 225),
    "densenet_imagenet": every(30),
    "resnext": lambda epoch, step: 0.1 ** (((epoch + 1) / 300 > 0.49) + ((epoch + 1) / 300 > 0.74)),
    "highway": at(80, 120),
    "stochastic_depth": lambda epoch, step: 0.1 ** ((epoch + 1 >= 250) + (epoch + 1 >= 375)),
    "shake_shake": cosine(1800),
    "revnet": lambda epoch, step: 0.1 ** ((epoch * 500 >= 40_000) + (epoch * 500 >= 60_000)),  # 500 steps an epoch
    "poly_mgnet": cosine(400),
    "tnrd": cosine(40),
    "larsson2017": at(200, 300, 350, 375),  # whenever half of the epochs that are left have passed
    "modern": lambda epoch, step: min(1, (epoch * STEPS + step + 1) / (5 * STEPS)) * cosine(200)(epoch, step),
}


@pytest.mark.parametrize("name", RECIPES)
def test_the_rate_is_that_of_the_source(name):
    recipe = RECIPES[name]
    rate = recipe.schedule(STEPS)
    around = {milestone + change for milestone in recipe.milestones for change in (-1, 0)}
    for epoch in sorted(around | {0, 1, 4, 5, recipe.epochs // 3, recipe.epochs - 1}):
        for step in (0, STEPS - 1):
            expected = recipe.learning_rate * SOURCES[name](epoch, step)
            assert float(rate(epoch * STEPS + step)) == pytest.approx(expected, rel=1e-4, abs=1e-8), (epoch, step)


@pytest.mark.parametrize("name", RECIPES)
def test_short_runs_take_a_cosine_and_longer_ones_do_not_squeeze_their_steps(name):
    recipe = RECIPES[name]
    assert recipe.scaled() == recipe.scaled(recipe.epochs) == recipe
    for epochs in set(range(1, 400)) - {recipe.epochs}:
        run = recipe.scaled(epochs)
        if run.curve == "step":
            assert epochs > 50 and sum(epochs - 10 <= milestone < epochs for milestone in run.milestones) <= 2
        else:
            assert run.curve == ("cosine" if recipe.curve == "step" else recipe.curve)


@pytest.mark.parametrize("epochs", [12, 60])
def test_the_schedule_is_that_of_a_run(epochs):
    for name in ("xuteam", "modern"):
        _, _, rate = prepared(name, epochs=epochs)
        ours = RECIPES[name].schedule(STEPS, epochs)
        assert all(float(rate(step)) == float(ours(step)) for step in range(epochs * STEPS))


@pytest.mark.parametrize(("arguments", "message"), [((0,), "steps_per_epoch >= 1"), ((5, 0), "epochs >= 1")])
def test_a_schedule_without_steps_is_refused(arguments, message):
    with pytest.raises(ValueError, match=f"expected {message}"):
        RECIPES["xuteam"].schedule(*arguments)


LIBRARY_ALONE = """
import sys
import keras
import keras_mgnet
model = keras.saving.load_model(sys.argv[1])
model.fit(keras.ops.ones((4, 8, 8, 1)), keras.ops.zeros(4), verbose=0)
assert "keras_mgnet.training" not in sys.modules
print(float(model.optimizer.learning_rate))
"""


@pytest.mark.parametrize("module", ["keras_mgnet.schedules", "keras_mgnet.training.schedule"], ids=["now", "before"])
def test_a_model_with_a_schedule_loads_without_the_training_package(module, tmp_path):
    """A file written before the schedules moved names their old module."""
    model = MgNet(nu=(1,), channels=2, input_shape=(8, 8, 1))
    model.optimizer.learning_rate = RECIPES["modern"].schedule(STEPS, epochs=200)
    model.fit(np.ones((4, 8, 8, 1)), np.zeros(4), verbose=0)
    model.save(tmp_path / "written.keras")
    with zipfile.ZipFile(tmp_path / "written.keras") as written, zipfile.ZipFile(tmp_path / "model.keras", "w") as file:
        for name in written.namelist():
            content = written.read(name)
            assert name != "config.json" or b'"keras_mgnet.schedules"' in content
            file.writestr(name, content.replace(b'"keras_mgnet.schedules"', f'"{module}"'.encode()))
    result = subprocess.run(
        [sys.executable, "-c", LIBRARY_ALONE, tmp_path / "model.keras"], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert float(result.stdout.splitlines()[-1]) == pytest.approx(0.1 * 3 / (5 * STEPS), rel=1e-3)


def test_a_model_knows_its_recipe():
    model = create_model("resnet56_stochastic_depth", base_width=2)
    assert model.recipe is RECIPES["stochastic_depth"]
    assert model.optimizer.get_config() == model.recipe.optimizer().get_config()
    assert MgNet(nu=(1,), channels=2, include_top=False).recipe is RECIPES["xuteam"]


def test_every_row_names_a_recipe():
    assert {model_info(name).recipe for name in list_models()} <= set(RECIPES)


@pytest.mark.parametrize(("name", "decayed"), [("xuteam", "all"), ("revnet", "kernels"), ("modern", "kernels")])
def test_the_variables_that_decay(name, decayed):
    """With a gradient of 0 the first step is w <- (1 - lr wd) w for them, times 1 + mu with Nesterov's."""
    recipe = RECIPES[name]
    model = MgNet(nu=(1,), channels=2, input_shape=(8, 8, 1))
    for variable in model.trainable_variables:
        variable.assign(np.ones(variable.shape))
    optimizer = recipe.optimizer()
    optimizer.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables], model.trainable_variables)
    factor = 1 - recipe.learning_rate * recipe.weight_decay * (1 + recipe.momentum * recipe.nesterov)
    for variable in model.trainable_variables:
        expected = factor if decayed == "all" or variable.name == "kernel" else 1.0
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-6, err_msg=variable.path)


# What a run is compiled with


def prepared(recipe="modern", dtype="float32", **changes):
    config = TrainConfig("digits", recipe=recipe, dtype=dtype, **{"epochs": 2, "batch_size": 500} | changes)
    config = config.resolve(RECIPES[recipe], channels=3)
    model = create_model(config.model, nu=(1,), channels=2, input_shape=(8, 8, 1), dtype=dtype)
    return model, config, compile_model(model, config, RECIPES[recipe], STEPS)


def fitted(model, config, epochs=1):
    data = load("digits")
    form = {"mean": data.mean, "std": data.std, "classes": label_classes(model, data.classes)}
    options = {"augment": config.augment, "label_smoothing": config.label_smoothing, "seed": 0}
    model.fit(train_batches(data.train, config.batch_size, **form, **options, epochs=epochs), shuffle=False, verbose=0)
    return model.evaluate(batches_of_test(data.test, 500, **form), verbose=0, return_dict=True)


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
    assert model.loss.from_logits is False and config.augment == "none"


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": "modren"}, "unknown recipe 'modren'; did you mean 'modern'"),
        ({"label_smoothing": 1.0}, r"expected label_smoothing < 1\. Received: label_smoothing=1\.0"),
        ({"ema": -0.1}, r"expected ema >= 0\. Received: ema=-0\.1"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
    ],
)
def test_refused_options(options, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig("digits", **options)


def test_an_option_comes_before_the_recipe():
    config = TrainConfig(
        "digits", schedule="constant", warmup_epochs=1.0, ema=0.0, augment="shift", label_smoothing=0.0
    )
    resolved = config.resolve(RECIPES["modern"], channels=3)
    assert (resolved.schedule, resolved.warmup_epochs, resolved.ema, resolved.augment) == (
        "constant",
        1.0,
        0.0,
        "shift",
    )


# Averages of the weights


def test_averages_against_numpy():
    """a <- e a + (1 - e) w with e = min(ema, t / (t + 9)); the weights are those without averages."""
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(20, 5)).astype("float32")
    start = rng.normal(size=5).astype("float32")
    plain, averaged = keras.Variable(start), keras.Variable(start)
    optimizers = SGD(0.1, momentum=0.9), SGD(0.1, momentum=0.9, ema_momentum=0.6)
    assert optimizers[1].averages == []
    twin = np.zeros(5)
    for number, gradient in enumerate(gradients):
        for optimizer, variable in zip(optimizers, (plain, averaged), strict=True):
            optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        e = min(0.6, number / (number + 9))
        twin = e * twin + (1 - e) * plain.numpy()
    optimizers[1].finalize_variable_values([averaged])
    np.testing.assert_array_equal(averaged.numpy(), plain.numpy())
    ((variable, average),) = optimizers[1].averages
    assert variable is averaged
    np.testing.assert_allclose(average.numpy(), twin, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_averaged_weights_come_and_go_bit_for_bit(dtype, tmp_path):
    model, config, _ = prepared("xuteam", dtype=dtype, ema=0.9)
    with averaged_weights(model):  # before the first step there is nothing to swap
        before = [w.numpy() for w in model.trainable_weights]
    fitted(model, config, epochs=2)
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    raw = [w.numpy() for w in model.trainable_weights]
    averages = [average.numpy() for _, average in optimizer.averages]
    assert all((w != a).any() for w, a in zip(raw, averages, strict=True))
    with averaged_weights(model):
        assert all(np.array_equal(w, a) for w, a in zip(model.trainable_weights, averages, strict=True))
        model.save(tmp_path / "model.keras")
    with pytest.raises(RuntimeError, match="in between"), averaged_weights(model):
        raise RuntimeError("in between")
    for value, weight, (_, average), kept in zip(
        raw, model.trainable_weights, optimizer.averages, averages, strict=True
    ):
        assert np.array_equal(value, weight) and np.array_equal(average, kept)
    assert any((b != w).any() for b, w in zip(before, raw, strict=True))
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert all(np.array_equal(w, a) for w, a in zip(loaded.trainable_weights, averages, strict=True))


class StopAtOnce(keras.callbacks.Callback):
    def on_test_batch_end(self, batch, logs=None):
        raise KeyboardInterrupt


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_stopped_evaluation_leaves_the_model_as_it_was(ema):
    model, config, _ = prepared("xuteam", ema=ema)
    fitted(model, config)
    before = [np.array(v) for v in model.variables + model.optimizer.variables]
    x, y = np.zeros((4, 8, 8, 1), "float32"), np.zeros(4, "int32")
    with pytest.raises(KeyboardInterrupt), averaged_weights(model):
        model.evaluate(x, y, callbacks=[StopAtOnce()], verbose=0)
    after = [np.array(v) for v in model.variables + model.optimizer.variables]
    assert all(np.array_equal(b, a) for b, a in zip(before, after, strict=True))


def test_models_without_averages_are_left_alone():
    model = ResNet(base_width=2, input_shape=(8, 8, 1))
    model.compile("adam", model.loss)
    before = [w.numpy() for w in model.weights]
    with averaged_weights(model):
        assert all(np.array_equal(b, w) for b, w in zip(before, model.weights, strict=True))


MIRRORED = """
import json, sys
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
from keras_mgnet import MgNet
from keras_mgnet.optimizers import SGD
from keras_mgnet.training.runs.ema import averaged_weights
x, y = np.random.default_rng(0).normal(size=(8, 8, 8, 1)).astype("float32"), np.arange(8) % 3
def run(scope):
    keras.utils.set_random_seed(0)
    with scope:
        model = MgNet(nu=(1,), channels=2, classes=3, input_shape=(8, 8, 1))
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False  # statistics of a share of the batch are not those of the batch
        model.compile(SGD(0.1, momentum=0.9, ema_momentum=0.5), model.loss, jit_compile=False)
    for _ in range(3):
        model.fit(tf.data.Dataset.from_tensor_slices((x, y)).batch(8), verbose=0)
    raw = [w.numpy() for w in model.trainable_weights]
    with averaged_weights(model):
        averages = [w.numpy() for w in model.trainable_weights]
        model.evaluate(x, y, batch_size=8, verbose=0)
    copies = [v.numpy() for w in model.trainable_weights for v in getattr(w.value, "values", [w.value])]
    back = [w.numpy() for w in model.trainable_weights]
    return raw, averages, back, copies
one = run(tf.distribute.get_strategy().scope())
two = run(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope())
assert len(two[3]) == 2 * len(two[0])
for raw, average, back, first, second in zip(*two[:3], two[3][::2], two[3][1::2]):
    assert (raw == back).all() and (raw == first).all() and (raw == second).all()
assert any((raw != average).any() for raw, average in zip(*two[:2]))
print(max(float(np.abs(a - b).max()) for mine, other in zip(one[:2], two[:2]) for a, b in zip(mine, other)))
"""


def test_averages_on_two_replicas_are_those_of_one():
    result = subprocess.run(
        [sys.executable, "-c", MIRRORED], capture_output=True, text=True, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert float(json.loads(result.stdout.splitlines()[-1])) < 1e-5
