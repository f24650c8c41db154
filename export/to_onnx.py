"""ONNX, with every shared kernel stored once."""

import json
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from keras_mgnet.export.onnx_operations import HANDLERS
from keras_mgnet.export.servable import Normalization, Servable
from keras_mgnet.export.serving_function import serving_module
from keras_mgnet.export.verification import compare
from keras_mgnet.extras import EXPORT, extra
from keras_mgnet.files import staged_file
from keras_mgnet.layers import separable_scales

OPSETS = range(13, 19)


def onnx(
    model: keras.Model,
    path: str | Path,
    *,
    class_names: Sequence[str] | None = None,
    normalization: Normalization | None = None,
    opset: int = 18,
    samples: np.ndarray | None = None,
) -> Path:
    """Writes a model as a .onnx file and returns its path; an existing file is replaced in one step.

    Input `image` (batch, H, W, C), float32; outputs `logits`, `probabilities` (batch, classes) and `classes` (batch,).

    Args:
        model: a model of this package with its classifier.
        path: of the file.
        class_names: one name per class, stored as a JSON list in the metadata entry `class_names`.
        normalization: (mean, std) per channel on the [0, 1] scale, applied inside to images 0..255; None for raw input.
        opset: version of the operator set, 13 to 18.
        samples: images (N, H, W, C), as the artifact takes them, to compare on; None for a few random ones.

    Raises:
        ValueError: for arguments that do not fit, or where the logits disagree with Keras; nothing is left behind.
        OSError: where the folder cannot be written; before the conversion where that can be known.
        ImportError: where the export packages are not installed.

    Example:
        >>> import tempfile
        >>> from keras_mgnet import MgNet
        >>> with tempfile.TemporaryDirectory() as out:
        ...     onnx(MgNet((1,), 4, input_shape=(8, 8, 1)), f"{out}/model.onnx", class_names=list("0123456789")).name
        'model.onnx'
    """
    if opset not in OPSETS:
        raise ValueError(f"expected opset between {OPSETS[0]} and {OPSETS[-1]}. Received: opset={opset!r}")
    servable = Servable(model, normalization)
    samples = servable.images(samples)
    names = None if class_names is None else servable.check_names(class_names)
    with staged_file(path, ".onnx") as staged:
        proto = _convert(servable, opset)
        _name_batch_axis(proto)
        if names is not None:
            extra("onnx", EXPORT).helper.set_model_props(proto, {"class_names": json.dumps(names)})
        _check(proto, opset)
        extra("onnx", EXPORT).save(proto, str(staged))
        compare(servable, staged, samples)
    return Path(path)


def _convert(servable: Servable, opset: int):
    serve = serving_module(servable).serve
    convert = extra("tf2onnx", EXPORT).convert.from_function
    with separable_scales():
        proto, _ = convert(serve, serve.input_signature, opset=opset, custom_op_handlers=HANDLERS)
    return proto


def _name_batch_axis(proto) -> None:
    """Calls the free axis "batch" at every input and output; inside, the converter's own names for it are dropped."""
    for tensor in (*proto.graph.input, *proto.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = "batch"
    del proto.graph.value_info[:]


def _check(proto, opset: int) -> None:
    checker = extra("onnx", EXPORT).checker
    try:
        checker.check_model(proto, full_check=True)
    except checker.ValidationError as error:  # tf2onnx leaves in what it cannot translate
        raise ValueError(f"expected operations that ONNX has in opset {opset}. Received: {error}") from error
