"""Optional packages, loaded on first use."""

import importlib
from types import ModuleType

EXPORT, SERVE = "keras-mgnet[export]", "keras-mgnet[serve]"
SOLVE, TFDS, TUNE = "keras-mgnet[solve]", "keras-mgnet[tfds]", "keras-mgnet[tune]"


def extra(module: str, requirement: str) -> ModuleType:
    """Returns a module of an optional package.

    Args:
        module: its import name.
        requirement: what pip installs it by, such as `EXPORT`.

    Raises:
        ImportError: saying how to install it, where it is missing.

    Example:
        >>> extra("json", "json").__name__
        'json'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"expected '{module}', which `pip install '{requirement}'` brings. Received: {error}"
        ) from error
