"""Convolutions: what they sample, their adjoints and groups, and machines with and without oneDNN."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from keras.ops import convert_to_tensor as tensor

from keras_mgnet import ResNeXt, compat, export
from keras_mgnet.layers import Conv
from keras_mgnet.layers.operators.conv import initializer
from support.numerics import assert_close, normal, randomize
from support.twins import twin_conv

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
    monkeypatch.setattr("keras_mgnet.layers.operators.conv.differentiates_groups", lambda dtype: native)
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


@pytest.mark.slow
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
def test_importing_the_package_asks_tensorflow_for_onednn_unless_the_user_decided(own):
    printed = run(f"import keras_mgnet, os, sys; print(os.environ['{ONEDNN}'], 'tensorflow' in sys.modules)", own)
    assert printed.split() == [own or "1", "False"]


@pytest.mark.slow
@pytest.mark.parametrize("own", [None, "0", "1"])
def test_tensorflow_computes_with_onednn_as_it_was_asked(own):
    printed = run("import keras_mgnet, keras_mgnet.compat as c; print(c.uses_onednn())", own)
    assert printed.split() == [str(own != "0")]


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("kernel_size", [(1, 7), (5, 3), (3, 1)])
@pytest.mark.parametrize(("padded", "mode"), [(True, "constant"), ("periodic", "wrap"), ("reflect", "reflect")])
def test_the_two_sides_of_a_kernel_have_their_own_margins(padded, mode, kernel_size, strides):
    conv, x = Conv(4, kernel_size, strides=strides, padded=padded), normal(2, 8, 7, 3)
    rows, columns = (k // 2 for k in kernel_size)
    plain = Conv(4, kernel_size, strides=strides, padded=False)
    margins = ((0, 0), (rows, rows), (columns, columns), (0, 0))
    continued = tensor(np.pad(x, margins, mode))
    conv.build(x.shape)
    plain.build(x.shape)
    plain.kernel.assign(conv.kernel)
    assert_close(conv(x), plain(continued))
    assert tuple(conv(x).shape) == conv.compute_output_shape(x.shape)


@given(size=st.tuples(st.integers(1, 9), st.integers(1, 9)), k=st.sampled_from([1, 3, 7]), s=st.sampled_from([1, 2]))
def test_convolution_samples_the_pixels_0_2_4(size, k, s):
    conv = Conv(2, k, strides=s, dtype="float64")
    x = np.random.default_rng(0).normal(size=(2, *size, 3))
    y = conv(keras.ops.convert_to_tensor(x))
    padded = np.pad(x, ((0, 0), (k, k), (k, k), (0, 0)))
    full = twin_conv(padded, conv.kernel.numpy())[:, k:-k, k:-k]
    np.testing.assert_allclose(y, full[:, ::s, ::s], rtol=1e-9, atol=1e-9)
    assert tuple(y.shape) == conv.compute_output_shape(x.shape)


@given(size=st.integers(3, 12), k=st.sampled_from([1, 3]), s=st.sampled_from([1, 2]))
def test_convolution_without_padding(size, k, s):
    conv = Conv(2, k, strides=s, padded=False, dtype="float64")
    x = np.random.default_rng(0).normal(size=(1, size, size, 2))
    y = np.asarray(conv(keras.ops.convert_to_tensor(x)))
    m = k // 2
    expected = twin_conv(x, conv.kernel.numpy())[:, m : size - m : s, m : size - m : s]
    np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-9)
    assert y.shape == conv.compute_output_shape(x.shape)


def test_rectangular_kernels_are_not_transposed():
    conv = Conv(1, (1, 7))
    x = np.zeros((1, 9, 9, 1), "float32")
    x[0, 4, 4] = 1
    y = conv(x)[0, :, :, 0].numpy()
    assert np.flatnonzero(y.any(axis=1)).tolist() == [4] and np.count_nonzero(y) == 7


@given(
    size=st.tuples(st.integers(3, 9), st.integers(3, 9)),
    k=st.sampled_from([1, 3, 5]),
    s=st.sampled_from([1, 2]),
    padded=st.booleans(),
)
def test_adjoint_of_a_convolution(size, k, s, padded):
    size = tuple(n + k for n in size)
    conv = Conv(4, k, strides=s, padded=padded, dtype="float64")
    rng = np.random.default_rng(0)
    x = tensor(rng.normal(size=(2, *size, 3)))
    y = conv(x).numpy()
    z = rng.normal(size=y.shape)
    back = conv.adjoint(tensor(z), size).numpy()
    assert back.shape == tuple(x.shape)
    assert abs(np.vdot(y, z) - np.vdot(x, back)) <= 1e-12 * np.linalg.norm(y) * np.linalg.norm(z)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("groups", [2, 6])
def test_grouped_convolutions_are_those_of_their_groups(groups, dtype):
    conv, x = Conv(12, strides=2, groups=groups, dtype=dtype), normal(2, 7, 6, 6)
    x = keras.ops.cast(x, dtype)
    y, size = conv(x), 6 // groups
    for g in range(groups):
        own = Conv(12 // groups, strides=2, dtype=dtype)
        own.build((None, 7, 6, size))
        part = slice(g * 12 // groups, (g + 1) * 12 // groups)
        own.kernel.assign(conv.kernel[..., part])
        np.testing.assert_allclose(y[..., part], own(x[..., g * size : (g + 1) * size]), rtol=1e-4, atol=1e-5)


def test_xavier_is_caffes():
    values = initializer("xavier")((3, 3, 4, 100)).numpy()
    bound = np.sqrt(3 / (9 * 4))
    assert 0.99 * bound < np.abs(values).max() <= bound
    np.testing.assert_allclose(values.std(), bound / np.sqrt(3), rtol=0.05)


@pytest.mark.parametrize("filters", [3, 6])
def test_partial_identity_copies_its_input_first(filters):
    conv, x = Conv(filters, init="identity"), normal(2, 5, 6, 4)
    same = min(4, filters)
    np.testing.assert_allclose(conv(x)[..., :same], x[..., :same], atol=1e-6)
    random = np.abs(conv.kernel.numpy()[..., same:])
    assert np.all((random > 0) & (random <= 1 / 6))
