"""The function that all artifacts hold, and the one place where TensorFlow traces the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

from keras_mgnet.export.servable import Servable

if TYPE_CHECKING:
    import tensorflow as tf


def serving_module(servable: Servable) -> tf.Module:
    """Returns a module with the model's variables, each once, and `serve`, a tf.function of one signature.

    `serve` maps `image` (N, H, W, C) in float32, N free, to {"logits": (N, classes), "probabilities": (N, classes),
    "classes": (N,) in int64}.

    Raises:
        ValueError: where Keras runs on another backend than TensorFlow.

    Example:
        >>> from keras_mgnet import MgNet
        >>> servable = Servable(MgNet((1,), 4, input_shape=(8, 8, 1)))
        >>> sorted(serving_module(servable).serve(servable.images()))
        ['classes', 'logits', 'probabilities']
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"expected the Keras backend 'tensorflow' for an export. Received: {keras.backend.backend()!r}"
        )
    import tensorflow as tf

    def serve(image):
        logits = servable(image)
        return {"logits": logits, "probabilities": tf.nn.softmax(logits), "classes": tf.argmax(logits, axis=-1)}

    signature = tf.TensorSpec((None, *servable.image_shape), tf.float32, name="image")
    module = tf.Module()
    module.variables_of_model = [weight.value for weight in servable.model.weights]
    module.serve = tf.function(serve, input_signature=[signature], autograph=False)
    return module
