"""The version of this package and of others, readable without importing Keras."""

import importlib.metadata
import platform
from collections.abc import Iterable
from contextlib import suppress

__version__ = "0.1.0"

PACKAGES = ("keras-mgnet", "keras", "tensorflow", "jax", "numpy")


def installed(packages: Iterable[str]) -> dict[str, str]:
    """Returns the versions of packages. Packages that are not installed are left out.

    Example:
        >>> list(installed(["keras", "kears"]))
        ['keras']
    """
    found = {}
    for name in packages:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def versions() -> dict[str, str | None]:
    """Returns the versions that a result depends on, with None for a missing package, and the name of Keras' backend."""
    import keras

    found = dict.fromkeys(PACKAGES) | installed(PACKAGES)
    return {"python": platform.python_version(), **found, "backend": keras.backend.backend()}
