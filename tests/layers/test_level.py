"""Levels that are undone exactly, and that train without stored states."""

import json
import os
import subprocess
import sys
from functools import partial
from itertools import product
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from support import slow_unless
from support.numerics import randomize
from support.reversible import STABLE, level_of, relative

SCHEMES = ("revnet", *STABLE)
TOLERANCES = {"float64": 1e-12, "mixed_bfloat16": 2e-2, "float32": 1e-4}
FAST = [("revnet", "mixed_bfloat16"), *((scheme, "float64") for scheme in SCHEMES)]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("scheme", "dtype"), slow_unless(FAST, [*product(SCHEMES, TOLERANCES)]))
def test_the_inverse_recovers_the_state_at_entry(scheme, dtype, training, monkeypatch):
    level, draw = level_of(scheme, 9 if scheme == "revnet" else 20, dtype=dtype)
    state = draw()
    monkeypatch.setattr("keras_mgnet.layers.operators.norm.MOMENTUM", 0.0)
    level(*state, training=True)  # moving statistics that fit the data, as trained ones do
    last = level(*state, training=training)
    assert relative(last[1], state[1]) > 1e-3
    before = [w.numpy() for w in level.non_trainable_variables]
    for computed, expected in zip(level.inverse(*last, training=training), state, strict=True):
        assert relative(computed, expected) <= TOLERANCES[dtype]
    np.testing.assert_equal([w.numpy() for w in level.non_trainable_variables], before)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "bfloat16"])
def test_states_have_float32_where_the_branches_compute_in_less(dtype):
    level, draw = level_of("revnet", 2, dtype=dtype)
    assert {tensor.dtype for tensor in level(*draw())} == {tf.float32}
    assert {tensor.dtype for tensor in level.output} == {"float32"}


MODES = {"eager": lambda f: f, "graph": tf.function, "xla": partial(tf.function, jit_compile=True)}


def gradients(level, state, mode):
    """Gradients by the states and all weights of a loss that reads both outputs, and what training made of the statistics."""
    rng = np.random.default_rng(1)
    weights = [keras.ops.convert_to_tensor(rng.normal(size=x.shape), x.dtype) for x in state]

    def gradient():
        with tf.GradientTape() as tape:
            tape.watch(state)
            loss = sum(tf.reduce_mean(w * x) for w, x in zip(weights, level(*state, training=True), strict=True))
        return tape.gradient(loss, [*state, *(v.value for v in level.trainable_variables)])

    return MODES[mode](gradient)(), [v.numpy() for v in level.non_trainable_variables]


