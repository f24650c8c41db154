"""Reversible levels: they are undone exactly, train without stored states, and do what their equations say."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.linalg import expm

from keras_mgnet import HamiltonianNet, RevNet, count_params
from keras_mgnet.layers import (
    Conv,
    Coupling,
    CouplingTransfer,
    Field,
    Force,
    Halves,
    InTurn,
    Level,
    SkewConv,
    ZeroPadding,
    basic,
    steps,
)
from keras_mgnet.layers.schemes.stable import SecondOrder
from support.numerics import randomize

STABLE = ("hamiltonian", "midpoint", "leapfrog", "verlet", "second_order", "damped", "velocity_verlet")
DAMPING = 0.4
DENSE = {"input_shape": (1, 1, 1), "dtype": "float64", "activation": "linear"}


def network(scheme, blocks, **options):
    """One grid of a reversible network, on 8 channels."""
    options = {"blocks": (blocks,), "channels": (8,), "input_shape": (8, 8, 1), **options}
    if scheme == "damped":
        scheme, options = "second_order", {"damping": DAMPING, **options}
    return RevNet(**options) if scheme == "revnet" else HamiltonianNet(scheme, **options)


def level_of(scheme, blocks, **options):
    """Returns a built level and a function that draws a pair of states for it."""
    keras.utils.set_random_seed(3)
    level = network(scheme, blocks, **options).get_layer("level1")
    rng, shape = np.random.default_rng(0), [4, *level.output[0].shape[1:]]
    return level, lambda: [keras.ops.convert_to_tensor(rng.normal(size=shape), level.state_dtype) for _ in range(2)]


def relative(a, b):
    a, b = (np.asarray(keras.ops.convert_to_numpy(x), "float64") for x in (a, b))
    return np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)


# reversibility


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-4), ("mixed_bfloat16", 2e-2)])
@pytest.mark.parametrize("scheme", ["revnet", *STABLE])
def test_the_inverse_recovers_the_state_at_entry(scheme, dtype, tolerance, training, monkeypatch):
    level, draw = level_of(scheme, 9 if scheme == "revnet" else 20, dtype=dtype)
    state = draw()
    monkeypatch.setattr("keras_mgnet.layers.operators.norm.MOMENTUM", 0.0)
    level(*state, training=True)  # moving statistics that fit the data, as trained ones do
    last = level(*state, training=training)
    assert relative(last[1], state[1]) > 1e-3
    before = [w.numpy() for w in level.non_trainable_variables]
    for computed, expected in zip(level.inverse(*last, training=training), state, strict=True):
        assert relative(computed, expected) <= tolerance
    np.testing.assert_equal([w.numpy() for w in level.non_trainable_variables], before)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "bfloat16"])
def test_states_have_float32_where_the_branches_compute_in_less(dtype):
    level, draw = level_of("revnet", 2, dtype=dtype)
    assert {tensor.dtype for tensor in level(*draw())} == {tf.float32}
    assert {tensor.dtype for tensor in level.output} == {"float32"}


# training without stored states

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


@pytest.mark.parametrize("mode", ["eager", "graph"])
@pytest.mark.parametrize("scheme", ["revnet", *STABLE])
def test_the_memory_free_gradient_is_that_of_autodiff(scheme, mode):
    assert compared(scheme, mode) <= 1e-5


@pytest.mark.parametrize("scheme", ["revnet", "leapfrog"])
def test_the_memory_free_gradient_under_xla(scheme):
    assert compared(scheme, "xla", blocks=2) <= 1e-5


@pytest.mark.parametrize("scheme", ["revnet", "verlet"])
def test_the_memory_free_gradient_in_mixed_precision(scheme):
    assert compared(scheme, "graph", dtype="mixed_bfloat16") <= 1e-2


def test_the_statistics_move_and_move_once():
    level, draw = level_of("revnet", 2)
    state = draw()
    norm = level.field.fields[1].norms[0][0]
    x = level.field.fields[0](state[1], i=0, training=False)  # builds nothing, moves nothing
    assert not norm.moving_mean.numpy().any() and x.shape == state[1].shape
    gradients(level, state, "eager")
    moved = norm.moving_mean.numpy()
    again, _ = level_of("revnet", 2)
    again(*state, training=True)
    assert moved.any()
    np.testing.assert_array_equal(moved, again.field.fields[1].norms[0][0].moving_mean)


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


QUICK_JAX = {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_backend_optimization_level=0"}
JAX = """
import sys
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

