"""The Keras programs that `race` times: our networks and networks of stock layers, convolutions and matrix products."""

from collections.abc import Callable

import numpy as np

from keras_mgnet.benchmarks.networks import CLASSES, IMAGE, NETWORKS
from keras_mgnet.benchmarks.races import OURS


def train(network: str, batch: int, whose: str = OURS) -> Callable[[], object]:
    """Returns a training step as in `fit`: forward, backward, SGD with momentum. `whose` is `OURS` or `STOCK`."""
    return training_step(_model(network, whose), batch)


def training_step(model, batch: int, jit_compile: bool | str = "auto") -> Callable[[], object]:
    """Returns the training step of a Keras model."""
    import keras
    import tensorflow as tf

    from keras_mgnet.optimizers import SGD

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(SGD(0.001, momentum=0.9), loss, jit_compile=jit_compile)
    model.make_train_function()
    batches = iter(tf.data.Dataset.from_tensors((images(batch), np.arange(batch) % CLASSES)).repeat())
    return lambda: float(model.train_function(batches)["loss"])


def infer(network: str, batch: int, whose: str = OURS) -> Callable[[], object]:
    """Returns a step that computes the logits of a batch. `whose` is `OURS` or `STOCK`."""
    model, x = _model(network, whose), images(batch)
    return lambda: model.predict_on_batch(x)


def artifact(path: str, batch: int) -> Callable[[], object]:
    """Returns a step that runs an exported file in its own runtime."""
    from keras_mgnet.export.runtimes import open_artifact

    run, x = open_artifact(path), images(batch)
    return lambda: run(x)


def images(batch: int) -> np.ndarray:
    """Returns a batch of noise images."""
    return np.random.default_rng(0).normal(size=(batch, *IMAGE)).astype("float32")


def _model(network: str, whose: str):
    from keras_mgnet import create_model
    from keras_mgnet.benchmarks import stock_networks

    if whose == OURS:
        return create_model(NETWORKS[network].preset)
    name, arguments = NETWORKS[network].stock
    return getattr(stock_networks, name)(**arguments)


def convolution(batch: int, size: int, channels: int) -> Callable[[], object]:
    """Returns a step that computes a 3x3 convolution."""
    import tensorflow as tf

    x, kernel = tf.random.normal((batch, size, size, channels)), tf.random.normal((3, 3, channels, channels))
    return _traced(lambda: tf.nn.conv2d(x, kernel, 1, "SAME"))


def product(n: int) -> Callable[[], object]:
    """Returns a step that computes the product of two n x n matrices."""
    import tensorflow as tf

    a, b = tf.random.normal((n, n)), tf.random.normal((n, n))
    return _traced(lambda: tf.matmul(a, b))


def _traced(compute: Callable) -> Callable[[], object]:
    import tensorflow as tf

    function = tf.function(lambda: tf.reshape(compute(), [-1])[0])
    return lambda: function().numpy()
