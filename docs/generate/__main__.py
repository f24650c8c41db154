"""Writes what the documentation shows of the package's data: `python docs/generate`.

The results are kept in the repository, so that they can be read there; a test compares them with the data.
"""

from importlib.util import find_spec

from colab import colab
from equations import equations
from marked import DOCS, filled
from options import option_table
from recipes import recipe_table
from results import results
from scaling import scaling_table
from zoo import diagrams, layer_reference, reference, zoo

if HAS_GRIMP := find_spec("grimp") is not None:  # which comes with import-linter
    from architecture import architecture, folders


def generated() -> dict[str, str]:
    """Returns the content of every generated file, by its path below docs."""
    pages = [
        ("zoo.md", "zoo", zoo()),
        ("recipes.md", "recipes", recipe_table()),
        ("training.md", "options", option_table()),
        ("results.md", "results", results()),
        ("scaling.md", "scaling", scaling_table()),
        ("equations.md", "equations", equations()),
        ("reference/models.md", "families", reference()),
        ("reference/layers.md", "layers", layer_reference()),
    ]
    pictures = diagrams()
    if HAS_GRIMP:
        pages.append(("architecture.md", "folders", folders()))
        pictures["images/architecture.svg"] = architecture()
    return {page: filled(page, name, text) for page, name, text in pages} | pictures | colab()


if __name__ == "__main__":
    for path, content in generated().items():
        (DOCS / path).parent.mkdir(exist_ok=True)
        (DOCS / path).write_text(content)
