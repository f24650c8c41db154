"""Pictures: how each begins, and how it is written."""

from pathlib import Path

from keras_mgnet.files import staged_file


def new_figure(width: float, height: float, title: str | None = None):
    """Returns an empty matplotlib figure of that many inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    if title is not None:
        figure.suptitle(title)
    return figure


def save(figure, path: str | Path) -> None:
    """Writes a figure to a PNG, whole."""
    with staged_file(path, ".png") as staged:
        figure.savefig(staged, dpi=120)
