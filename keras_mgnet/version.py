"""The version of this package and of others, readable without importing Keras."""

import importlib.metadata
from collections.abc import Iterable
from contextlib import suppress

__version__ = "0.1.0"


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
