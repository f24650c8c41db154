"""Iterations that are evaluated again for the gradient: the same gradients, statistics that move once, and less memory."""

import os
import subprocess
import sys
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mgnet import (
    DenseNet,
    FBResNet,
    FractalNet,
    HighwayNet,
    LMResNet,
    MgNet,
    PolyMgNet,
    PreActResNet,
    ResNet,
    ShakeShake,
    VCycleMgNet,
)
from keras_mgnet.layers import Euler, GridLevel, Level, LinearMultistep, basic
from support.catalogue import build
from support.numerics import randomize

SMALL = {"input_shape": (8, 8, 1)}
BLOCKS = {"blocks": (2, 2), "base_width": 4} | SMALL
NETWORKS = {
    "MgNet": partial(MgNet, (2, 2), 4, **SMALL),
    "stochastic LM-ResNet": partial(LMResNet, 20, survival=0.5, **BLOCKS),
    "stochastic depth": partial(PreActResNet, 20, survival=0.5, **BLOCKS),
    "V-cycle": partial(VCycleMgNet, nu=(2, 2), channels=4, **SMALL),
    "own kernels": partial(MgNet, (2, 2), 4, share_A=False, share_B=False, **SMALL),
    "damped": partial(MgNet, (2, 2), 4, smoother="damped", **SMALL),
    "chebyshev": partial(MgNet, (3, 2), 4, smoother="chebyshev", **SMALL),
    "multistep": partial(MgNet, (3, 2), 4, smoother="multistep", **SMALL),
    "data": partial(MgNet, (3, 2), 4, form="feature", smoother="multistep", **SMALL),
    "nonlinear A": partial(FBResNet, "both", nu=(2, 2), channels=4, **SMALL),
    "Poly-MgNet": partial(PolyMgNet, nu=(2, 2), channels=4, **SMALL),
    "postactivation": partial(ResNet, 18, **BLOCKS),
    "highway": partial(HighwayNet, nu=(2, 2), channels=(4, 4), **SMALL),
    "dense": partial(DenseNet, blocks=(2, 2), growth=4, **SMALL),
    "recurrent": partial(build, "recurrent_resnet3"),
    "shake-shake": partial(ShakeShake, 14, 2, **SMALL),
    "bfloat16": partial(MgNet, (2, 2), 4, smoother="damped", dtype="mixed_bfloat16", **SMALL),
}
MODES = {"eager": lambda f: f, "graph": tf.function, "xla": partial(tf.function, jit_compile=True)}
# computed as by another network of the list
ALIKE = ("own kernels", "damped", "data", "stochastic LM-ResNet", "postactivation", "Poly-MgNet", "shake-shake")
CASES = [
    pytest.param(name, "graph", marks=pytest.mark.slow if name in ALIKE else ())
    for name in NETWORKS
    if name != "bfloat16"  # there graphs may round otherwise
]
CASES += [("bfloat16", "eager"), ("stochastic depth", "eager")]
CASES += [pytest.param(name, "xla", marks=pytest.mark.slow) for name in ("MgNet", "stochastic LM-ResNet")]


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


