"""The library, without training and export, runs on the JAX and PyTorch backends, in an installation without TensorFlow."""

import os
import subprocess
import sys

import numpy as np
import pytest

from keras_mgnet import MgNet
from keras_mgnet.multigrid import solve, solver
from support import catalogue, slow_unless
from support.numerics import randomize

PROGRAM = """
import sys
sys.modules["tensorflow"] = None  # as if it were not installed
import keras, keras_mgnet
import numpy as np
from keras_mgnet import export, multigrid
from keras_mgnet.analysis.multilevel_learning import resized
for name in {names!r}:
    model = keras.saving.load_model(f"{folder}/{{name}}.keras")
    found = np.load(f"{folder}/{{name}}.npz")
    logits = model.predict_on_batch(found["images"])
    np.testing.assert_allclose(logits, found["logits"], rtol=0, atol=1e-5 * np.abs(found["logits"]).max(), err_msg=name)
    model.save(f"{folder}/again.keras")
    again = keras.saving.load_model(f"{folder}/again.keras")
    assert all((a == b).all() for a, b in zip(again.get_weights(), model.get_weights(), strict=True)), name
    before = model.get_weights()
    loss = model.train_on_batch(found["images"], found["labels"])
    assert np.isfinite(loss).all(), name
    if "loss" in found:
        np.testing.assert_allclose(loss[0], found["loss"], rtol=1e-4, err_msg=name)
        for i, (old, new) in enumerate(zip(before, model.get_weights(), strict=True)):
            expected = found[f"moved_{{i}}"]
            np.testing.assert_allclose(new - old, expected, rtol=0, atol=1e-3 * np.abs(expected).max() + 1e-6, err_msg=name)
    keras_mgnet.describe(model)
small, again = (keras_mgnet.MgNet((1,), 4, input_shape=(8, 8, 1), classes=3) for _ in range(2))
x = np.ones((4, 8, 8, 1), "float32")
small.fit(x, np.arange(4) % 3, verbose=0)
keras_mgnet.save_torch_weights(small, f"{folder}/small.safetensors")
keras_mgnet.load_torch_weights(again, f"{folder}/small.safetensors")
assert all((a == b).all() for a, b in zip(again.get_weights(), small.get_weights(), strict=True))
assert resized(x, 0.5).shape[1:3] == (4, 4)
try:
    raise SystemExit(f"an export without TensorFlow: {{export.onnx(small, '{folder}/small.onnx')}}")
except ImportError as error:
    assert "pip install 'keras-mgnet[export]'" in str(error)
f, expected = (np.load(f"{folder}/{{part}}.npy") for part in "fu")
u, history = multigrid.solve(multigrid.solver(15, smoother="red_black", dtype="float32"), f, tolerance=1e-5)
np.testing.assert_allclose(u, expected, rtol=1e-3, atol=1e-4)
assert abs(multigrid.convergence_factor(multigrid.solver(15, dtype="float32"), 15) - 0.345) < 0.02
"""
REMAT = "mgnet_remat"
DRAWS = {"shake_shake", "fractalnet", "very_deep_polynet"}  # a training step draws random numbers
MORE = ("resnet18_shared_ab", "fb_resnet_both_linear", "leapfrog", REMAT)
NAMES = [*catalogue.ONE_PER_FAMILY, *MORE]
QUICK = ["mgnet_multistep"]
CHUNKS = [QUICK, *(NAMES[i::4] for i in range(4)), list(catalogue.MAPS)]


def recomputed():
    """A network that evaluates its iterations again for the gradient. RevNet recovers its states in place of that."""
    return MgNet((2, 2), 4, input_shape=(8, 8, 1), classes=3, remat=("level1", "level2"))


@pytest.mark.parametrize("backend", slow_unless(["jax"], ["jax", "torch"]))
@pytest.mark.parametrize("names", slow_unless(CHUNKS[:1], CHUNKS), ids=" ".join)
def test_a_file_of_tensorflow_gives_the_same_logits_and_trains_alike(names, backend, images, tmp_path):
    """A forward pass, a round trip and a training step of each family, and a solve of Poisson's equation."""
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    for name in names:
        model = randomize(recomputed() if name == REMAT else catalogue.build(name))
        x = images(model)
        model.save(tmp_path / f"{name}.keras")
        logits = model(x, training=False)
        labels = np.ones(logits.shape) if name in catalogue.MAPS else np.arange(len(x)) % 3
        found = {"images": x, "logits": logits, "labels": labels}
        if name not in DRAWS:
            before = model.get_weights()
            found["loss"] = model.train_on_batch(x, found["labels"])[0]
            found |= {
                f"moved_{i}": new - old for i, (old, new) in enumerate(zip(before, model.get_weights(), strict=True))
            }
        np.savez(tmp_path / f"{name}.npz", **found)
    f = np.random.default_rng(0).normal(size=(2, 15, 15, 1)).astype("float32")
    np.save(tmp_path / "f.npy", f)
    np.save(tmp_path / "u.npy", solve(solver(15, smoother="red_black", dtype="float32"), f, tolerance=1e-5)[0])
    program = PROGRAM.format(folder=tmp_path, names=names)
    result = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-W", "ignore::DeprecationWarning", "-c", program],
        env=os.environ | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
