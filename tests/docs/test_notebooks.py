"""The notebooks run from top to bottom in a kernel of their own, show what they promise and end where they say."""

import runpy
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

from support import ROOT, TFDS

NOTEBOOKS = {path.stem: path for path in (ROOT / "notebooks").glob("*.md")}
MNIST = pytest.mark.skipif(not (TFDS / "mnist").is_dir(), reason=f"{TFDS} has no mnist, which TFDS prepares")
WITHOUT_NOTES = "--IPKernelApp.capture_fd_output=False"  # those of TensorFlow's libraries, which no program can stop

CHECKS = {  # notebook -> number of its pictures, and what holds at its end
    "mnist": (5, "assert accuracy > 0.97 and difference < 1e-4"),
    "multigrid": (5, "assert difference < 1e-8 and len(history) < 20 and np.mean(losses[-20:]) < np.log(0.4)"),
    "search_and_serve": (1, "assert server.returncode == 0 and len(answer['probabilities']) == 10"),
}


def test_every_notebook_is_checked_and_shown():
    assert set(NOTEBOOKS) == set(CHECKS)
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert [name for name in NOTEBOOKS if f"notebooks/{name}.md" not in navigation] == []


def test_the_documentation_shows_the_outputs_of_cells_that_are_unchanged(tmp_path):
    with_outputs = runpy.run_path(str(ROOT / "docs" / "outputs.py"))["with_outputs"]
    text, executed = NOTEBOOKS["mnist"].read_text(), tmp_path / "mnist.ipynb"
    assert with_outputs(text, executed) == text

    notebook = jupytext.read(NOTEBOOKS["mnist"])
    first, second, *_ = (cell for cell in notebook.cells if cell.cell_type == "code")
    first.outputs = [nbformat.v4.new_output("stream", text=f"0123{name}\n") for name in "ab"]
    second.outputs = [nbformat.v4.new_output("display_data", {"image/png": "AAAA", "text/plain": "a figure"})]
    nbformat.write(notebook, executed)
    shown = with_outputs(text, executed)
    assert f"{first.source}\n```\n\n```text\n0123a\n0123b\n```\n" in shown
    assert "base64,AAAA" in shown.partition(second.source)[2]
    changed = with_outputs(text.replace(first.source, "pass"), executed)
    assert "0123" not in changed and "base64,AAAA" in changed


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
