"""Builds the documentation as build/site, and fails where a link, a name, a picture or an equation is wrong: `make docs`."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from mathematics import readable, typeset
from outputs import with_outputs

DOCS = Path(__file__).parent
BUILD = DOCS.parent / "build"
PAGES, SITE = BUILD / "docs", BUILD / "site"
UNTRIED = '```python tags=["skip-execution"]'  # a cell that only readers run; Zensical does not know such a fence


def copy_pages() -> None:
    """Copies the pages, links followed, and fills in what the notebooks have shown."""
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.copytree(DOCS, PAGES, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for page in PAGES.glob("notebooks/*.md"):
        text = page.read_text().replace(UNTRIED, "```python")
        page.write_text(with_outputs(text, BUILD / "notebooks" / f"{page.stem}.ipynb"))


def typeset_site() -> None:
    """Typesets the equations of all pages, and has them as letters in the search index."""
    for page in SITE.rglob("*.html"):
        shown = typeset(page.read_text())
        if "arithmatex" in shown:
            sys.exit(f"expected all equations in place of their TeX. Received: {page}")
        page.write_text(shown)
    index = json.loads((SITE / "search.json").read_text())
    for item in index["items"]:
        item["text"] = readable(item["text"])
    (SITE / "search.json").write_text(json.dumps(index))


def missing(pages: Path, site: Path) -> Iterator[str]:
    """Yields the names that reference pages should show and the pictures that pages refer to, where the site has none.

    Zensical skips plugins and settings that it does not know without a word, and checks no pictures.
    """
    for page in sorted(pages.rglob("*.md")):
        place = page.relative_to(pages).with_suffix("")
        folder = place.parent if place.name in ("index", "README") else place
        html = (site / folder / "index.html").read_text()
        shown = re.findall(r'id="([^"]+)"', html)
        for name in re.findall(r"^::: (\S+)$", page.read_text(), flags=re.MULTILINE):
            if not any(anchor == name or anchor.startswith(f"{name}.") for anchor in shown):
                yield f"{name} on {place}"
        for picture in re.findall(r'<img[^>]* src="(?!data:|https?:)([^"#?]+)', html):
            if not (site / folder / picture).is_file():
                yield f"{picture} on {place}"


if __name__ == "__main__":
    copy_pages()
    subprocess.run([sys.executable, "-m", "zensical", "build", "--clean", "--strict"], cwd=DOCS.parent, check=True)
    typeset_site()
    if lost := list(missing(PAGES, SITE)):
        sys.exit(f"expected in the documentation: {', '.join(lost)}")
