"""Pictures of a run."""

import csv
from pathlib import Path

from keras_mgnet.files import staged_file

PANELS = {  # title -> (columns with their labels, scale of the axis)
    "cross-entropy": ({"loss": "training", "val_loss": "test"}, "log"),
    "error in percent": ({"accuracy": "training", "val_accuracy": "test"}, "log"),
    "learning rate": ({"learning_rate": None}, "log"),
}


def plot_curves(log: Path, path: Path, title: str) -> None:
    """Draws loss, error and learning rate per epoch from log.csv to a PNG."""
    from matplotlib.figure import Figure

    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    figure.suptitle(title)
    for axes, (name, (columns, scale)) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        for column, label in columns.items():
            values = [float(row[column]) for row in rows]
            if "accuracy" in column:
                values = [100 * (1 - value) for value in values]
            axes.plot(range(1, len(values) + 1), values, marker=".", label=label)
        axes.set(title=name, xlabel="epoch", yscale=scale)
        axes.grid(alpha=0.3)
        if len(columns) > 1:
            axes.legend()
    with staged_file(path) as staged:
        figure.savefig(staged, dpi=120)
