from .formats import FORMATS, check_formats, export_formats
from .metadata import read_metadata
from .runtimes import open_artifact
from .to_onnx import onnx
from .to_savedmodel import savedmodel
from .to_tflite import tflite
from .verification import Report, verify

__all__ = [
    "FORMATS",
    "Report",
    "check_formats",
    "export_formats",
    "onnx",
    "open_artifact",
    "read_metadata",
    "savedmodel",
    "tflite",
    "verify",
]