for scheme in ("revnet", "leapfrog"):
    results = []
    for memory_free in (True, False):
        run, *arguments = program(scheme, 2, memory_free, 8, 8)
        results.append(jax.tree.leaves(run(*arguments)))
    for a, b in zip(*results, strict=True):
        assert np.abs(a - b).max() <= 1e-5 * max(np.abs(b).max(), 1e-30), scheme

def memory(scheme, blocks, memory_free):
    return program(scheme, blocks, memory_free, 16, 32)[0].memory_analysis().temp_size_in_bytes

for scheme, depths in {"verlet": (4, 8, 16), "revnet": (4, 8)}.items():
    free, kept = ([memory(scheme, blocks, memory_free) for blocks in depths] for memory_free in (True, False))
    print(scheme, depths, [[size >> 10 for size in sizes] for sizes in (free, kept)])
    assert max(free) <= 1.01 * min(free), (scheme, free)
    assert all(later >= 1.6 * earlier for earlier, later in zip(kept, kept[1:])), (scheme, kept)
assert "tensorflow" not in sys.modules
"""


def test_jax_trains_without_stored_states_in_memory_that_does_not_grow():
    """Gradients as by autodiff, and the compiler's own account of the memory of a gradient: flat in the number of blocks."""
    pytest.importorskip("jax", reason="jax is not installed")
    result = subprocess.run([sys.executable, "-c", JAX], env=os.environ | QUICK_JAX, capture_output=True, text=True)
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


# the equations


def matrix(K, shape):
    """The linear map of a built layer on one image of a shape (H, W, c), as a matrix."""
    basis = np.eye(np.prod(shape)).reshape(-1, *shape)
    return keras.ops.convert_to_numpy(K(keras.ops.convert_to_tensor(basis))).reshape(len(basis), -1).T


def twin(scheme, level, previous, x, dt):
    """The schemes of section 5.10 in numpy, by the matrices of K; states are (N, H W c)."""
    shape, s = level.output[0].shape[1:], lambda x: np.maximum(x, 0)
    blocks = []
    for force in level.field.fields:
        K = [matrix(k, shape) for k in force.K]  # of the midpoint rule, K - K^T
        b = [np.tile(keras.ops.convert_to_numpy(bias), np.prod(shape[:2])) for bias in force.b]
        blocks.append((K, b))
    for j, (K, b) in enumerate(blocks):
        if scheme == "hamiltonian":
            previous = previous + dt * s(x @ K[0].T + b[0]) @ K[0]
            x = x - dt * s(previous @ K[1].T + b[1]) @ K[1]
        elif scheme == "verlet":
            previous = previous - dt * s(x @ K[0] + b[0])
            x = x + dt * s(previous @ K[0].T + b[0])
        elif scheme == "leapfrog":
            following = 2 * x - (x - dt * previous) - dt**2 * s(x @ K[0].T + b[0]) @ K[0]
            previous, x = (following - x) / dt, following
        elif scheme in ("second_order", "damped"):
            c = DAMPING if scheme == "damped" else 0.0
            force = (dt**2 if j else dt**2 / 2) * s(x @ K[0].T + b[0])
            previous, x = x, (2 * x - (1 - c * dt / 2) * previous + force) / (1 + c * dt / 2)
        elif scheme == "velocity_verlet":  # as printed, with v_n; the level returns v_n + h F_n / 2
            force = s(x @ K[0].T + b[0])
            velocity = previous + dt / 2 * force if j else previous
            previous, x = velocity + dt / 2 * force, x + dt * velocity + dt**2 / 2 * force
        else:
            previous, x = x, previous + (2 if j else 1) * dt * s(x @ K[0].T + b[0])
    return previous, x


