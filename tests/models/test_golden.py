"""Parity with the public PyTorch implementations: logits, losses of three SGD steps, and the logits after them."""

import keras
import numpy as np
import pytest

from keras_mgnet import LMResNet, MgNet, PreActResNet, ResNet, count_params, load_torch_weights
from keras_mgnet.optimizers import SGD
from support import SHARED

GOLDEN = SHARED / "golden"
pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="no golden files beside the checkout")

RUNS = {
    "mgnet_2222_c8_Bl": lambda: MgNet((2, 2, 2, 2), 8),
    "mgnet_2222_c8_Bl/feature": lambda: MgNet((2, 2, 2, 2), 8, form="feature"),
    "mgnet_132_c6_Bli_mnist": lambda: MgNet((1, 3, 2), 6, share_B=False, input_shape=(28, 28, 1)),
    "resnet18_w8": lambda: ResNet(18, base_width=8),
    "lm_resnet14_basic": lambda: LMResNet(blocks=(2, 2, 2)),
    "preact_resnet18_w8": lambda: PreActResNet(18, base_width=8),
}

# registered by PyTorch's code and never used: the norm bn1, downsample1, and the k of the blocks 0, 2 and 4
UNUSED = {"lm_resnet14_basic": 2 * 16 + (2 * 16 + 16 * 64) + 3}

AFTER = {"lm_resnet14_basic": 2e-3}  # the relative error of the logits after three steps, where it exceeds 1e-6


@pytest.fixture(autouse=True)
def double_precision():
    """In single precision an activation at the kink of ReLU goes with the number of threads, and the loss with it."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(before)


def loss_of_step(model, x, y):
    model.reset_metrics()  # else Keras before 3.15 returns the mean of all steps
    return float(np.ravel(model.train_on_batch(x, y))[0])


@pytest.mark.parametrize("name", RUNS)
def test_golden_run(name):
    path = GOLDEN / f"{name.partition('/')[0]}.npz"
    with np.load(path, allow_pickle=False) as golden:
        x, y = golden["x_nhwc"], golden["y"]
        model = RUNS[name]()
        load_torch_weights(model, path)
        assert count_params(model) + UNUSED.get(name, 0) == golden["params"]
        np.testing.assert_allclose(model(x), golden["logits_eval"], atol=1e-6)
        weights = model.get_weights()
        np.testing.assert_allclose(model(x, training=True), golden["logits_train"], atol=1e-6)
        model.set_weights(weights)

        model.compile(SGD(0.05, momentum=0.9, coupled_weight_decay=5e-4), model.loss)
        losses = [loss_of_step(model, x, y) for _ in range(3)]
        np.testing.assert_allclose(losses, golden["losses"], rtol=1e-5)
        expected = golden["logits_after_3_steps"]
        assert np.abs(model(x).numpy() - expected).max() <= AFTER.get(name, 1e-6) * np.abs(expected).max()
