"""For the documentation: below each cell of a notebook what it has shown, where `make notebooks` has run it."""

import json
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

CELL = re.compile(r"^```python\n(.*?)\n```$", re.DOTALL | re.MULTILINE)


def with_outputs(markdown: str, executed: Path) -> str:
    """Returns a notebook's page with the outputs of the cells that are as they were when they ran."""
    if not executed.is_file():
        return markdown
    cells = json.loads(executed.read_text())["cells"]
    outputs = {"".join(cell["source"]): cell.get("outputs", []) for cell in cells}
    return CELL.sub(lambda match: "\n\n".join([match[0], *shown(outputs.get(match[1], []))]), markdown)


def shown(outputs: list[dict]) -> Iterator[str]:
    """Yields the outputs of a cell as Markdown, what it has printed in a row as one."""
    for printed, group in groupby(outputs, lambda output: output["output_type"] == "stream"):
        if printed:
            yield block("".join(line for output in group for line in output["text"]))
        else:
            yield from (displayed(output["data"]) for output in group)


def displayed(data: dict[str, str | list[str]]) -> str:
    """Returns a value or a picture as Markdown."""
    if "image/png" in data:
        return f'<img alt="picture drawn by the cell above" src="data:image/png;base64,{"".join(data["image/png"]).strip()}">'
    return "".join(data["text/markdown"]) if "text/markdown" in data else block("".join(data["text/plain"]))


def block(text: str) -> str:
    """Returns a fenced block of text."""
    return "```text\n" + text.strip("\n") + "\n```"
