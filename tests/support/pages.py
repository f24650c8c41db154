"""The pages of the documentation and the blocks of code in them."""

import re
from typing import NamedTuple

import yaml

from support import ROOT

DEPLOY = ROOT / "docs" / "deploy"
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGES = ["CONTRIBUTING.md", "README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]


class Block(NamedTuple):
    """A fenced block: language, code, and the line of the page on which the code begins, counted from 0."""

    language: str
    code: str
    line: int


def blocks(page, *languages):
    """Returns the fenced blocks of a page in these languages, or in all languages if none is given."""
    text = (ROOT / page).read_text()
    found = [Block(match[1], match[2], text[: match.start(2)].count("\n")) for match in FENCE.finditer(text)]
    return [block for block in found if block.language in languages or not languages]


def pages_with(language):
    """Returns the pages with a block in this language."""
    return [page for page in PAGES if blocks(page, language)]


def manifest(name):
    """Returns the documents of a YAML file of docs/deploy."""
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def without_fences(page):
    """Returns the text of a page between its fenced blocks."""
    return FENCE.sub("", (ROOT / page).read_text())
