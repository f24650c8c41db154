"""For Colab: the notebooks that link to it as .ipynb files, and the links that open these files there."""

import re
import tomllib

import jupytext
import nbformat
from marked import DOCS

COLAB = "https://colab.research.google.com/"
LINK = re.compile(rf"(?<={re.escape(COLAB)}github/)\S+?(?=/blob/main/notebooks/\w+\.ipynb)")


def colab() -> dict[str, str]:
    """Returns the pages with links to Colab, and the notebooks, by their paths below docs."""
    names = sorted(path.stem for path in DOCS.glob("notebooks/*.md") if COLAB in path.read_text())
    repository = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
    pages = {
        page: LINK.sub(repository.removeprefix("https://github.com/"), (DOCS / page).read_text())
        for page in (f"notebooks/{name}.md" for name in names)
    }
    files = {f"notebooks/{name}.ipynb": notebook(pages[f"notebooks/{name}.md"]) for name in names}
    return pages | files


def notebook(page: str) -> str:
    """Returns the page of a notebook as the content of an .ipynb file without outputs."""
    document = jupytext.reads(page, "md")
    for number, cell in enumerate(document.cells):
        cell.id = f"cell-{number}"  # else random
    return nbformat.writes(document) + "\n"