@pytest.mark.parametrize("scheme", STABLE)
def test_levels_equal_their_numpy_twins(scheme):
    level, draw = level_of(scheme, 3, dt=0.3, dtype="float64", channels=(4,), input_shape=(3, 4, 1))
    randomize(level)
    state = draw()
    flat = [x.numpy().reshape(len(x), -1) for x in state]
    for computed, expected in zip(level(*state), twin(scheme, level, *flat, dt=0.3), strict=True):
        np.testing.assert_allclose(computed.numpy().reshape(expected.shape), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 4, 2), (1, 1, 3), (2, 5, 1)])
def test_the_adjoint_is_the_transposed_matrix(shape):
    force = Force(shape[-1], ("single", "adjoint"), (1.0, 1.0), shared=True, activation="linear", dtype="float64")
    force.build((None, *shape))
    K, KT = (matrix(partial(force, i=i), shape) for i in range(2))
    assert np.abs(KT - K.T).max() <= 1e-14


def test_the_skew_convolution_is_K_minus_its_adjoint_and_has_imaginary_eigenvalues():
    shape = (3, 4, 2)
    K = SkewConv(2, dtype="float64")
    K.build((None, *shape))
    skew = matrix(K, shape)
    single = Conv(2, dtype="float64")
    single.build((None, *shape))
    single.kernel.assign(K.kernel)
    np.testing.assert_allclose(skew, matrix(single, shape) - matrix(single, shape).T, atol=1e-14)
    assert np.abs(skew + skew.T).max() <= 1e-15
    assert np.abs(np.linalg.eigvals(skew).real).max() <= 1e-12


def test_gamma_makes_forward_euler_stable_from_its_bound_on():
    """gamma >= 2 (1 - sqrt(1 - h^2 mu^2)) / h: 0.3992 for h = 0.1 and mu = 1.988, 0.4041 for mu = 2."""
    h, shape = 0.1, (3, 3, 2)

    def bound(mu):
        return 2 * (1 - np.sqrt(1 - h**2 * mu**2)) / h

    def growth(mu, gamma):
        force = Force(2, ("damped_skew",), (h,), gamma=gamma, activation="linear", dtype="float64")
        force.build((None, *shape))
        largest = np.abs(np.linalg.eigvals(matrix(force.K[0], shape) / 2)).max()
        force.K[0].kernel.assign(force.K[0].kernel * (mu / largest))
        return np.abs(np.linalg.eigvals(np.eye(np.prod(shape)) + matrix(force, shape))).max()

    assert [round(bound(mu), 4) for mu in (1.988, 2.0)] == [0.3992, 0.4041]
    for mu in (1.0, 1.988, 2.0):
        assert growth(mu, bound(mu)) <= 1 + 1e-12 < growth(mu, bound(mu) - 1e-3)
    assert growth(1.0, 0.0) == pytest.approx(np.sqrt(1 + h**2))


def test_the_parabolic_network_lowers_its_energy_and_equals_its_equation():
    """Y' = Y - h K^T s(K Y + b): with sigma = max(x, 0) a gradient step of |max(K Y + b, 0)|^2 / 2, which falls for small h."""
    model = randomize(network("parabolic", 3, dt=0.05, channels=(2,), input_shape=(3, 4, 1), dtype="float64"))
    level = model.get_layer("level1")
    x = np.random.default_rng(0).normal(size=(4, 3, 4, 2))
    expected, (h, shape) = x.reshape(4, -1), (0.05, x.shape[1:])
    for K, b in zip(level.field.K, level.field.b, strict=True):
        K, b = matrix(K, shape), np.tile(b.numpy(), 12)
        before = np.maximum(expected @ K.T + b, 0)
        expected = expected - h * before @ K
        assert (np.maximum(expected @ K.T + b, 0) ** 2).sum() < (before**2).sum()
    np.testing.assert_allclose(level(x).numpy().reshape(4, -1), expected, rtol=1e-12, atol=1e-12)
    assert level.method.name == "forward Euler, parabolic" and model.name == "parabolic8"


