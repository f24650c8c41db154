"""Quantises ONNX models with ONNX Runtime, so that convolutions and matrix products are computed in eight bits."""

from pathlib import Path

import numpy as np

from keras_mgnet.extras import EXPORT, extra

PRODUCTS = ["Conv", "ConvTranspose", "MatMul", "Gemm"]
BATCH_SIZE = 16


def quantize_weights(proto, images: None, folder: Path):
    """Returns the model with uint8 weights. The runtime quantises the activations.

    The weights are not int8, because ONNX Runtime has no fast kernel for int8 weights on x86. `images` is not used. `folder`
    is for temporary files.
    """
    quantization = extra("onnxruntime.quantization", EXPORT)
    return _quantized(quantization.quantize_dynamic, proto, folder, weight_type=quantization.QuantType.QUInt8)


def quantize_all(proto, images: np.ndarray, folder: Path):
    """Returns the model with int8 weights, scaled per channel, and uint8 inputs of convolutions and matrix products.

    The range of each activation is measured on the images (N, H, W, C), in the form that the model takes. Weights use only 7
    of 8 bits, because x86 processors without VNNI add pairs of products in 16 bits, and 8-bit weights would overflow.
    `folder` is for temporary files.
    """
    quantization = extra("onnxruntime.quantization", EXPORT)
    types = {"weight_type": quantization.QuantType.QInt8, "activation_type": quantization.QuantType.QUInt8}
    options = {"calibration_data_reader": _Batches(images), "per_channel": True, "reduce_range": True}
    return _quantized(quantization.quantize_static, proto, folder, **types, **options)


def _quantized(quantize, proto, folder: Path, **options):
    onnx, source, target = extra("onnx", EXPORT), folder / "float32.onnx", folder / "quantized.onnx"
    extra("onnxruntime.quantization.quant_utils", EXPORT).add_pre_process_metadata(proto)  # silences a warning
    onnx.save(proto, str(source))
    quantize(source, target, op_types_to_quantize=PRODUCTS, **options)
    return onnx.load(str(target))


class _Batches:
    """Feeds images in batches to ONNX Runtime's calibrator."""

    def __init__(self, images: np.ndarray):
        self._feeds = ({"image": images[start : start + BATCH_SIZE]} for start in range(0, len(images), BATCH_SIZE))

    def get_next(self):
        return next(self._feeds, None)
