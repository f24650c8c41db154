"""Convolutional networks as numerical methods: MgNet and the ResNet family on Keras 3.

What this package offers stands in `__init__.pyi` and is loaded on first use, so that whatever only runs an artifact loads
neither Keras nor a backend. Once Keras is loaded, by whomever, it knows the layers and models of this package.
"""

from importlib import import_module

import lazy_loader
import wrapt

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ = [name for name in __all__ if not name.startswith("Hyper")]  # `import *` does without KerasTuner


@wrapt.when_imported("keras")
def _register(keras) -> None:
    import_module("keras_mgnet.models")
