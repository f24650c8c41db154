"""TFLite flatbuffers of built-in operations, with every shared kernel stored once."""

from pathlib import Path

import keras
import numpy as np

from keras_mgnet.errors import unknown
from keras_mgnet.export.servable import Normalization, Servable
from keras_mgnet.export.serving_function import serving_module
from keras_mgnet.export.verification import compare
from keras_mgnet.files import staged_file
from keras_mgnet.layers import separable_scales

QUANTIZATIONS = {  # name -> (converter optimizations, stored float types)
    None: ((), ()),
    "float16": (("DEFAULT",), ("float16",)),
    "dynamic": (("DEFAULT",), ()),
}


def tflite(
    model: keras.Model,
    path: str | Path,
    *,
    normalization: Normalization | None = None,
    quantize: str | None = None,
    samples: np.ndarray | None = None,
) -> Path:
    """Writes a model as a .tflite file and returns its path; an existing file is replaced in one step.

    The signature `serving_default` maps `image` (N, H, W, C) in float32, N resizable, to `logits`, `probabilities`
    (N, classes) and `classes` (N,).

    Args:
        model: a model of this package with its classifier.
        path: of the file.
        normalization: (mean, std) per channel on the [0, 1] scale, applied inside to images 0..255; None for raw input.
        quantize: None (float32), "float16" (weights in half the bytes) or "dynamic" (weights in int8, a quarter of the
            bytes, and activations quantised while it runs).
        samples: images (N, H, W, C), as the artifact takes them, to compare on; None for a few random ones.

    Raises:
        ValueError: for arguments that do not fit, or where the logits disagree with Keras; nothing is left behind.
        OSError: where the folder cannot be written; before the conversion where that can be known.

    Example:
        >>> import tempfile
        >>> from keras_mgnet import MgNet
        >>> with tempfile.TemporaryDirectory() as out:
        ...     tflite(MgNet((1,), 4, input_shape=(8, 8, 1)), f"{out}/model.tflite", quantize="float16").name
        'model.tflite'
    """
    if quantize not in QUANTIZATIONS:
        raise unknown("quantization", quantize, map(str, QUANTIZATIONS))
    servable = Servable(model, normalization)
    samples = servable.images(samples)
    with staged_file(path, ".tflite") as staged:
        staged.write_bytes(_convert(servable, quantize))
        compare(servable, staged, samples)
    return Path(path)


def _convert(servable: Servable, quantize: str | None) -> bytes:
    import tensorflow as tf

    module = serving_module(servable)
    with separable_scales():
        function = module.serve.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], module)
    optimizations, float_types = QUANTIZATIONS[quantize]
    converter.optimizations = [tf.lite.Optimize[name] for name in optimizations]
    converter.target_spec.supported_types = [tf.as_dtype(name) for name in float_types]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter.convert()