def test_without_damping_the_second_order_network_is_the_two_step_method_with_k_minus_one():
    """Verlet's method as Lu2017 prints it, y_{j+1} = 2 y_j - y_{j-1} + h^2 s(K_j y_j + b_j), which Lu2018 (1) has for k = -1."""
    level, draw = level_of("second_order", 3, dt=0.3, dtype="float64")
    randomize(level)
    previous, x = state = draw()
    for i in range(3):
        previous, x = x, steps.linear_multistep(x, previous, level.field(x, i=i), -1.0)
    assert relative(level(*state)[1], x) <= 1e-14
    assert level.method.name == "Verlet"
    assert level_of("damped", 1)[0].method.equation == "y'' + c y' = s(K y + b), y'(0) = 0"


def test_damping_takes_energy_and_nothing_else_does():
    """y'' + c y' = -y: the energy of the undamped network stays near its first value, that of the damped one falls."""

    def energies(damping):
        level = Level(SecondOrder(damping * 0.05), InTurn([Minus(0.01)] * 400), dtype="float64")
        states = [np.ones((1, 1, 1, 1)), np.ones((1, 1, 1, 1))]
        found = []
        for _ in range(5):
            states = level(*states)
            y0, y1 = (float(y) for y in map(np.squeeze, map(keras.ops.convert_to_numpy, states)))
            found.append(((y1 - y0) / 0.1) ** 2 / 2 + y0 * y1 / 2)
        return found

    np.testing.assert_allclose(energies(0.0), 0.5, rtol=1e-2)
    assert energies(0.2)[-1] < 1e-6


class Minus(Field):
    """-w x."""

    def __init__(self, w):
        super().__init__(dtype="float64")
        self.w = w

    def call(self, x, i=0):
        return -self.w * x


K_GROWS, K_DECAYS, K_TURNS = (np.array(K, float) for K in ([[2, -2], [0, 2]], [[-2, 0], [2, -2]], [[0, -1], [1, 0]]))


@pytest.mark.parametrize("sigma", [lambda x: x, np.tanh], ids=["linear", "tanh"])
def test_features_over_a_thousand_layers(sigma):
    """Lu2017, Fig. 1: by the matrix they explode, vanish or stay, the last with the midpoint rule and Verlet's method."""
    h, start = 0.1, np.array([0.3, 0.4])

    def euler(K):
        x, sizes = start, []
        for _ in range(1000):
            x = steps.euler(x, h * steps.single_layer(x, K.dot, 0.0, sigma))
            sizes.append(np.abs(x).max())
        return sizes

    def midpoint(K):
        previous, x, sizes = start, start, []
        for j in range(1000):
            force = (2 * h if j else h) * steps.single_layer(x, K.dot, 0.0, sigma)
            previous, x = x, steps.coupling(previous, force)
            sizes.append(np.abs(x).max())
        return sizes

    def verlet(K):
        z, y, sizes = np.zeros(2), start, []
        for _ in range(1000):
            z = steps.coupling(z, -h * steps.single_layer(y, K.T.dot, 0.0, sigma))
            y = steps.coupling(y, h * steps.single_layer(z, K.dot, 0.0, sigma))
            sizes.append(np.abs(y).max())
        return sizes

    assert euler(K_GROWS)[-1] > 50
    assert euler(K_DECAYS)[-1] < 1e-12
    assert euler(K_TURNS)[-1] > 1.5 * euler(K_TURNS)[0]
    for scheme in (midpoint, verlet):
        sizes = scheme(K_TURNS)
        assert max(sizes) < 1 and max(sizes[-100:]) > 0.3


