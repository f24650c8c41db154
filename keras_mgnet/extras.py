"""Optional packages, loaded on first use."""

import importlib
from types import ModuleType

EXPORT, SERVE = "keras-mgnet[export]", "keras-mgnet[serve]"
MLFLOW, WANDB = "keras-mgnet[mlflow]", "keras-mgnet[wandb]"
SOLVE, TFDS, TUNE = "keras-mgnet[solve]", "keras-mgnet[tfds]", "keras-mgnet[tune]"


def extra(module: str, requirement: str) -> ModuleType:
    """Returns a module of an optional package.

    Args:
        module: name to import.
        requirement: what to install with pip, such as `EXPORT`.

    Raises:
        ImportError: if the module is missing; the message says how to install it.

    Example:
        >>> extra("json", "json").__name__
        'json'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"expected '{module}': install it with `pip install '{requirement}'`. Received: {error}"
        ) from error
