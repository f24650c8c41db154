"""Training: data sets and configurations, run directories, searches, and the papers' tables.

The names of `__init__.pyi` are imported on first use.
"""

import lazy_loader

from keras_mgnet.extras import CLI, TRAIN, require

if __name__ != "keras_mgnet.training":
    raise ImportError(f"expected `import keras_mgnet.training`, this folder's name. Received: import {__name__}")

require(CLI, "pydantic", "PIL")
require(TRAIN, "safetensors", "sklearn", "matplotlib", "tensorboard")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
