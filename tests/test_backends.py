"""The library, without training and export, runs on the JAX backend and imports no TensorFlow of its own."""

import os
import subprocess
import sys

import numpy as np
import pytest

from support import ROOT, catalogue, slow_unless
from support.numerics import randomize

TESTS = str(ROOT / "tests")

JAX = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np
import keras, keras_mgnet
from support import ROOT, catalogue
assert keras.backend.backend() == "jax"
for name in {names!r}:
    model = catalogue.build(name)
    x = np.random.default_rng(0).normal(size=(6, *model.input_shape[1:])).astype("float32")
    assert model(x).shape == (6, 3)
    if name in {trained!r}:
        before = [w.numpy() for w in model.trainable_weights]
        loss = model.train_on_batch(x, np.arange(6) % 3)
        assert np.isfinite(loss).all()
        assert all((b != w.numpy()).any() for b, w in zip(before, model.trainable_weights)), name
        keras_mgnet.describe(model)
assert "tensorflow" not in sys.modules
"""
SAME = """
import keras, keras_mgnet, numpy as np
np.save({output!r}, np.asarray(keras.saving.load_model({saved!r})(np.load({images!r}))))
"""
TRAINED = {
    "mgnet_multistep",
    "resnet18_shared_ab",
    "lm_resnet14",
    "shake_shake",
    "fb_resnet_both_linear",
    "vcycle_mgnet",
    "revnet",
    "leapfrog",
}
NAMES = [*catalogue.ONE_PER_FAMILY, *sorted(TRAINED - set(catalogue.ONE_PER_FAMILY))]
CHUNKS = [NAMES[i::4] for i in range(4)]


def run(program, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", program],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("names", slow_unless(CHUNKS[:1], CHUNKS), ids=" ".join)
def test_jax(names):
    """A forward pass of each family, and a training step of several kinds."""
    pytest.importorskip("jax", reason="jax is not installed")
    result = run(JAX.format(tests=TESTS, names=names, trained=TRAINED), KERAS_BACKEND="jax")
    assert result.returncode == 0, result.stderr


def test_a_file_saved_under_tensorflow_gives_the_same_logits_under_jax(images, tmp_path):
    pytest.importorskip("jax", reason="jax is not installed")
    model = randomize(catalogue.build("mgnet_chebyshev"))
    x = images(model)
    paths = {key: str(tmp_path / key) for key in ("saved.keras", "images.npy", "output.npy")}
    model.save(paths["saved.keras"])
    np.save(paths["images.npy"], x)
    names = {key.partition(".")[0]: path for key, path in paths.items()}
    result = run(SAME.format(**names), KERAS_BACKEND="jax")
    assert result.returncode == 0, result.stderr
    np.testing.assert_allclose(np.load(paths["output.npy"]), model(x), rtol=1e-3, atol=1e-4)
