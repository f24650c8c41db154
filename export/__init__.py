"""Artifacts for serving: SavedModel, TFLite and ONNX, each verified against Keras before it appears.

TensorFlow, the converters and the runtimes are loaded by the functions that need them, so that opening a TFLite or ONNX
file loads nothing but its runtime.
"""

from keras_mgnet.export.formats import FORMATS, check_formats, export_formats
from keras_mgnet.export.runtimes import open_artifact
from keras_mgnet.export.to_onnx import onnx
from keras_mgnet.export.to_savedmodel import savedmodel
from keras_mgnet.export.to_tflite import tflite
from keras_mgnet.export.verification import Report, verify

__all__ = [
    "FORMATS",
    "Report",
    "check_formats",
    "export_formats",
    "onnx",
    "open_artifact",
    "savedmodel",
    "tflite",
    "verify",
]
