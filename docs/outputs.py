"""For the documentation: below each cell of a notebook what it has shown, where `make notebooks` has run it."""

import json
import re
from pathlib import Path

EXECUTED = Path(__file__).parents[1] / "build" / "notebooks"
CELL = re.compile(r"^```python\n(.*?)\n```$", re.DOTALL | re.MULTILINE)


def on_page_markdown(markdown: str, *, page, **kwargs) -> str:
    """Adds the outputs of the cells that are as they were when they ran."""
    path = Path(page.file.src_uri)
    file = EXECUTED / f"{path.stem}.ipynb"
    if path.parent.name != "notebooks" or not file.is_file():
        return markdown
    cells = json.loads(file.read_text())["cells"]
    outputs = {"".join(cell["source"]): cell.get("outputs", []) for cell in cells}
    return CELL.sub(lambda match: "\n\n".join([match[0], *map(shown, outputs.get(match[1], []))]), markdown)


def shown(output: dict) -> str:
    """Returns one output of a cell as Markdown."""
    if "text" in output:
        return f"```text\n{''.join(output['text']).rstrip()}\n```"
    data = output["data"]
    if "image/png" in data:
        return f'<img alt="what the cell above has drawn" src="data:image/png;base64,{"".join(data["image/png"]).strip()}">'
    return "".join(data.get("text/markdown") or ["```text\n", *data["text/plain"], "\n```"])
