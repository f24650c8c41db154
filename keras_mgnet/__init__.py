"""Convolutional networks as numerical methods: MgNet and the ResNet family on Keras 3.

`__init__.pyi` lists what this package offers. Each name is loaded on first use, so a program that only runs an exported file
loads neither Keras nor a backend.

Keras loads a saved model only if the classes of the model are registered. `keras_mgnet.models` registers the classes of this
package. `import keras_mgnet` loads `keras_mgnet.models` only if Keras is already loaded. Otherwise import
`keras_mgnet.models` before you call `keras.saving.load_model`.
"""

import os
import platform
import sys
from importlib import import_module

import lazy_loader

if platform.machine() in ("x86_64", "AMD64"):  # TensorFlow leaves its fast convolutions off without AVX-512
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ = [name for name in __all__ if not name.startswith("Hyper")]  # `import *` must not need KerasTuner

if sys.modules.get("keras"):
    import_module("keras_mgnet.models")
