"""Grouped convolutions train and are served on machines with and without oneDNN."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mgnet import ResNeXt, compat, export
from keras_mgnet.layers import Conv
from support.numerics import assert_close, randomize

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"


def run(program, onednn=None, **words):
    """Runs Python lines with TensorFlow's setting; returns what they print."""
    environment = {key: value for key, value in os.environ.items() if key != ONEDNN}
    environment |= {} if onednn is None else {ONEDNN: onednn}
    done = subprocess.run(
        [sys.executable, "-c", program.format(**words)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def dense(kernel, groups):
    """The kernel of the convolution without groups that does the same: zero from one group to another."""
    k_h, k_w, c, filters = kernel.shape
    whole = np.zeros((k_h, k_w, c * groups, filters), kernel.dtype)
    for g in range(groups):
        whole[:, :, g * c : (g + 1) * c, g * filters // groups : (g + 1) * filters // groups] = kernel[
            ..., g * filters // groups : (g + 1) * filters // groups
        ]
    return whole


def gradients(function, *values):
    values = [tf.constant(value) for value in values]
    with tf.GradientTape() as tape:
        tape.watch(values)
        y = function(*values)
        loss = tf.reduce_sum(tf.sin(y))
    return [y, *tape.gradient(loss, values)]


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("native", [True, False])
def test_groups_are_a_dense_convolution_with_zeros_and_so_are_their_gradients(native, strides, monkeypatch):
    if native and not compat.uses_onednn():
        pytest.skip("TensorFlow computes without oneDNN here, so it has no gradient of its own")
    monkeypatch.setattr(compat, "differentiates_groups", lambda dtype: native)
    groups, rng = 4, np.random.default_rng(0)
    conv = Conv(12, strides=strides, groups=groups)
    conv.build((None, 7, 6, 8))
    x, kernel = rng.normal(size=(2, 7, 6, 8)).astype("float32"), rng.normal(size=conv.kernel.shape).astype("float32")

    def grouped(x, kernel):
        with keras.StatelessScope([(conv.kernel, kernel)]):
            return conv(x)

    own = Conv(12, strides=strides)
    own.build((None, 7, 6, 8))

    def plain(x, kernel):
        with keras.StatelessScope([(own.kernel, kernel)]):
            return own(x)

    y, by_x, by_kernel = gradients(grouped, x, kernel)
    expected, expected_by_x, expected_by_whole = gradients(plain, x, dense(kernel, groups))
    assert_close(y, expected)
    assert_close(by_x, expected_by_x)
    assert_close(dense(by_kernel.numpy(), groups), np.where(dense(np.ones_like(kernel), groups), expected_by_whole, 0))


SERVE = """
import numpy as np, tensorflow as tf
loaded = tf.saved_model.load(r"{folder}")
print(*loaded.signatures["serving_default"](image=tf.constant(np.load(r"{images}")))["logits"].numpy().ravel())
"""


@pytest.mark.parametrize("onednn", ["0", "1"])
def test_an_exported_resnext_answers_in_a_server_with_and_without_onednn(onednn, images, tmp_path):
    """Grappler would join a grouped convolution with its norm; that kernel has no groups without oneDNN."""
    model = randomize(ResNeXt(11, cardinality=2, group_width=2, input_shape=(8, 8, 1), classes=3))
    np.save(tmp_path / "images.npy", images(model))
    folder = export.savedmodel(model, tmp_path / "resnext")
    printed = run(SERVE, onednn, folder=folder, images=tmp_path / "images.npy")
    expected = model(images(model), training=False)
    assert_close(np.array(printed.split(), "float32").reshape(expected.shape), expected)


@pytest.mark.parametrize("own", [None, "0", "1"])
def test_importing_the_package_before_tensorflow_turns_onednn_on_unless_the_user_decided(own):
    printed = run("import keras_mgnet, keras_mgnet.compat as c; print(c.uses_onednn())", own)
    assert printed.split() == [str(own != "0")]


def test_a_padded_stride_wants_a_square_kernel():
    with pytest.raises(ValueError, match=r"expected an integer kernel_size with strides > 1. Received: \(1, 3\)"):
        Conv(4, (1, 3), strides=2)
