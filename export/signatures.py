"""The signatures of a SavedModel. Each prepares its images and calls one function, which holds the network once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

from keras_mgnet.describe import features
from keras_mgnet.export.decoding import can_decode, decode_images
from keras_mgnet.export.inference_weights import inference_weights
from keras_mgnet.export.servable import Servable
from keras_mgnet.export.serving_function import check_backend, image_spec

if TYPE_CHECKING:
    import tensorflow as tf


def served_signatures(servable: Servable) -> tuple[tf.Module, dict[str, tf.types.experimental.PolymorphicFunction]]:
    """Returns a module with the variables of a network and the functions that a client calls, by signature name.

    - `serving_default`, `serving_uint8`: `image` (N, H, W, C) in float32, in uint8 -> `logits`, `probabilities`, `classes`, or
      `denoised`.
    - `serving_bytes`: `image_bytes` (N,), JPEG or PNG files -> the same; left out where the model has no fixed size or is
      neither grey nor colour.
    - `features`: `image` in float32 -> `level1_u`, `level1_r`, ..., the state of every level as `keras_mgnet.features`
      returns it; `level1_r` alone where a level has one. Left out where the only state is what the network returns.

    N is free. Variables are copied where they are folded, so later changes of the model do not reach them.

    Raises:
        ValueError: where Keras runs on another backend than TensorFlow.

    Example:
        >>> from keras_mgnet import MgNet
        >>> servable = Servable(MgNet((1,), 4, input_shape=(8, 8, 1)))
        >>> module, signatures = served_signatures(servable)
        >>> sorted(signatures["features"](servable.images()))
        ['level1_r', 'level1_u']
    """
    check_backend()
    import tensorflow as tf

    shape, answer = servable.image_shape, servable.answer
    named = _level_states(servable.model)
    module = tf.Module()
    module.weights, network = _network(servable, named)

    def answers(image):
        return answer.compute(network(image)[answer.name])

    def answers_to_uint8(image):
        return answers(tf.cast(image, tf.float32))

    def answers_to_files(image_bytes):
        return answers(decode_images(image_bytes, shape))

    def features_of(image):
        states = network(image)
        return {name: states[name] for name in named}

    rows = {
        "serving_default": (answers, image_spec(shape, "float32")),
        "serving_uint8": (answers_to_uint8, image_spec(shape, "uint8")),
    }
    if named:
        rows["features"] = features_of, image_spec(shape, "float32")
    if can_decode(shape):
        files = tf.TensorSpec((None,), tf.string, name="image_bytes")  # REST decodes base64 for names in _bytes
        rows["serving_bytes"] = (answers_to_files, files)
    return module, {
        name: tf.function(function, input_signature=[spec], autograph=False) for name, (function, spec) in rows.items()
    }


def _network(servable: Servable, states: dict[str, keras.KerasTensor]):
    """Returns (variables, function): images -> {"logits" or "denoised": its answer, "level1_u": (N, H, W, c), ...}."""
    import tensorflow as tf

    model = servable.model
    joint = keras.Model(model.input, {servable.answer.name: model.output, **states})
    variables, read = inference_weights(model)

    def network(image):
        with keras.StatelessScope(read()):
            return joint(servable.preprocess(image), training=False)

    spec = image_spec(servable.image_shape, "float32")
    return variables, tf.function(network, input_signature=[spec], autograph=False)


def _level_states(model: keras.Model) -> dict[str, keras.KerasTensor]:
    named = {}
    for level, states in features(model).output.items():
        states = states if isinstance(states, (tuple, list)) else (states,)
        named |= {f"{level}_{letter}": state for letter, state in zip("ur"[-len(states) :], states, strict=True)}
    return {name: state for name, state in named.items() if state is not model.output}
