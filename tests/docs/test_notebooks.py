"""The notebooks run from top to bottom in a kernel of their own, show what they promise and end where they say."""

import re
import runpy
import sys
import tomllib
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

from support import ROOT, TFDS

NOTEBOOKS = {path.stem: path for path in (ROOT / "notebooks").glob("*.md")}
MNIST = pytest.mark.skipif(not (TFDS / "mnist").is_dir(), reason=f"{TFDS} has no mnist, which TFDS prepares")
WITHOUT_NOTES = "--IPKernelApp.capture_fd_output=False"  # those of TensorFlow's libraries, which no program can stop
REPLACING = {"all", "serve", "test", "tfds"}  # extras that can replace packages of Colab, see docs/installation.md

CHECKS = {  # notebook -> number of its pictures, and what holds at its end
    "mnist": (
        5,
        "assert accuracy > 0.97 and difference < 1e-4",
        "assert lite_agreement == 1 and lite_difference < 1e-3",
    ),
    "multigrid": (
        6,
        "assert difference < 1e-8 and len(history) < 20 and np.mean(losses[-20:]) < np.log(0.4)",
        "assert varying_history[-1] < 1e-10 and len(varying_history) < 30",
    ),
    "own_images": (
        2,
        "assert accuracy > max(0.85, before) and confusion.trace() == round(accuracy * 64)",
        "assert data.class_names[probabilities.argmax()] == 'star'",
    ),
    "pde": (2, "assert mean_relative_l2(y[test], found) < 0.1 and residuals[-1].max() <= 1e-8"),
    "search_and_serve": (1, "assert server.returncode == 0 and len(answer['probabilities']) == 10"),
}


def test_every_notebook_is_checked_and_shown():
    assert set(NOTEBOOKS) == set(CHECKS)
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert [name for name in NOTEBOOKS if f"notebooks/{name}.md" not in navigation] == []


def test_four_notebooks_open_in_colab_and_begin_with_their_installation():
    """`test_generated_files_are_up_to_date` compares the .ipynb files with the pages."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    owner_and_name = project["urls"]["Repository"].removeprefix("https://github.com/")
    files = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert [file.stem for file in files] == ["mnist", "multigrid", "own_images", "pde"]
    for file in files:
        link = f"https://colab.research.google.com/github/{owner_and_name}/blob/main/notebooks/{file.name}"
        title, *cells = nbformat.read(file, as_version=4).cells
        assert re.search(rf"^\[!\[Open in Colab\]\(.*\)\]\({re.escape(link)}\)$", title.source, flags=re.MULTILINE)
        install = next(cell for cell in cells if cell.cell_type == "code")
        assert install.metadata.tags == [NotebookClient.skip_cells_with_tag.default_value]
        extras = re.match(r'%pip install --quiet "keras-mgnet\[([a-z,]+)\]"', install.source)[1].split(",")
        assert set(extras) <= set(project["optional-dependencies"]) - REPLACING


def test_the_documentation_shows_the_outputs_of_cells_that_are_unchanged(tmp_path):
    with_outputs = runpy.run_path(str(ROOT / "docs" / "outputs.py"))["with_outputs"]
    text, executed = NOTEBOOKS["mnist"].read_text(), tmp_path / "mnist.ipynb"
    assert with_outputs(text, executed) == text

    notebook = jupytext.read(NOTEBOOKS["mnist"])
    _, first, second, *_ = (cell for cell in notebook.cells if cell.cell_type == "code")
    first.outputs = [nbformat.v4.new_output("stream", text=f"0123{name}\n") for name in "ab"]
    second.outputs = [nbformat.v4.new_output("display_data", {"image/png": "AAAA", "text/plain": "a figure"})]
    nbformat.write(notebook, executed)
    shown = with_outputs(text, executed)
    assert f"{first.source}\n```\n\n```text\n0123a\n0123b\n```\n" in shown
    assert "base64,AAAA" in shown.partition(second.source)[2]
    changed = with_outputs(text.replace(first.source, "pass"), executed)
    assert "0123" not in changed and "base64,AAAA" in changed


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(name, marks=MNIST if name == "mnist" else ()) for name in CHECKS])
def test_a_notebook_runs(name, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")  # where `keras-mgnet` is
    monkeypatch.setenv("TFDS_DATA_DIR", str(TFDS))
    pictures, *checks = CHECKS[name]
    notebook = jupytext.read(NOTEBOOKS[name])
    notebook.cells += map(nbformat.v4.new_code_cell, checks)
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, resources=place, extra_arguments=[WITHOUT_NOTES]).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", ()) for output in outputs) == pictures
    assert [output.text for output in outputs if "warning" in output.get("text", "").lower()] == []
