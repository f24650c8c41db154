"""Who may import whom: the contract of pyproject.toml, over the tree as it is installed."""

import subprocess
import sys
from runpy import run_path

import pytest
import setuptools
from conftest import ROOT

CIRCLES = """
import graphlib, grimp
graph = grimp.build_graph("keras_mgnet", cache_dir=None)
graphlib.TopologicalSorter({module: graph.find_modules_directly_imported_by(module) for module in graph.modules}).prepare()
print(len(graph.modules))
"""
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the whole package, by links, and with the contract."""
    pytest.importorskip("importlinter", reason="import-linter is not installed")
    folder = tmp_path_factory.mktemp("installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(setuptools, "setup", lambda **options: None)
        mapped = run_path("setup.py")["FOLDERS"]
    (folder / "keras_mgnet").mkdir()
    for entry in (ROOT / "keras_mgnet").iterdir():
        (folder / "keras_mgnet" / entry.name).symlink_to(entry)
    for module, source in mapped.items():
        place = folder.joinpath(*module.split("."))
        if not place.exists():
            place.symlink_to(ROOT / source)
    (folder / "pyproject.toml").symlink_to(ROOT / "pyproject.toml")
    return folder


def run(folder, program):
    """What a program prints in a folder, whose modules come first."""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True)


def test_floors_import_what_is_below_them(installed):
    found = run(installed, LINT)
    assert found.returncode == 0 and " 0 broken" in found.stdout, found.stdout + found.stderr


def test_no_files_import_each_other_in_a_circle(installed):
    found = run(installed, CIRCLES)
    assert found.returncode == 0 and int(found.stdout) > 200, found.stderr


def test_an_arrow_from_below_to_above_is_found(installed):
    """The check itself works: an error of a file that breaks the contract."""
    strange = installed / "keras_mgnet" / "errors.py"
    source = strange.read_text()
    strange.unlink()
    strange.write_text(source + "\n\ndef loaded():\n    from keras_mgnet import cli\n    return cli\n")
    found = run(installed, LINT)
    assert found.returncode == 1 and "keras_mgnet.errors -> keras_mgnet.cli" in found.stdout
    assert "CycleError" in run(installed, CIRCLES).stderr