def errors(scheme, blocks, exact_start):
    """Error at T = 1 of a level of `blocks` blocks with one linear K, by the exponential of the system it discretises."""
    h = 1 / blocks
    net = network(scheme, blocks, dt=h, channels=(4,), **DENSE)
    level, K = net.get_layer("level1"), np.random.default_rng(5).normal(size=(2, 2))
    if scheme not in ("hamiltonian", "verlet"):
        K = np.random.default_rng(5).normal(size=(4, 4))
    for conv in (part for part in level._flatten_layers() if isinstance(part, Conv)):
        kernel = np.zeros(conv.kernel.shape)
        kernel[1, 1] = K.T
        conv.kernel.assign(kernel)
    zero, eye, gram, n = np.zeros_like(K), np.eye(len(K)), K.T @ K, len(K)
    system = {
        "hamiltonian": np.block([[zero, gram], [-gram, zero]]),
        "verlet": np.block([[zero, -K.T], [K, zero]]),
        "midpoint": K - K.T,
        "antisymmetric": (K - K.T - 0.4 * eye) / 2,
        "parabolic": -gram,
        "leapfrog": np.block([[zero, -gram], [eye, zero]]),
        "second_order": np.block([[zero, K], [eye, zero]]),
        "velocity_verlet": np.block([[zero, K], [eye, zero]]),
        "damped": np.block([[-DAMPING * eye, K], [eye, zero]]),
    }[scheme]
    start = np.random.default_rng(6).normal(size=len(system))
    if scheme in ("second_order", "velocity_verlet", "damped"):  # from rest
        start[:n] = 0

    def state(t):
        return expm(t * system) @ start

    def pair(t):  # one part of the state may be meant half a step ahead or behind
        if scheme in ("midpoint", "antisymmetric", "parabolic"):
            return state(t), state(t)
        if scheme in ("second_order", "damped"):
            return state(t)[n:], state(t)[n:]
        shift = h / 2 if exact_start else 0.0
        before, behind = (0.0, shift) if scheme == "hamiltonian" else (-shift, 0.0)
        return state(t + before)[:n], state(t + behind)[n:]

    entry = [keras.ops.convert_to_tensor(x.reshape(1, 1, 1, n)) for x in pair(0.0)]
    x = level(entry[1]) if scheme in ("antisymmetric", "parabolic") else level(*entry)[1]
    return np.abs(x.numpy().ravel() - pair(1.0)[1]).max()


@pytest.mark.parametrize(
    ("scheme", "exact_start", "order"),
    [
        ("hamiltonian", False, 1),
        ("hamiltonian", True, 2),
        ("verlet", False, 1),
        ("verlet", True, 2),
        ("midpoint", False, 2),
        ("leapfrog", False, 1),
        ("leapfrog", True, 2),
        ("antisymmetric", False, 1),
        ("parabolic", False, 1),
        ("second_order", False, 2),
        ("damped", False, 2),
        ("velocity_verlet", False, 2),
    ],
)
def test_observed_orders(scheme, exact_start, order):
    coarse, fine = (errors(scheme, blocks, exact_start) for blocks in (40, 80))
    assert np.log2(coarse / fine) == pytest.approx(order, abs=0.15)


# the networks


@pytest.mark.parametrize(("depth", "params"), [(38, 464_890), (110, 1_729_194), (164, 1_748_778)])
def test_revnets_have_their_exact_size(depth, params):
    model = RevNet(depth)
    assert count_params(model) == params
    features = model.layers[-2].output.shape[-1]
    assert params + 90 * (features + 1) == {38: 475_060, 110: 1_740_804, 164: 1_794_948}[depth]  # with 100 classes


