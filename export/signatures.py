"""Makes the exported functions. All of them call the same traced network, so that a SavedModel contains the network once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

from keras_mgnet.description import level_outputs
from keras_mgnet.export.decoding import can_decode, decode_images
from keras_mgnet.export.servable import Servable

if TYPE_CHECKING:
    import tensorflow as tf
    from tensorflow.types.experimental import PolymorphicFunction


def served_signatures(servable: Servable) -> tuple[tf.train.Checkpoint, dict[str, PolymorphicFunction]]:
    """Returns the arguments of `tf.saved_model.save`: an object, and its functions by signature name.

    The object has the attributes of an object that Keras exports: the model's `variables`, `trainable_variables` and
    `non_trainable_variables`, and `serve`. `serve` is the function of `serving_default`. TFLite and ONNX files contain only
    `serving_default`. The signatures, for any N:

    - `serving_default`: `image` (N, H, W, C) float32 -> `logits`, `probabilities`, `classes`; for a denoiser, `denoised`.
    - `serving_uint8`: the same outputs for `image` in uint8.
    - `serving_bytes`: the same outputs for `image_bytes` (N,), the content of JPEG or PNG files. Only if the model takes grey or
      colour images of a fixed size.
    - `features`: `image` (N, H, W, C) float32 -> `level1_u`, `level1_r`, ...: the states of every level, as in
      `keras_mgnet.features`, for MgNet the feature u and the residual r. A level with one state has only `level1_r`. This
      signature is missing if the network has no levels, or if the only state is the output of the network.

    Example:
        >>> from keras_mgnet import MgNet
        >>> servable = Servable(MgNet((1,), 4, input_shape=(8, 8, 1)))
        >>> served, signatures = served_signatures(servable)
        >>> sorted(signatures["features"](servable.images()))
        ['level1_r', 'level1_u']
        >>> served.trainable_variables[0].name
        'stem/conv/kernel:0'
    """
    import tensorflow as tf

    model, shape, answer = servable.model, servable.image_shape, servable.answer
    named = _level_states(model)
    joint = keras.Model(model.input, {answer.name: model.output, **named})
    floats = image_spec(shape, "float32")

    def traced(function, spec):
        return tf.function(function, input_signature=[spec], autograph=False)

    def network(image):
        read = [(weight, tf.convert_to_tensor(weight.value)) for weight in model.weights]  # read once, not at every use
        with keras.StatelessScope(read):
            return joint(servable.preprocess(image), training=False)

    network = traced(network, floats)

    def answers(image):
        return answer.compute(network(tf.cast(image, tf.float32))[answer.name])

    signatures = {
        "serving_default": traced(answers, floats),
        "serving_uint8": traced(answers, image_spec(shape, "uint8")),
    }
    if named:
        signatures["features"] = traced(lambda image: {name: network(image)[name] for name in named}, floats)
    if can_decode(shape):
        files = tf.TensorSpec((None,), tf.string, name="image_bytes")  # REST decodes base64 for names in _bytes
        signatures["serving_bytes"] = traced(lambda image_bytes: answers(decode_images(image_bytes, shape)), files)
    collections = {
        name: [weight.value for weight in getattr(model, name.replace("variables", "weights"))]
        for name in ("variables", "trainable_variables", "non_trainable_variables")
    }
    return tf.train.Checkpoint(serve=signatures["serving_default"], **collections), signatures


def _level_states(model: keras.Model) -> dict[str, keras.KerasTensor]:
    named = {}
    for level, states in level_outputs(model).items():
        states = states if isinstance(states, (tuple, list)) else (states,)
        named |= {f"{level}_{letter}": state for letter, state in zip("ur"[-len(states) :], states, strict=True)}
    return {name: state for name, state in named.items() if state is not model.output}


def image_spec(image_shape: tuple[int | None, ...], dtype: str) -> tf.TensorSpec:
    """Returns the specification of the input `image` (N, H, W, C), for any N."""
    import tensorflow as tf

    return tf.TensorSpec((None, *image_shape), dtype, name="image")
