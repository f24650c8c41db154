"""Levels that are evaluated again for the gradient: the same gradients, statistics that move once, and less memory."""

import os
import subprocess
import sys
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import randomize

from keras_mgnet import HighwayNet, LMResNet, MgNet, PreActResNet, VCycleMgNet

SMALL = {"input_shape": (8, 8, 1)}
NETWORKS = {
    "MgNet": partial(MgNet, (2, 2), 4, **SMALL),
    "V-cycle": partial(VCycleMgNet, nu=(2, 2), channels=4, **SMALL),
    "stochastic depth": partial(PreActResNet, 20, blocks=(2, 2), base_width=4, survival=0.5, **SMALL),
    "LM-ResNet": partial(LMResNet, 20, blocks=(2, 2), base_width=4, **SMALL),
}
MODES = {"eager": lambda f: f, "graph": tf.function, "xla": partial(tf.function, jit_compile=True)}


def gradients(network, remat, mode):
    """Gradients of a loss in training, by all weights, and what the step made of the other variables."""
    keras.utils.set_random_seed(0)
    model = randomize(NETWORKS[network](remat=remat))
    images = np.random.default_rng(1).normal(size=(4, 8, 8, 1)).astype("float32")

    def gradient():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(images, training=True)))
        return tape.gradient(loss, [v.value for v in model.trainable_variables], unconnected_gradients="zero")

    return [g.numpy() for g in MODES[mode](gradient)()], [v.numpy() for v in model.non_trainable_variables]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("network", NETWORKS)
def test_gradients_and_statistics_are_those_of_stored_states(network, mode):
    if (network, mode) == ("V-cycle", "eager"):
        pytest.skip("the same operations as in graph mode, one by one")
    (found, moved), (expected, reference) = (gradients(network, names, mode) for names in (("level1", "level2"), ()))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * max(1, np.abs(b).max()))
    for a, b in zip(moved, reference, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_the_option_is_kept_in_files_and_costs_convolutions_in_training_alone(tmp_path):
    model = NETWORKS["MgNet"](remat=("level1",))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x = tf.zeros((2, 8, 8, 1))

    def convolutions(model, training):
        def gradient():
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = model(x, training=training)
            return tape.gradient(y, x)

        graph = tf.function(gradient).get_concrete_function().graph
        return sum(operation.type == "Conv2D" for operation in graph.get_operations())

    kept = NETWORKS["MgNet"]()
    assert convolutions(loaded, False) == convolutions(kept, False)
    assert convolutions(loaded, True) == convolutions(kept, True) + 4  # A and B of each iteration of the first level


@pytest.mark.parametrize("remat", ["level1", ("level3",), (1,)])
def test_names_of_no_level_are_refused(remat):
    with pytest.raises(ValueError, match=r"expected remat to .*Received"):
        NETWORKS["MgNet"](remat=remat)


def test_levels_that_cannot_are_named():
    with pytest.raises(ValueError, match="expected remat to name levels of none"):
        HighwayNet(nu=(1, 1), channels=(4, 4), **SMALL, remat=("level1",))


JAX = """
import sys
import jax, numpy as np
from jax import numpy as jnp
from keras_mgnet import MgNet

def program(nu, remat, channels, size):
    net = MgNet((nu,), channels, input_shape=(size, size, 1), remat=("level1",) if remat else ())
    rng = np.random.default_rng(0)
    net.set_weights([np.abs(rng.normal(size=weight.shape)) for weight in net.weights])
    images = jnp.asarray(rng.normal(size=(8, size, size, 1)), "float32")
    trained, other = ([v.value for v in vs] for vs in (net.trainable_variables, net.non_trainable_variables))

    def loss(trained, images):
        logits, moved = net.stateless_call(trained, other, images, training=True)
        return jnp.mean(logits * logits), moved

    return jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True)).lower(trained, images).compile(), trained, images

results = []
for remat in (True, False):
    run, *arguments = program(2, remat, 4, 8)
    results.append(jax.tree.leaves(run(*arguments)))
for a, b in zip(*results, strict=True):
    assert np.abs(a - b).max() <= 1e-4 * max(np.abs(b).max(), 1), (a.shape, np.abs(a - b).max(), np.abs(b).max())
assert "tensorflow" not in sys.modules
"""


def test_on_jax():
    pytest.importorskip("jax", reason="jax is not installed")
    quick = {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    result = subprocess.run([sys.executable, "-c", JAX], env=os.environ | quick, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
