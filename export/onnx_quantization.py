"""ONNX models whose products are in eight bits, by ONNX Runtime's quantiser."""

from pathlib import Path

import numpy as np

from keras_mgnet.extras import EXPORT, extra

PRODUCTS = ["Conv", "ConvTranspose", "MatMul", "Gemm"]
BATCH_SIZE = 16


def quantize_weights(proto, folder: Path):
    """Returns the model with weights in uint8 and activations quantised while it runs.

    Weights in int8 would have no fast kernel in ONNX Runtime on x86.

    Args:
        proto: an ONNX model.
        folder: for temporary files.
    """
    onnx, quantization = extra("onnx", EXPORT), extra("onnxruntime.quantization", EXPORT)
    extra("onnxruntime.quantization.quant_utils", EXPORT).add_pre_process_metadata(proto)  # else it warns
    source, target = folder / "float32.onnx", folder / "quantized.onnx"
    onnx.save(proto, str(source))
    quantization.quantize_dynamic(
        source, target, op_types_to_quantize=PRODUCTS, weight_type=quantization.QuantType.QUInt8
    )
    return onnx.load(str(target))


def quantize_all(proto, images: np.ndarray, folder: Path):
    """Returns the model with weights in int8, per channel, and the activations that enter products in uint8.

    The range of each activation is that on the images. Weights take 7 of the 8 bits: x86 without VNNI adds pairs of products in
    16 bits, which full weights overflow.

    Args:
        proto: an ONNX model.
        images: (N, H, W, C) as the model takes them.
        folder: for temporary files.
    """
    onnx, quantization = extra("onnx", EXPORT), extra("onnxruntime.quantization", EXPORT)
    source = folder / "float32.onnx"
    onnx.save(proto, str(source))
    calibrator = quantization.create_calibrator(source, PRODUCTS, augmented_model_path=str(folder / "augmented.onnx"))
    calibrator.collect_data(_Batches(images))
    quantizer = quantization.QDQQuantizer(
        onnx.shape_inference.infer_shapes(proto),
        per_channel=True,
        reduce_range=True,
        weight_qType=quantization.QuantType.QInt8,
        activation_qType=quantization.QuantType.QUInt8,
        tensors_range=calibrator.compute_data(),
        nodes_to_quantize=[],
        nodes_to_exclude=[],
        op_types_to_quantize=PRODUCTS,
        extra_options={},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    return quantizer.model.model


class _Batches:
    """Images as the calibrator asks for them."""

    def __init__(self, images: np.ndarray):
        self._feeds = ({"image": images[start : start + BATCH_SIZE]} for start in range(0, len(images), BATCH_SIZE))

    def get_next(self):
        return next(self._feeds, None)