def compared(scheme, mode, blocks=3, **options):
    """Largest relative difference of gradients between recomputed and stored states; moving statistics must agree as well."""
    results = []
    for memory_free in (True, False):
        level, draw = level_of(scheme, blocks, memory_free=memory_free, **options)
        results.append(gradients(level, draw(), mode))
    (computed, moved), (expected, reference) = results
    for a, b in zip(moved, reference, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
    return max(relative(a, b) for a, b in zip(computed, expected, strict=True))


@pytest.mark.parametrize(
    ("scheme", "mode"),
    slow_unless([("revnet", "graph"), *product(SCHEMES, ["eager"])], [*product(SCHEMES, ["eager", "graph"])]),
)
def test_the_memory_free_gradient_is_that_of_autodiff(scheme, mode):
    assert compared(scheme, mode) <= 1e-5


@pytest.mark.parametrize("scheme", slow_unless(["leapfrog"], ["revnet", "leapfrog"]))
def test_the_memory_free_gradient_under_xla(scheme):
    assert compared(scheme, "xla", blocks=2) <= 1e-5


@pytest.mark.parametrize("scheme", ["revnet", "verlet"])
def test_the_memory_free_gradient_in_mixed_precision(scheme):
    assert compared(scheme, "graph", dtype="mixed_bfloat16") <= 1e-2


def test_the_statistics_move_and_move_once():
    level, draw = level_of("revnet", 2)
    state = draw()
    norm = level.field.fields[1].norms()[0][0]
    x = level.field.fields[0](state[1], i=0, training=False)  # builds nothing, moves nothing
    assert not norm.moving_mean.numpy().any() and x.shape == state[1].shape
    gradients(level, state, "eager")
    moved = norm.moving_mean.numpy()
    again, _ = level_of("revnet", 2)
    again(*state, training=True)
    assert moved.any()
    np.testing.assert_array_equal(moved, again.field.fields[1].norms()[0][0].moving_mean)


def test_a_frozen_level_keeps_its_statistics_and_passes_gradients():
    results = []
    for memory_free in (True, False):
        level, draw = level_of("revnet", 2, memory_free=memory_free)
        randomize(level).trainable = False
        before = [w.numpy() for w in level.weights]
        state = draw()
        results.append(gradients(level, state, "graph")[0])
        np.testing.assert_equal([w.numpy() for w in level.weights], before)
    assert max(relative(a, b) for a, b in zip(*results, strict=True)) <= 1e-5


def test_inference_has_no_gradient_of_its_own():
    """So exporters meet plain operations."""
    level, draw = level_of("revnet", 2)
    operations = [
        {
            op.type
            for op in tf.function(partial(level, training=training))
            .get_concrete_function(*draw())
            .graph.get_operations()
        }
        for training in (False, True)
    ]
    assert "IdentityN" not in operations[0] and "IdentityN" in operations[1]


JAX = """
import json, sys
import jax, keras, numpy as np
from jax import numpy as jnp
from keras_mgnet import HamiltonianNet, RevNet

def program(scheme, blocks, memory_free, channels, size):
    options = {"blocks": (blocks,), "channels": (channels,), "memory_free": memory_free, "input_shape": (size, size, 1)}
    net = RevNet(**options) if scheme == "revnet" else HamiltonianNet(scheme, **options)
    level = net.get_layer("level1")
    rng, shape = np.random.default_rng(0), (8, *level.output[0].shape[1:])
    inputs = [keras.Input(shape[1:]) for _ in range(2)]
    level = keras.Model(inputs, level(*inputs))
    level.set_weights([0.3 * rng.normal(size=weight.shape) for weight in level.weights])
    state = [jnp.asarray(rng.normal(size=shape), "float32") for _ in range(2)]
    trained, other = ([v.value for v in vs] for vs in (level.trainable_variables, level.non_trainable_variables))

    def loss(trained, state):
        (y, z), moved = level.stateless_call(trained, other, state, training=True)
        return jnp.mean(y * y + z), moved

    return jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True)).lower(trained, state).compile(), trained, state

schemes, depths = json.loads(sys.argv[1])
for scheme in schemes:
    results = []
    for memory_free in (True, False):
        run, *arguments = program(scheme, 2, memory_free, 8, 8)
        results.append(jax.tree.leaves(run(*arguments)))
    for a, b in zip(*results, strict=True):
        assert np.abs(a - b).max() <= 1e-5 * max(np.abs(b).max(), 1e-30), scheme

def memory(scheme, blocks, memory_free):
    return program(scheme, blocks, memory_free, 16, 32)[0].memory_analysis().temp_size_in_bytes

for scheme, depths in depths.items():
    free, kept = ([memory(scheme, blocks, memory_free) for blocks in depths] for memory_free in (True, False))
    print(scheme, depths, [[size >> 10 for size in sizes] for sizes in (free, kept)])
    assert max(free) <= 1.01 * min(free), (scheme, free)
    assert all(later >= 1.6 * earlier for earlier, later in zip(kept, kept[1:])), (scheme, kept)
assert "tensorflow" not in sys.modules
"""


@pytest.mark.parametrize(
    ("gradients", "depths"), [(["revnet"], {"verlet": (4, 8)}), (["leapfrog"], {"verlet": (8, 16), "revnet": (4, 8)})]
)
@pytest.mark.slow
def test_jax_trains_without_stored_states_in_memory_that_does_not_grow(gradients, depths):
    """Gradients as by autodiff, and the compiler's own account of the memory of a gradient: flat in the number of blocks."""
    pytest.importorskip("jax", reason="jax is not installed")
    command = [sys.executable, "-c", JAX, json.dumps([gradients, depths])]
    result = subprocess.run(command, env=os.environ | {"KERAS_BACKEND": "jax"}, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


TENSORFLOW = r"""
import re, sys
from pathlib import Path
import tensorflow as tf
from keras_mgnet import RevNet

blocks, memory_free = int(sys.argv[1]), sys.argv[2] == "True"
options = {"blocks": (blocks,), "channels": (32,), "input_shape": (64, 64, 1), "memory_free": memory_free}
level = RevNet(**options).get_layer("level1")

@tf.function
def gradient(x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y, z = level(x, x, training=True)
        loss = tf.reduce_mean(y * y + z)
    return tape.gradient(loss, [x, *(v.value for v in level.trainable_variables)])

def peak():
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])

gradient(tf.ones((1, 64, 64, 16)))
before = peak()
gradient(tf.ones((64, 64, 64, 16)))
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from /proc")
def test_tensorflow_trains_in_memory_that_does_not_grow():
    """Peak resident memory of a training step in graph mode, KiB."""

    def peak(blocks, memory_free):
        command = [sys.executable, "-c", TENSORFLOW, str(blocks), str(memory_free)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    kept = peak(4, False)
    assert peak(4, True) <= kept / 2
    assert peak(16, True) <= 1.5 * peak(4, True)
    assert peak(12, False) >= 2 * kept
