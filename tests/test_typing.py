"""Type checkers find no error in the package, pass a user's right calls in the strictest mode, and refuse wrong ones."""

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields

import pytest

from keras_mgnet import layers
from keras_mgnet.models import FAMILIES
from support import ROOT


def call(family, arguments):
    return f"keras_mgnet.{family.__name__}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"


def right(family):
    """A small network, with every argument of its frame."""
    frame = {field.name: field.default for field in fields(family.frame)}
    return call(family, frame | dict(family.family.small))


def wrong(family):
    """A misspelled argument of its own, one that it does not have, and two arguments of the frame that are of no such type."""
    own = next(name for name in inspect.signature(family).parameters if name in family.family.small)
    values = {f"{own}x": family.family.small[own]}, {"learning_rate": 0.1}, {"weights": 3}, {"input_shape": "32"}
    return [call(family, arguments) for arguments in values]


RIGHT = [
    *(right(family) for family in FAMILIES),
    'layers.GridLevel(4, 4, 2, B=("sigma", None), smoother="chebyshev", share_A=False, activation=None, dtype="float32")',
    "layers.Level(layers.Euler(), layers.basic(4, uses=2, sharing=((0, 0), (0, 1))), name=None)",
    'layers.GridTransfer(8, 8, Pi="average", R="depthwise", normalize=False)',
    'layers.Norm("relu", foldable=False, learned=False)',
    'layers.Stencil([[0, -1, 0], [-1, 4, -1], [0, -1, 0]], None, name="A")',
    "layers.CouplingTransfer(layers.basic(4, uses=2), layers.ZeroPadding(4, 2), layers.Conv(4, 1, strides=2))",
    "layers.StochasticDepth((0.5, 1.0), inverted=True, seed=1)",
    "layers.FractalLevel(4, 3, column=None, drop_path=0.1)",
    "layers.Diffusion(2, 5, reaction=0.2)",
]
WRONG = [
    *(line for family in FAMILIES for line in wrong(family)),
    *(f"layers.{name}(nosuch=1)" for name in layers.__all__ if name not in ("Field", "separable_scales")),
    "layers.GridLevel(4, 4, 2, nue=1)",
    'layers.GridLevel(4, 4, nu="2")',
    'layers.GridTransfer(8, 8, normalize="no")',
    "layers.Norm(foldable=None)",
    "layers.StochasticDepth(0.5)",
    "layers.basic(4, 3)",
]


def mypy(file):
    """The lines of a file in which mypy finds an error."""
    pytest.importorskip("mypy", reason="mypy is not installed")
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file=", file.name]
    env = {"MYPYPATH": str(ROOT), "MYPY_CACHE_DIR": str(file.parent / "cache")}
    return [int(line) for line in re.findall(r"^program\.py:(\d+): error", run(command, file, env), flags=re.MULTILINE)]


def pyright(file):
    """The lines of a file in which pyright finds an error."""
    check_pyright()
    config = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT)], "include": [file.name]}
    (file.parent / "pyrightconfig.json").write_text(json.dumps(config))
    report = json.loads(run(["pyright", "--outputjson", "--pythonpath", sys.executable], file, {}))
    assert report["summary"]["filesAnalyzed"] == 1
    return [
        entry["range"]["start"]["line"] + 1 for entry in report["generalDiagnostics"] if entry["severity"] == "error"
    ]


def check_pyright():
    if shutil.which("pyright") is None or subprocess.run(["pyright", "--version"], capture_output=True).returncode:
        pytest.skip("pyright is not installed, or does not find node")


def run(command, file, env):
    return subprocess.run(command, cwd=file.parent, env={**os.environ, **env}, capture_output=True, text=True).stdout


@pytest.mark.slow
@pytest.mark.parametrize("checker", [mypy, pyright])
def test_right_calls_pass_and_wrong_ones_do_not(checker, tmp_path):
    file = tmp_path / "program.py"
    file.write_text("\n".join(["import keras_mgnet", "from keras_mgnet import layers", *RIGHT, *WRONG, ""]))
    first = 3 + len(RIGHT)
    assert sorted(set(checker(file))) == list(range(first, first + len(WRONG)))


@pytest.mark.slow
def test_mypy_finds_no_error_in_the_package(tmp_path):
    pytest.importorskip("mypy", reason="mypy is not installed")
    found = run([sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path)], ROOT / "pyproject.toml", {})
    assert found.startswith("Success"), found


def test_pyright_finds_no_error_in_the_package():
    check_pyright()
    found = run(["pyright", "--pythonpath", sys.executable], ROOT / "pyproject.toml", {})
    assert "\n0 errors" in found, found
