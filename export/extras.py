"""The converters and runtimes that come with `pip install keras-mgnet[export]`, loaded on first use."""

import importlib
from types import ModuleType


def extra(name: str) -> ModuleType:
    """Returns the module `name` of an optional package.

    Raises:
        ImportError: saying what brings the package, where it is not installed.

    Example:
        >>> extra("onnxruntime").__name__
        'onnxruntime'
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"expected '{name}', which `pip install keras-mgnet[export]` brings. Received: {error}"
        ) from error