@pytest.mark.parametrize(("network", "mode"), CASES)
def test_gradients_and_statistics_are_those_of_stored_states(network, mode):
    (found, moved), (expected, reference) = (gradients(network, names, mode) for names in (("level1", "level2"), ()))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * max(1, np.abs(b).max()))
    for a, b in zip(moved, reference, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


LEVELS = {  # how many convolutions come behind the iterations
    "residual": (partial(GridLevel, 4, 4, nu=3), 0),
    "feature": (partial(GridLevel, 4, 4, nu=3, form="feature"), 1),
    "euler": (lambda name: Level(Euler(), basic(4, uses=3), name=name), 0),
    "multistep": (lambda name: Level(LinearMultistep(3), basic(4, uses=3), name=name), 0),
}


def traced(level, remat):
    """The graph of a level and its gradients: operations of the values, and those that only the gradients need."""
    with keras.RematScope("list_of_layers", layer_names=["level"] if remat else []):
        layer = LEVELS[level][0](name="level")
    layer.build((2, 8, 8, 4))

    @tf.function
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.add_n([tf.reduce_sum(state) for state in tf.nest.flatten(layer(x, training=True))])
        return y, tape.gradient(y, [x, *(v.value for v in layer.trainable_variables)])

    y, *slopes = gradient.get_concrete_function(tf.TensorSpec((2, 8, 8, 4))).graph.outputs
    values = ancestors([y.op])
    return values, ancestors([slope.op for slope in slopes]) - values


def ancestors(operations):
    """The operations and all that they depend on."""
    found, waiting = set(), list(operations)
    while waiting:
        operation = waiting.pop()
        if operation not in found:
            found.add(operation)
            waiting += [tensor.op for tensor in operation.inputs] + operation.control_inputs
    return found


def stored(values, slopes):
    """The states that are computed with the values and read by the gradients; copies count once."""

    def origin(tensor):
        copies = tensor.op.type in ("Identity", "IdentityN", "StopGradient")
        return origin(tensor.op.inputs[tensor.value_index]) if copies else tensor

    read = {origin(tensor).ref() for operation in slopes for tensor in operation.inputs if tensor.op in values}
    return {tensor for tensor in read if tensor.deref().shape == (2, 8, 8, 4)}


@pytest.mark.parametrize("level", LEVELS)
def test_one_state_an_iteration_is_kept(level):
    behind = LEVELS[level][1]
    assert len(stored(*traced(level, remat=True))) == 3 + behind
    assert len(stored(*traced(level, remat=False))) >= 3 * 4


@pytest.mark.parametrize("level", LEVELS)
def test_an_iteration_is_evaluated_again_when_the_next_one_has_its_gradient(level):
    behind = LEVELS[level][1]
    _, slopes = traced(level, remat=True)
    convolutions = [operation for operation in slopes if operation.type == "Conv2D"]
    before = [{op for op in ancestors([c]) if op.type == "Conv2DBackpropInput"} for c in convolutions]
    assert {len(done) for done in before} == {behind, 2 + behind, 4 + behind}  # two convolutions an iteration


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
        return sum(operation.type == "Conv2D" for operation in ancestors([graph.outputs[0].op]))

    kept = NETWORKS["MgNet"]()
    assert convolutions(loaded, False) == convolutions(kept, False)
    assert convolutions(loaded, True) == convolutions(kept, True) + 2  # B of each iteration of the first level


@pytest.mark.parametrize("remat", ["level1", ("level3",), (1,)])
def test_names_of_no_level_are_refused(remat):
    with pytest.raises(ValueError, match=r"expected remat to .*Received"):
        NETWORKS["MgNet"](remat=remat)


def test_levels_that_cannot_are_named():
    with pytest.raises(ValueError, match="expected remat to name only levels of the model: none"):
        FractalNet(2, (4, 4), **SMALL, remat=("level1",))


JAX = """
import sys
import jax, numpy as np
from jax import numpy as jnp
from keras_mgnet import LMResNet, MgNet

def program(network, remat):
    net = network(input_shape=(16, 16, 1), remat=("level1",) if remat else ())
    rng = np.random.default_rng(0)
    for variable in net.variables:  # seeds too
        variable.assign(np.abs(rng.normal(size=variable.shape)).astype(variable.dtype))
    images = jnp.asarray(rng.normal(size=(8, 16, 16, 1)), "float32")
    trained, other = ([v.value for v in vs] for vs in (net.trainable_variables, net.non_trainable_variables))

    def loss(trained, images):
        logits, moved = net.stateless_call(trained, other, images, training=True)
        return jnp.mean(logits * logits), moved

    run = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True)).lower(trained, images).compile()
    return jax.tree.leaves(run(trained, images)), run.memory_analysis().temp_size_in_bytes

NETWORKS = {
    "MgNet": lambda **options: MgNet((8,), 8, **options),
    "LM-ResNet": lambda **options: LMResNet(20, blocks=(4,), base_width=8, survival=0.5, **options),
}
for name in sys.argv[1:]:
    (found, memory), (expected, stored) = (program(NETWORKS[name], remat) for remat in (True, False))
    for a, b in zip(found, expected, strict=True):
        error = np.abs(np.asarray(a, "float64") - b).max()
        assert error <= 1e-4 * max(np.abs(b).max(), 1), (name, a.shape, error, np.abs(b).max())
    assert memory < 0.8 * stored, (name, memory, stored)
assert "tensorflow" not in sys.modules
"""


@pytest.mark.slow
@pytest.mark.parametrize("network", ["MgNet", "LM-ResNet"])
def test_on_jax(network):
    pytest.importorskip("jax", reason="jax is not installed")
    command = [sys.executable, "-c", JAX, network]
    result = subprocess.run(command, env=os.environ | {"KERAS_BACKEND": "jax"}, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
