"""Puts what is generated into the pages: between two comments of a page, and as files beside it."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[1]


def filled(page: str, name: str, text: str) -> str:
    """Returns a page of docs with `text` between `<!-- NAME: written by docs/generate -->` and `<!-- end -->`."""
    start, end = f"<!-- {name}: written by docs/generate -->", "<!-- end -->"
    content = (DOCS / page).read_text()
    if not re.search(f"{re.escape(start)}.*?{end}", content, flags=re.DOTALL):
        raise ValueError(f"expected '{start}' and '{end}' in docs/{page}")
    before, _, rest = content.partition(start)
    return f"{before}{start}\n\n{text}\n\n{end}{rest.partition(end)[2]}"
