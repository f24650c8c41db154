"""Who may import whom: the contract of pyproject.toml."""

import os
import shutil
import subprocess
import sys

import pytest

from support import ROOT

CIRCLES = """
import graphlib, grimp
graph = grimp.build_graph("keras_mgnet", cache_dir=None)
graphlib.TopologicalSorter({module: graph.find_modules_directly_imported_by(module) for module in graph.modules}).prepare()
print(len(graph.modules))
"""
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"

pytest.importorskip("importlinter", reason="import-linter is not installed")


def run(program, folder=ROOT):
    """What a program prints in a folder, whose modules come first."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run([sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True)


def test_floors_import_what_is_below_them():
    found = run(LINT)
    assert found.returncode == 0 and " 0 broken" in found.stdout, found.stdout + found.stderr


def test_no_files_import_each_other_in_a_circle():
    found = run(CIRCLES)
    assert found.returncode == 0 and int(found.stdout) > 200, found.stderr


def test_an_arrow_from_below_to_above_is_found(tmp_path):
    """The check itself works: an error of a file that breaks the contract."""
    shutil.copytree(
        ROOT / "keras_mgnet", tmp_path / "keras_mgnet", ignore=lambda *_: {"onnxruntime-web", "__pycache__"}
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "keras_mgnet" / "errors.py").open("a") as errors:
        errors.write("\n\ndef loaded():\n    from keras_mgnet import cli\n    return cli\n")
    found = run(LINT, tmp_path)
    assert found.returncode == 1 and "keras_mgnet.errors -> keras_mgnet.cli" in found.stdout
    assert "CycleError" in run(CIRCLES, tmp_path).stderr


@pytest.mark.parametrize("folder", ["training", "export"])
def test_a_folder_beside_the_package_is_not_a_second_copy_of_it(folder):
    program = f"try: import {folder}\nexcept ImportError as error: print(error)\nimport keras_mgnet.{folder}"
    assert run(program).stdout == (
        f"expected `import keras_mgnet.{folder}`, this folder's name. Received: import {folder}\n"
    )
