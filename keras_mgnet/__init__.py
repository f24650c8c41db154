"""Convolutional networks as numerical methods: MgNet and the ResNet family on Keras 3.

`__init__.pyi` lists what this package offers. Each name is loaded on first use, so a program that only runs an exported file
loads neither Keras nor a backend.

Keras loads a saved model only if the classes of the model are registered. `keras_mgnet.models` registers the classes of this
package. It is loaded as soon as both Keras and this package are, whichever is imported first.
"""

import os
import platform
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import lazy_loader

from keras_mgnet.extras import BACKENDS, no_backend

if platform.machine() in ("x86_64", "AMD64"):  # TensorFlow leaves its fast convolutions off without AVX-512
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ = [name for name in __all__ if not name.startswith("Hyper")]  # `import *` must not need KerasTuner


class _WithKeras(MetaPathFinder):
    """Loads `keras_mgnet.models` once Keras is loaded, after the outermost of the modules that are being loaded.

    If Keras does not find its backend, the error names the choices.
    """

    depth = 0

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "keras" and not name.startswith(f"{__name__}."):
            return None
        others = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, others), None)
        if spec and spec.loader:
            spec.loader.exec_module = partial(self.load, spec.loader.exec_module)  # type: ignore[method-assign]
        return spec

    def load(self, execute: Callable[[ModuleType], None], module: ModuleType) -> None:
        self.depth += 1
        try:
            execute(module)
        except ModuleNotFoundError as error:
            if module.__name__ == "keras" and error.name in BACKENDS:
                raise no_backend(error) from error
            raise
        finally:
            self.depth -= 1
        if not self.depth and "keras" in sys.modules:
            import_module(f"{__name__}.models")


if sys.modules.get("keras"):
    import_module("keras_mgnet.models")
else:
    sys.meta_path.insert(0, _WithKeras())
