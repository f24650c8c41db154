"""Exports TFLite files. The files use built-in operations only, and store every shared kernel once."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from keras_mgnet.errors import unknown
from keras_mgnet.export.adjoints import store_adjoints_once
from keras_mgnet.export.comparison import compare
from keras_mgnet.export.metadata import entries, write_tflite
from keras_mgnet.export.servable import Normalization, Servable
from keras_mgnet.export.signatures import served_signatures
from keras_mgnet.extras import EXPORT, extra
from keras_mgnet.files import staged_file
from keras_mgnet.layers import separable_scales


class Quantization(NamedTuple):
    """Settings of the converter: optimizations, float types of stored weights, and the set of operations."""

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
    answers: str | None = None,
) -> Path:
    """Writes a model as a .tflite file and returns the path. An existing file is replaced in one step.

    The file has the signature `serving_default`:

    - The input is `image` (N, H, W, C). The batch size N can be changed.
    - The outputs of a classifier are `logits` (N, classes), `probabilities` (N, classes) and `classes` (N,), or those of
      `answers`.
    - The output of a denoiser is `denoised` (N, H, W, C).

    `classes` and `labels` have the type int64. The type of the other tensors depends on the quantisation:

    - Without quantize="int8", the type is float32.
    - With quantize="int8" and a normalisation, the type is uint8, and `image` takes the pixels 0..255 unchanged.
    - With quantize="int8" and no normalisation, the type is int8, with the scale and zero point of each tensor.

    `open_artifact` takes and returns float32 for all these files. The file also contains the class names, the normalisation and
    the input range, see `export.read_metadata`.

    Args:
        model: a network of this package with its classifier, a denoiser, or any functional Keras model with one image as input
            and one output (N, classes).
        path: path of the file.
        class_names, normalization, samples: as in `savedmodel`.
        quantize: one of four.

            - None stores float32 weights.
            - "float16" stores float16 weights, in half the bytes.
            - "dynamic" stores int8 weights, in a quarter of the bytes. The runtime quantises the activations.
            - "int8" stores int8 weights and uses int8 activations. The file also runs on hardware without floating point.
        calibration: images for "int8", in the form that the file takes. The export measures the ranges of the activations on
            these images. With None the export uses `samples`, and these must then be real images.
        answers: as in `export_formats`.

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
    servable = Servable(model, normalization, answers)
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
    """Tells the converter that pixels are in 0..255. The converter then stores each pixel as one byte, unchanged."""
    import tensorflow as tf

    def serve_pixels(image):
        return serve(tf.quantization.fake_quant_with_min_max_args(image, 0.0, 255.0))

    return tf.function(serve_pixels, input_signature=serve.input_signature, autograph=False)
