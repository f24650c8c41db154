"""Names of the modules and packages of keras_mgnet, and its classes."""

import importlib
import inspect
import pkgutil

import keras_mgnet

FOUND = {info.name: info for info in pkgutil.walk_packages(keras_mgnet.__path__, "keras_mgnet.")}
MODULES = sorted(name for name in FOUND if "__main__" not in name and "benchmarks" not in name)
PACKAGES = {"keras_mgnet"} | {name for name in MODULES if FOUND[name].ispkg}


def classes():
    """Yields the classes that keras_mgnet defines."""
    for name in MODULES:
        found = inspect.getmembers(importlib.import_module(name), inspect.isclass)
        yield from (cls for _, cls in found if cls.__module__ == name)
