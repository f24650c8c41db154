"""Optional packages, loaded on first use."""

import importlib
import importlib.util
from types import ModuleType

BACKENDS = ("tensorflow", "jax", "torch")  # that Keras computes with
CLI, TRAIN, EXPORT, SERVE = (f"keras-mgnet[{name}]" for name in ("cli", "train", "export", "serve"))
SOLVE, TFDS, TUNE, MLFLOW, WANDB = (f"keras-mgnet[{name}]" for name in ("solve", "tfds", "tune", "mlflow", "wandb"))


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
        raise _missing(module, requirement, error) from error


def require(requirement: str, *modules: str) -> None:
    """Raises ImportError as `extra` does if a module is missing, without importing the modules.

    Example:
        >>> require("keras-mgnet[fast]", "json", "jsom")
        Traceback (most recent call last):
            ...
        ImportError: expected 'jsom': install it with `pip install 'keras-mgnet[fast]'`. Received: No module named 'jsom'
    """
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise _missing(module, requirement, f"No module named '{module}'")


def no_backend(error: ModuleNotFoundError) -> ImportError:
    """Returns the error for an installation in which Keras does not find its backend.

    Example:
        >>> print(no_backend(ModuleNotFoundError("No module named 'jax'")))
        expected a backend of Keras: install it with `pip install 'keras-mgnet[tensorflow]'`, or install jax or torch and set \
KERAS_BACKEND to that name. Received: No module named 'jax'
    """
    others = " or ".join(BACKENDS[1:])
    choices = f"`pip install 'keras-mgnet[{BACKENDS[0]}]'`, or install {others} and set KERAS_BACKEND to that name"
    return ImportError(f"expected a backend of Keras: install it with {choices}. Received: {error}")


def _missing(module: str, requirement: str, reason: object) -> ImportError:
    return ImportError(f"expected '{module}': install it with `pip install '{requirement}'`. Received: {reason}")
