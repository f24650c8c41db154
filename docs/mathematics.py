"""For the documentation: equations as MathML, which browsers show without scripts and without fonts of ours."""

import html
import re

from latex2mathml.converter import convert

BLOCK = re.compile(r'<div class="arithmatex">\\\[(.*?)\\\]</div>', re.DOTALL)
INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)


def typeset(page: str) -> str:
    """Returns an HTML page with MathML in place of the TeX that the Markdown extension `arithmatex` has marked."""
    page = BLOCK.sub(lambda found: convert(html.unescape(found[1]), display="block"), page)
    return INLINE.sub(lambda found: convert(html.unescape(found[1])), page)
