"""The optimisers against numpy: their steps, what decays, the averages they keep, and where they go on."""

import keras
import numpy as np
import pytest

from keras_mgnet import MgNet, ResNet
from keras_mgnet.optimizers import SGD, Adam
from keras_mgnet.recipes import RECIPES


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_equals_its_numpy_twin_while_the_rate_changes(momentum, nesterov):
    rng = np.random.default_rng(0)
    w, gradients = rng.normal(size=5), rng.normal(size=(6, 5))
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([2], [0.1, 0.01])
    optimizer = SGD(rate, momentum=momentum, nesterov=nesterov and momentum > 0, coupled_weight_decay=0.05)
    variable = keras.Variable(w)
    m = np.zeros(5)
    for step, gradient in enumerate(gradients):
        optimizer.apply([keras.ops.convert_to_tensor(gradient, "float32")], [variable])
        g = gradient + 0.05 * w
        m = momentum * m + g
        w = w - float(rate(step)) * (g + momentum * m if nesterov and momentum else m)
    np.testing.assert_allclose(variable.numpy(), w, rtol=1e-5)


def test_shifts_of_norms_have_a_rate_of_their_own_and_the_same_product_of_rate_and_decay():
    rng = np.random.default_rng(0)
    fast, slow = keras.Variable(rng.normal(size=5), name="beta"), keras.Variable(rng.normal(size=5), name="gamma")
    twins = [keras.Variable(variable.numpy()) for variable in (fast, slow)]
    optimizers = [
        SGD(0.01 * factor, momentum=0.9, nesterov=True, coupled_weight_decay=0.5 / factor) for factor in (8, 1)
    ]
    ours = SGD(0.01, momentum=0.9, nesterov=True, coupled_weight_decay=0.5, beta_rate=8)
    for gradient in rng.normal(size=(4, 5)).astype("float32"):
        ours.apply([keras.ops.convert_to_tensor(gradient)] * 2, [fast, slow])
        for optimizer, twin in zip(optimizers, twins, strict=True):
            optimizer.apply([keras.ops.convert_to_tensor(gradient)], [twin])
    for variable, twin in zip((fast, slow), twins, strict=True):
        np.testing.assert_allclose(variable, twin, rtol=1e-5)
    with pytest.raises(ValueError, match=r"expected beta_rate > 0\. Received: 0"):
        SGD(beta_rate=0)


@pytest.mark.parametrize("shape", [(3, 3, 4, 8), (1, 1, 8, 3)])
def test_kernels_take_steps_of_equal_size_in_all_directions(shape):
    rng = np.random.default_rng(0)
    start = rng.normal(size=shape).astype("float32")
    kernel, bias = keras.Variable(start), keras.Variable(np.ones(3, "float32"))
    plain = keras.Variable(np.ones(3, "float32"))
    gradient = rng.normal(size=shape).astype("float32")
    SGD(0.5, momentum=0.9, coupled_weight_decay=0.1).apply([keras.ops.ones(3)], [plain])
    optimizer = SGD(0.5, momentum=0.9, coupled_weight_decay=0.1, kernel_rate=0.2)
    optimizer.apply([keras.ops.convert_to_tensor(gradient), keras.ops.ones(3)], [kernel, bias])
    np.testing.assert_array_equal(bias, plain)
    step = (np.sqrt(shape[-1]) * start / np.linalg.norm(start) - kernel.numpy()).reshape(-1, shape[-1]) / 0.1
    u, _, v = np.linalg.svd(gradient.reshape(-1, shape[-1]), full_matrices=False)
    np.testing.assert_allclose(u.T @ step @ v.T, np.eye(len(v)), atol=0.35)
    with pytest.raises(ValueError, match=r"expected kernel_rate > 0 or None, and with it momentum > 0\."):
        SGD(kernel_rate=0.2)


