"""The library, without training and export, runs on the JAX backend and imports no TensorFlow of its own."""

import os
import subprocess
import sys

import numpy as np
import pytest

from keras_mgnet.multigrid import solve, solver
from support import catalogue, slow_unless
from support.numerics import randomize

JAX = """
import sys
import numpy as np
import keras, keras_mgnet
from keras_mgnet import multigrid
assert keras.backend.backend() == "jax"
for name in {names!r}:
    model = keras.saving.load_model(f"{folder}/{{name}}.keras")
    x, expected = (np.load(f"{folder}/{{name}}_{{part}}.npy") for part in ("images", "logits"))
    logits = model.predict_on_batch(x)
    assert logits.shape == (len(x), 3)
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max(), err_msg=name)
    if name in {trained!r}:
        before = [w.numpy() for w in model.trainable_weights]
        loss = model.train_on_batch(x, np.arange(len(x)) % 3)
        assert np.isfinite(loss).all()
        assert all((b != w.numpy()).any() for b, w in zip(before, model.trainable_weights)), name
        keras_mgnet.describe(model)
f, expected = (np.load(f"{folder}/{{part}}.npy") for part in "fu")
u, history = multigrid.solve(multigrid.solver(15, smoother="red_black", dtype="float32"), f, tolerance=1e-5)
np.testing.assert_allclose(u, expected, rtol=1e-3, atol=1e-4)
assert abs(multigrid.convergence_factor(multigrid.solver(15, dtype="float32"), 15) - 0.345) < 0.02
assert "tensorflow" not in sys.modules
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
QUICK = ["mgnet_multistep"]
CHUNKS = [QUICK, *([name for name in NAMES if name not in QUICK][i::4] for i in range(4))]


@pytest.mark.parametrize("names", slow_unless(CHUNKS[:1], CHUNKS), ids=" ".join)
def test_a_file_saved_under_tensorflow_gives_the_same_logits_under_jax_and_trains(names, images, tmp_path):
    """A forward pass of each family, a training step of several kinds, and a solve of Poisson's equation."""
    pytest.importorskip("jax", reason="jax is not installed")
    for name in names:
        model = randomize(catalogue.build(name))
        model.save(tmp_path / f"{name}.keras")
        np.save(tmp_path / f"{name}_images.npy", images(model))
        np.save(tmp_path / f"{name}_logits.npy", model(images(model)))
    f = np.random.default_rng(0).normal(size=(2, 15, 15, 1)).astype("float32")
    np.save(tmp_path / "f.npy", f)
    np.save(tmp_path / "u.npy", solve(solver(15, smoother="red_black", dtype="float32"), f, tolerance=1e-5)[0])
    program = JAX.format(folder=tmp_path, names=names, trained=TRAINED)
    result = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", program],
        env=os.environ | {"KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