def test_the_convolutions_of_hamiltonian_74_have_their_exact_size():
    model = HamiltonianNet(input_shape=(8, 8, 3))
    kernels = [w for w in model.trainable_weights if w.path.startswith("level") and w.path.endswith("kernel")]
    assert (model.name, sum(w.numpy().size for w in kernels)) == ("hamiltonian74", 476_928)


def test_a_transition_averages_and_pads_each_half_and_puts_the_stride_into_F():
    unit = CouplingTransfer(
        basic(6, uses=2, strides=2), *(ZeroPadding(6, 2, sampling="average", centered=True) for _ in "12")
    )
    x1, x2 = np.random.default_rng(0).normal(size=(2, 1, 4, 4, 2)).astype("float32")
    unit.build(x1.shape, x2.shape)
    assert [conv.strides for conv in unit.branch.kernels()] == [(2, 2), (1, 1), (1, 1), (1, 1)]
    for conv in unit.branch.kernels():
        conv.kernel.assign(keras.ops.zeros_like(conv.kernel))
    for y, x in zip(unit(x1, x2), (x1, x2), strict=True):
        expected = np.zeros((1, 2, 2, 6), "float32")
        expected[..., 2:4] = x.reshape(1, 2, 2, 2, 2, 2).mean((2, 4))
        np.testing.assert_allclose(y, expected, rtol=1e-6)


def test_the_first_F_has_no_preactivation_and_the_halves_are_those_of_the_channels():
    model = RevNet(blocks=(2, 2), channels=(4, 6), input_shape=(8, 8, 1))
    first, second = model.get_layer("level1").field.fields
    assert [norm is None for norm in first.norms[0]] == [True, False]
    assert all(norm is not None for norm in second.norms[0])
    x = np.arange(4.0).reshape(1, 1, 1, 4)
    assert [half.numpy().ravel().tolist() for half in Halves()(x)] == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RevNet(39), "unknown depth '39'; did you mean '38'"),
        (lambda: RevNet(blocks=(3, 1), channels=(4, 4)), r"expected at least 2 blocks .* Received: blocks=\(3, 1\)"),
        (lambda: RevNet(blocks=3), "expected blocks to be a non-empty sequence"),
        (lambda: RevNet(bottleneck=1), "unknown bottleneck '1'"),
        (lambda: RevNet(blocks=(3, 2)), "expected channels to have 2 entries"),
        (lambda: RevNet(channels=(4, 5, 6)), r"expected channels to be even\. Received: channels=\(4, 5, 6\)"),
        (lambda: HamiltonianNet("hamilton"), "did you mean 'hamiltonian'"),
        (lambda: HamiltonianNet(dt=-1), "expected dt between 0 and inf. Received: dt=-1"),
        (lambda: HamiltonianNet("verlet", channels=(3, 4, 4)), "expected channels to be even"),
        (lambda: HamiltonianNet(gamma=0.1), "expected gamma only with scheme='antisymmetric'. Received: gamma=0.1"),
        (
            lambda: HamiltonianNet(damping=0.1),
            "expected damping only with scheme='second_order'. Received: damping=0.1",
        ),
        (
            lambda: HamiltonianNet("second_order", damping=20.0),
            "expected damping to be less than 2 / dt. Received: damping",
        ),
        (
            lambda: HamiltonianNet("second_order", damping="1"),
            "expected damping between 0 and inf. Received: damping='1'",
        ),
        (lambda: Force(4, ("gradients",), (1.0,)), "did you mean 'gradient'"),
        (lambda: SkewConv(4).build((None, 5, 5, 3)), r"expected an input of 4 channels\. Received: input_shape="),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_branches_that_serve_one_use_and_two_may_stand_in_one_level():
    level = Level(Coupling(), InTurn([basic(3, uses=2), basic(3), basic(3, uses=3)]), memory_free=True, dtype="float64")
    state = np.random.default_rng(0).normal(size=(2, 2, 5, 5, 3))
    for computed, expected in zip(level.inverse(*level(*state)), state, strict=True):
        assert relative(computed, expected) <= 1e-12
