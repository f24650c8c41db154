"""Exports TFLite files of built-in operations, with every shared kernel stored once."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from keras_mgnet.errors import unknown
from keras_mgnet.export.adjoints import store_adjoints_once
from keras_mgnet.export.metadata import entries, write_tflite
from keras_mgnet.export.servable import Normalization, Servable
from keras_mgnet.export.signatures import served_signatures
from keras_mgnet.export.verification import compare
from keras_mgnet.extras import EXPORT, extra
from keras_mgnet.files import staged_file
from keras_mgnet.layers import separable_scales


class Quantization(NamedTuple):
    """Settings of the converter: its optimizations, the float types it may store, the set of operations."""

    optimizations: tuple[str, ...] = ("DEFAULT",)
    float_types: tuple[str, ...] = ()
    operations: str = "TFLITE_BUILTINS"


QUANTIZATIONS = {
    None: Quantization(optimizations=()),
    "float16": Quantization(float_types=("float16",)),
    "dynamic": Quantization(),
    "int8": Quantization(operations="TFLITE_BUILTINS_INT8"),
}


def tflite(
    model: keras.Model,
    path: str | Path,
    *,
    class_names: Sequence[str] | None = None,
    normalization: Normalization | None = None,
    quantize: str | None = None,
    samples: np.ndarray | None = None,
    calibration: np.ndarray | None = None,
) -> Path:
    """Writes a model as a .tflite file and returns its path. An existing file is replaced in one step.

    The signature `serving_default` maps `image` (N, H, W, C), float32, N resizable, to `logits` and `probabilities`
    (N, classes) and `classes` (N,); for a denoiser, to `denoised` (N, H, W, C). With "int8", inputs and outputs are stored
    in eight bits. With a normalisation, `image` is then uint8, the pixels as they are; without, it is int8 with the scale
    and zero point of the tensor. `open_artifact` takes and returns float32 in all cases. Metadata: class names,
    normalisation and input range, see `export.read_metadata`.

    Args:
        model: a model of this package with its classifier, or a denoiser.
        path: path of the file.
        class_names, normalization, samples: as in `savedmodel`.
        quantize: None (float32); "float16" (weights in half the bytes); "dynamic" (weights in int8, a quarter of the bytes,
            activations quantised while it runs); or "int8" (all in int8, also for hardware without floating point).
        calibration: images, as the artifact takes them, on which "int8" measures the ranges of activations. None uses the
            samples, which must then be real images.

    Raises the same errors as `savedmodel`.

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
    calibrated = servable.calibration(quantize, calibration, samples)
    samples = servable.images(samples)
    told = entries(servable, class_names)
    flatbuffers = extra("ai_edge_litert.tools.flatbuffer_utils", EXPORT)
    with staged_file(path, ".tflite") as staged:
        content = flatbuffers.convert_bytearray_to_object(_convert(servable, quantize, calibrated))
        store_adjoints_once(content)
        write_tflite(content, told)
        staged.write_bytes(flatbuffers.convert_object_to_bytearray(content))
        compare(servable, staged, samples)
    return Path(path)


def _convert(servable: Servable, quantize: str | None, images: np.ndarray | None) -> bytes:
    import tensorflow as tf

    served, signatures = served_signatures(servable)
    serve = signatures["serving_default"]
    pixels = images is not None and servable.normalization is not None
    serve = _of_pixels(serve) if pixels else serve
    with separable_scales():
        function = serve.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], served)
    told = QUANTIZATIONS[quantize]
    converter.optimizations = [tf.lite.Optimize[name] for name in told.optimizations]
    converter.target_spec.supported_types = [tf.as_dtype(name) for name in told.float_types]
    converter.target_spec.supported_ops = [tf.lite.OpsSet[told.operations]]
    if images is not None:
        converter.representative_dataset = lambda: ({"image": image[None]} for image in images)
        converter.inference_input_type = converter.inference_output_type = tf.uint8 if pixels else tf.int8
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\s*Warning: tf\.lite\.Interpreter is deprecated")  # its calibrator
        return converter.convert()


def _of_pixels(serve):
    """Tells the converter that images are 0..255, so that it stores each pixel as its byte."""
    import tensorflow as tf

    def serve_pixels(image):
        return serve(tf.quantization.fake_quant_with_min_max_args(image, 0.0, 255.0))

    return tf.function(serve_pixels, input_signature=serve.input_signature, autograph=False)
