"""Exports models as SavedModel, TFLite and ONNX. Each artifact is verified against Keras before it appears.

The names of `__init__.pyi` are imported on first use, so that opening a TFLite or ONNX file loads only its runtime.
"""

import lazy_loader

if __name__ != "keras_mgnet.export":
    raise ImportError(f"expected `import keras_mgnet.export`, this folder's name. Received: import {__name__}")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
