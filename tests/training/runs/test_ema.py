"""Averages of the weights: put in place and taken back; on two replicas in `test_strategy`."""

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
