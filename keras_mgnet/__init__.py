"""Convolutional networks as numerical methods: MgNet and the ResNet family on Keras 3.

`__init__.pyi` lists what this package offers. Each name is loaded on first use, so a program that only runs an exported file
loads neither Keras nor a backend.

Keras loads a saved model only if the classes of the model are registered. `keras_mgnet.models` registers the classes of this
package. It is loaded together with Keras: by `import keras_mgnet` if Keras is already there, or else by `import keras`.
"""

import os
import platform
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import lazy_loader

if platform.machine() in ("x86_64", "AMD64"):  # TensorFlow leaves its fast convolutions off without AVX-512
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ = [name for name in __all__ if not name.startswith("Hyper")]  # `import *` must not need KerasTuner


class _WithKeras(MetaPathFinder):
    """Loads `keras_mgnet.models` as soon as Keras is loaded."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "keras":
            return None
        others = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, others), None)
        if spec and spec.loader:
            load = spec.loader.exec_module

            def load_both(module: ModuleType) -> None:
                load(module)
                import_module("keras_mgnet.models")

            spec.loader.exec_module = load_both  # type: ignore[method-assign]
        return spec


if sys.modules.get("keras"):
    import_module("keras_mgnet.models")
else:
    sys.meta_path.insert(0, _WithKeras())
