"""Exports models as SavedModel, TFLite and ONNX. Each export is compared with Keras before it appears in the output folder.

The names in `__init__.pyi` are imported on first use. Opening a TFLite or ONNX file therefore loads only its runtime.
"""

import lazy_loader

from keras_mgnet.extras import CLI, require

if __name__ != "keras_mgnet.export":
    raise ImportError(f"expected `import keras_mgnet.export`, this folder's name. Received: import {__name__}")

require(CLI, "pydantic")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
