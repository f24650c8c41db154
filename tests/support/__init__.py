"""What the tests share: places, the catalogue of models and layers, numpy twins, and programs that tests start."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("KERAS_MGNET_SHARED", ROOT.parent / "shared"))
TFDS = Path(os.environ.get("TFDS_DATA_DIR", SHARED / "data" / "tfds")).expanduser()


def slow_unless(fast, cases):
    """Returns parameters of which those that are not in `fast` are slow."""
    return [case if case in fast else pytest.param(case, marks=pytest.mark.slow) for case in cases]
