"""For the documentation: the `Example:` of our docstrings is the `Examples:` of Google's style, which is shown as code."""

import re

import griffe


class Examples(griffe.Extension):
    """Renames the section before the docstring is parsed."""

    def on_object(self, *, obj: griffe.Object, **kwargs) -> None:
        """Looks at every module, class and function."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
