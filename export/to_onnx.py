"""Exports ONNX files, with every shared kernel stored once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_mgnet.errors import unknown
from keras_mgnet.export.comparison import compare
from keras_mgnet.export.metadata import entries, write_onnx
from keras_mgnet.export.onnx_quantization import quantize_all, quantize_weights
from keras_mgnet.export.servable import Normalization, Servable
from keras_mgnet.export.signatures import served_signatures
from keras_mgnet.extras import EXPORT, extra
from keras_mgnet.files import staged_file
from keras_mgnet.layers import separable_scales

OPSETS = range(13, 19)
QUANTIZATIONS = {  # name -> function of a model, images and a folder for temporary files
    None: lambda proto, images, folder: proto,
    "dynamic": quantize_weights,
    "int8": quantize_all,
}


def onnx(
    model: keras.Model,
    path: str | Path,
    *,
    class_names: Sequence[str] | None = None,
    normalization: Normalization | None = None,
    opset: int = 18,
    quantize: str | None = None,
    samples: np.ndarray | None = None,
    calibration: np.ndarray | None = None,
    answers: str | None = None,
) -> Path:
    """Writes a model as a .onnx file and returns its path. An existing file is replaced in one step.

    The input is `image` (batch, H, W, C), float32. The outputs are `logits` and `probabilities` (batch, classes) and `classes`
    (batch,), or those of `answers`; for a denoiser, `denoised` (batch, H, W, C); for functions, `function`.
    If the model takes images of any size, the axes H and W are named `height` and `width`. The file also contains the class
    names, the normalisation and the input range, see `export.read_metadata`.

    Args:
        model: a network of this package with its classifier, a denoiser, or any functional Keras model with one image as input
            and one output (N, classes).
        path: path of the file.
        class_names, normalization, samples: as in `savedmodel`.
        opset: version of the operator set, 13 to 18.
        quantize: one of three.

            - None stores float32 weights.
            - "dynamic" stores uint8 weights, in a quarter of the bytes. The runtime quantises the activations.
            - "int8" stores int8 weights and uses uint8 activations.
        calibration: as in `tflite`.
        answers: as in `export_formats`.

    Raises the same errors as `savedmodel`.

    Example:
        >>> import tempfile
        >>> from keras_mgnet import MgNet
        >>> with tempfile.TemporaryDirectory() as out:
        ...     onnx(MgNet((1,), 4, input_shape=(8, 8, 1)), f"{out}/model.onnx", class_names=list("0123456789")).name
        'model.onnx'
    """
    if opset not in OPSETS:
        raise ValueError(f"expected opset between {OPSETS[0]} and {OPSETS[-1]}. Received: opset={opset!r}")
    if quantize not in QUANTIZATIONS:
        raise unknown("quantization", quantize, map(str, QUANTIZATIONS))
    servable = Servable(model, normalization, answers)
    calibrated = servable.calibration(quantize, calibration, samples)
    samples = servable.images(samples)
    told = entries(servable, class_names)
    with staged_file(path, ".onnx") as staged:
        proto = converted(_serve(servable), opset)
        proto = QUANTIZATIONS[quantize](proto, calibrated, staged.parent)
        save(proto, staged, servable, told, samples, opset)
    return Path(path)


def converted(serve, opset: int = OPSETS[-1]):
    """Converts a tf.function with one signature to an ONNX model. Axes without a fixed length get names.

    Raises ValueError if the opset lacks an operation of the function.
    """
    convert = extra("tf2onnx", EXPORT).convert.from_function
    with separable_scales():
        proto, _ = convert(serve, serve.input_signature, opset=opset, custom_op_handlers=HANDLERS)
    _name_free_axes(proto)
    _check(proto, opset)
    return proto


def save(
    proto, path: Path, servable: Servable, told: dict[str, Any], samples: np.ndarray, opset: int = OPSETS[-1]
) -> None:
    """Writes an ONNX model with its metadata, checks the model, and compares the file with Keras on the samples."""
    write_onnx(proto, told)
    _check(proto, opset)
    extra("onnx", EXPORT).save(proto, str(path))
    compare(servable, path, samples)


def _serve(servable: Servable):
    serve = served_signatures(servable)[1]["serving_default"]
    return serve if servable.classes else _shaped(serve)


def _shaped(serve):
    """Ends a function with a reshape. Without the reshape, tf2onnx adds a Squeeze at the end and may lose that Squeeze."""
    import tensorflow as tf

    def serve_shaped(image):
        grid = tf.shape(image)[:3]
        return {n: tf.reshape(values, [*tf.unstack(grid), values.shape[-1]]) for n, values in serve(image).items()}

    return tf.function(serve_shaped, input_signature=serve.input_signature, autograph=False)


def _name_free_axes(proto) -> None:
    """In inputs and outputs, names the axes without a fixed length. Removes the stored shapes of all inner tensors."""
    for tensor in (*proto.graph.input, *proto.graph.output):
        batch, *others = tensor.type.tensor_type.shape.dim
        batch.dim_param = "batch"
        for axis, name in zip(others, ("height", "width"), strict=False):
            if not axis.HasField("dim_value"):
                axis.dim_param = name
    del proto.graph.value_info[:]


def _check(proto, opset: int) -> None:
    checker = extra("onnx", EXPORT).checker
    try:
        checker.check_model(proto, full_check=True)
    except checker.ValidationError as error:  # tf2onnx leaves in operations that it cannot translate
        raise ValueError(f"expected operations that ONNX has in opset {opset}. Received: {error}") from error


def _erfc(graph, node, name, arguments) -> None:
    """Replaces erfc(x), which gelu uses, by 1 - erf(x)."""
    _subtract(graph, node, _one(graph, name), _apply(graph, "Erf", node))


def _expm1(graph, node, name, arguments) -> None:
    """Replaces expm1(x), which celu uses, by exp(x) - 1."""
    _subtract(graph, node, _apply(graph, "Exp", node), _one(graph, name))


def _one(graph, name: str) -> str:
    return graph.make_const(f"{name}/one", np.float32(1)).output[0]


def _apply(graph, operation: str, node) -> str:
    return graph.make_node(operation, list(node.input), shapes=node.output_shapes, dtypes=node.output_dtypes).output[0]


def _subtract(graph, node, left: str, right: str) -> None:
    shapes, dtypes = node.output_shapes, node.output_dtypes
    graph.remove_node(node.name)
    graph.make_node("Sub", [left, right], outputs=list(node.output), shapes=shapes, dtypes=dtypes)


HANDLERS = {  # for operations in Keras' activations that tf2onnx does not know
    "Erfc": (_erfc, []),
    "Expm1": (_expm1, []),
}
