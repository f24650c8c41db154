"""For the documentation: equations as MathML, which browsers show without scripts and without fonts of ours."""

import html
import re
from xml.etree import ElementTree

from latex2mathml.converter import convert

BLOCK = re.compile(r'<div class="arithmatex">\\\[(.*?)\\\]</div>', re.DOTALL)
INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
FOUND = re.compile(r"\\\((.*?)\\\)|\\\[(.*?)\\\]", re.DOTALL)  # what a search finds


def typeset(page: str) -> str:
    """Returns an HTML page with MathML in place of the TeX that the Markdown extension `arithmatex` has marked.

    Raises:
        ValueError: for TeX that cannot be typeset.
    """
    page = BLOCK.sub(lambda found: _mathml(found[1], "block"), page)
    return INLINE.sub(lambda found: _mathml(found[1], "inline"), page)


def readable(text: str) -> str:
    """Returns a text of the search index with the letters of each equation in place of its TeX."""

    def letters(found: re.Match) -> str:
        return html.escape("".join(ElementTree.fromstring(_mathml(found[1] or found[2], "inline")).itertext()))

    return FOUND.sub(letters, text)


def _mathml(tex: str, display: str) -> str:
    try:
        shown = convert(html.unescape(tex), display=display)
    except Exception as error:
        raise ValueError(f"expected an equation in TeX. Received: {tex} ({type(error).__name__})") from None
    if "\\" in shown:
        raise ValueError(f"expected commands that latex2mathml knows. Received: {tex}")
    return shown