OPTIONS = {
    "clipnorm": {"clipnorm": 0.5},
    "clipvalue": {"clipvalue": 0.1},
    "global_clipnorm": {"global_clipnorm": 0.5},
    "loss_scale_factor": {"loss_scale_factor": 4.0},
    "use_ema": {"use_ema": True, "ema_overwrite_frequency": 4},
    "gradient_accumulation_steps": {"gradient_accumulation_steps": 3, "clipnorm": 0.5},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_without_decay_sgd_equals_keras_s_with_its_options(options):
    rng = np.random.default_rng(0)
    start = [rng.normal(size=shape).astype("float32") for shape in ((5,), (2, 3))]
    ours, theirs = ([keras.Variable(value) for value in start] for _ in range(2))
    optimizer, twin = (kind(0.1, momentum=0.9, nesterov=True, **options) for kind in (SGD, keras.optimizers.SGD))
    for _ in range(7):
        gradients = [keras.ops.convert_to_tensor(rng.normal(size=value.shape).astype("float32")) for value in start]
        optimizer.apply(gradients, ours)
        twin.apply(gradients, theirs)
        for variable, expected in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(variable.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)
    assert len(optimizer.variables) == len(twin.variables)
    optimizer.finalize_variable_values(ours)
    twin.finalize_variable_values(theirs)
    np.testing.assert_allclose(ours[0].numpy(), theirs[0].numpy(), rtol=1e-5, atol=1e-6)
    config = optimizer.get_config()
    assert config.items() >= options.items()
    assert SGD.from_config(config).get_config() == config


def test_a_configuration_of_before_is_that_of_now():
    before = {"name": "sgd", "learning_rate": 0.25, "momentum": 0.9, "nesterov": True}
    before |= {"coupled_weight_decay": 5e-4, "decayed": "kernels", "ema_momentum": 0.0}
    config = SGD.from_config(dict(before)).get_config()
    assert config.items() >= before.items()
    assert config.pop("beta_rate") == 1 and not any(config[key] for key in config.keys() - before.keys())


def test_the_average_moves_with_the_weights_when_gradients_are_added_up():
    rng = np.random.default_rng(0)
    gradients = keras.ops.convert_to_tensor(rng.normal(size=(4, 3, 5)).astype("float32"))
    each, added = (keras.Variable(np.ones(5, "float32")) for _ in range(2))
    one, several = (SGD(0.1, ema_momentum=0.6, gradient_accumulation_steps=steps) for steps in (None, 3))
    for group in gradients:
        one.apply([keras.ops.mean(group, axis=0)], [each])
        for gradient in group:
            several.apply([gradient], [added])
    np.testing.assert_allclose(several.averages[0][1].numpy(), one.averages[0][1].numpy(), rtol=1e-5)


def test_keras_can_put_its_average_into_the_weights():
    found = []
    for kind in (SGD, keras.optimizers.SGD):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, kernel_initializer="ones")])
        model.compile(kind(0.01, use_ema=True), "mse")
        swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
        model.fit(np.ones((8, 3)), np.zeros((8, 2)), 4, epochs=2, verbose=0, callbacks=[swap])
        found.append(model.get_weights()[0])
    np.testing.assert_allclose(*found, rtol=1e-6)


def test_adam_leaves_what_has_no_gradient_and_refuses_none_at_all():
    moved, left = keras.Variable(1.0), keras.Variable(1.0)
    optimizer = Adam(0.1)
    optimizer.apply([keras.ops.ones(()), None], [moved, left])
    assert float(moved) == pytest.approx(0.9, rel=1e-5) and float(left) == 1
    with pytest.raises(ValueError, match="No gradients provided"):
        optimizer.apply([None, None], [moved, left])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_saved_optimizer_goes_on_where_it_was(momentum, tmp_path):
    model = ResNet(base_width=2, input_shape=(8, 8, 1))
    model.compile(SGD(0.1, momentum=momentum), model.loss)
    x, y = np.ones((4, 8, 8, 1), "float32"), np.arange(4)
    for _ in range(3):
        model.train_on_batch(x, y)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert int(loaded.optimizer.iterations) == 3
    for ours, theirs in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("name", "decayed"), [("xuteam", "all"), ("revnet", "kernels"), ("modern", "kernels")])
def test_the_variables_that_decay(name, decayed):
    """With a gradient of 0 the first step is w <- (1 - lr wd) w for them, times 1 + mu with Nesterov's."""
    recipe = RECIPES[name]
    model = MgNet(nu=(1,), channels=2, input_shape=(8, 8, 1))
    for variable in model.trainable_variables:
        variable.assign(np.ones(variable.shape))
    optimizer = recipe.optimizer()
    optimizer.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables], model.trainable_variables)
    factor = 1 - recipe.learning_rate * recipe.weight_decay * (1 + recipe.momentum * recipe.nesterov)
    for variable in model.trainable_variables:
        expected = factor if decayed == "all" or variable.name == "kernel" else 1.0
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-6, err_msg=variable.path)


def test_averages_against_numpy():
    """a <- e a + (1 - e) w with e = min(ema, t / (t + 9)); the weights are those without averages."""
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(20, 5)).astype("float32")
    start = rng.normal(size=5).astype("float32")
    plain, averaged = keras.Variable(start), keras.Variable(start)
    optimizers = SGD(0.1, momentum=0.9), SGD(0.1, momentum=0.9, ema_momentum=0.6)
    assert optimizers[1].averages == []
    twin = np.zeros(5)
    for number, gradient in enumerate(gradients):
        for optimizer, variable in zip(optimizers, (plain, averaged), strict=True):
            optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        e = min(0.6, number / (number + 9))
        twin = e * twin + (1 - e) * plain.numpy()
    optimizers[1].finalize_variable_values([averaged])
    np.testing.assert_array_equal(averaged.numpy(), plain.numpy())
    ((variable, average),) = optimizers[1].averages
    assert variable is averaged
    np.testing.assert_allclose(average.numpy(), twin, rtol=1e-5)
