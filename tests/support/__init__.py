"""Shared by the tests: paths, small models and layers of every kind, numpy versions of layers, and programs to start."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("KERAS_MGNET_SHARED", ROOT.parent / "shared"))
TFDS = Path(os.environ.get("TFDS_DATA_DIR", SHARED / "data" / "tfds")).expanduser()


def slow_unless(fast, cases):
    """Returns the cases as parameters of a test. Those that are not in `fast` are slow. A tuple has several parameters."""
    slow = [pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow) for case in cases]
    return [case if case in fast else param for case, param in zip(cases, slow, strict=True)]
