from .card import write_card
from .classification import classify
from .digests import check_card
from .folder import export_model
from .formats import FLOAT32, FORMATS, check_formats, export_formats
from .metadata import read_metadata
from .runtimes import open_artifact
from .to_onnx import onnx
from .to_savedmodel import savedmodel
from .to_tflite import tflite
from .verification import Report, verify

__all__ = [
    "FLOAT32",
    "FORMATS",
    "Report",
    "check_card",
    "check_formats",
    "classify",
    "export_formats",
    "export_model",
    "onnx",
    "open_artifact",
    "read_metadata",
    "savedmodel",
    "tflite",
    "verify",
    "write_card",
]
