"""What a user's type checker says of calls of the families: right ones pass in the strictest mode, wrong ones do not."""

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields

import pytest
from conftest import ROOT

from keras_mgnet.models import FAMILIES


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


RIGHT = [right(family) for family in FAMILIES]
WRONG = [line for family in FAMILIES for line in wrong(family)]


def mypy(file):
    """The lines of a file in which mypy finds an error."""
    pytest.importorskip("mypy", reason="mypy is not installed")
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file=", file.name]
    env = {"MYPYPATH": str(ROOT), "MYPY_CACHE_DIR": str(file.parent / "cache")}
    return [int(line) for line in re.findall(r"^program\.py:(\d+): error", run(command, file, env), flags=re.MULTILINE)]


def pyright(file):
    """The lines of a file in which pyright finds an error."""
    if shutil.which("pyright") is None or subprocess.run(["pyright", "--version"], capture_output=True).returncode:
        pytest.skip("pyright is not installed, or does not find node")
    config = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT)], "include": [file.name]}
    (file.parent / "pyrightconfig.json").write_text(json.dumps(config))
    report = json.loads(run(["pyright", "--outputjson", "--pythonpath", sys.executable], file, {}))
    assert report["summary"]["filesAnalyzed"] == 1
    return [
        entry["range"]["start"]["line"] + 1 for entry in report["generalDiagnostics"] if entry["severity"] == "error"
    ]


def run(command, file, env):
    return subprocess.run(command, cwd=file.parent, env={**os.environ, **env}, capture_output=True, text=True).stdout


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_right_calls_pass_and_wrong_ones_do_not(checker, tmp_path):
    file = tmp_path / "program.py"
    file.write_text("\n".join(["import keras_mgnet", *RIGHT, *WRONG, ""]))
    first = 2 + len(RIGHT)
    assert sorted(set(checker(file))) == list(range(first, first + len(WRONG)))
