"""Averages of the weights: put in place, taken back, on one replica and on two."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_mgnet import ResNet
from keras_mgnet.training.runs.ema import averaged_weights
from support.compiled import fitted, prepared


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
