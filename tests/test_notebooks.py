"""The notebooks run from top to bottom in a kernel of their own, show what they promise and end where they say."""

import sys
from pathlib import Path

import jupytext
import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient
from test_data import TFDS

NOTEBOOKS = {path.stem: path for path in (ROOT / "notebooks").glob("*.md")}
MNIST = pytest.mark.skipif(not (TFDS / "mnist").is_dir(), reason=f"{TFDS} has no mnist, which TFDS prepares")
WITHOUT_NOTES = "--IPKernelApp.capture_fd_output=False"  # those of TensorFlow's libraries, which no program can stop

CHECKS = {  # notebook -> number of its pictures, and what holds at its end
    "mnist": (5, "assert accuracy > 0.97 and difference < 1e-4"),
    "multigrid": (6, "assert difference < 1e-8 and len(history) < 20 and np.mean(losses[-20:]) < np.log(0.4)"),
    "search_and_serve": (1, "assert server.returncode == 0 and len(answer['probabilities']) == 10"),
}


def test_every_notebook_is_checked_and_shown():
    assert set(NOTEBOOKS) == set(CHECKS)
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert [name for name in NOTEBOOKS if f"notebooks/{name}.md" not in navigation] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param("mnist", marks=MNIST), "multigrid", "search_and_serve"])
def test_a_notebook_runs(name, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")  # where `keras-mgnet` is
    monkeypatch.setenv("TFDS_DATA_DIR", str(TFDS))
    pictures, check = CHECKS[name]
    notebook = jupytext.read(NOTEBOOKS[name])
    notebook.cells.append(nbformat.v4.new_code_cell(check))
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, resources=place, extra_arguments=[WITHOUT_NOTES]).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", ()) for output in outputs) == pictures
    assert [output.text for output in outputs if "warning" in output.get("text", "").lower()] == []
