"""The function that TFLite and ONNX files hold, from images to what a client reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

from keras_mgnet.export.servable import Servable

if TYPE_CHECKING:
    import tensorflow as tf


def serving_module(servable: Servable) -> tf.Module:
    """Returns a module with the model's variables, each once, and `serve`, a tf.function of one signature.

    `serve` maps `image` (N, H, W, C) in float32, N free, to the outputs of its `Answer`.

    Raises:
        ValueError: where Keras runs on another backend than TensorFlow.

    Example:
        >>> from keras_mgnet import MgNet
        >>> servable = Servable(MgNet((1,), 4, input_shape=(8, 8, 1)))
        >>> sorted(serving_module(servable).serve(servable.images()))
        ['classes', 'logits', 'probabilities']
    """
    check_backend()
    import tensorflow as tf

    module = tf.Module()
    module.variables_of_model = [weight.value for weight in servable.model.weights]
    spec = image_spec(servable.image_shape, "float32")
    compute = servable.answer.compute
    module.serve = tf.function(lambda image: compute(servable(image)), input_signature=[spec], autograph=False)
    return module


def image_spec(image_shape: tuple[int | None, ...], dtype: str) -> tf.TensorSpec:
    """Returns the input `image` (N, H, W, C), N free."""
    import tensorflow as tf

    return tf.TensorSpec((None, *image_shape), dtype, name="image")


def check_backend() -> None:
    """Raises ValueError where Keras runs on another backend than TensorFlow, which traces the model."""
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"expected the Keras backend 'tensorflow' for an export. Received: {keras.backend.backend()!r}"
        )
