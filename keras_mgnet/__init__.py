"""Convolutional networks as numerical methods: MgNet and the ResNet family on Keras 3.

What this package offers stands in `__init__.pyi` and is loaded on first use, so that whatever only runs an artifact loads
neither Keras nor a backend. Once Keras is loaded, by whomever, it knows the layers and models of this package.
"""

import os
import platform
import sys
from importlib import import_module
from types import ModuleType

import lazy_loader
import wrapt

if platform.machine() in ("x86_64", "AMD64"):  # without AVX-512 TensorFlow would leave its fast convolutions off
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ = [name for name in __all__ if not name.startswith("Hyper")]  # `import *` does without KerasTuner

ABOVE = ("training", "export", "serving", "cli", "benchmarks")


class _Package(ModuleType):
    """Is told of every module of the package that is loaded: Python then makes it an attribute.

    `describe` is the function, whoever loads the file of this name.
    """

    def __setattr__(self, name, value):
        loaded = isinstance(value, ModuleType)
        super().__setattr__(name, getattr(value, name, value) if loaded else value)
        if loaded:
            _register()


def _register(keras: ModuleType | None = None) -> None:
    """Loads the models, unless a module is half loaded that they need, and that has perhaps just asked for Keras.

    Its end comes here too. Nothing of the library imports what stands above it.
    """
    if "keras" in sys.modules and not any(_half_loaded(*entry) for entry in list(sys.modules.items())):
        import_module(f"{__name__}.models")


def _half_loaded(name: str, module: ModuleType | None) -> bool:
    package, _, path = name.partition(".")
    return package == __name__ and path.partition(".")[0] not in ("", *ABOVE) and module.__spec__._initializing


sys.modules[__name__].__class__ = _Package
wrapt.register_post_import_hook(_register, "keras")
