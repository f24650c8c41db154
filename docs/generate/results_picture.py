"""Draws accuracy against size and arithmetic, published and ours: `python docs/generate/results_picture.py`. Needs matplotlib."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from marked import DOCS
from results import SETS, multiply_adds, runs

from keras_mgnet import zoo
from keras_mgnet.registry import all_models
from keras_mgnet.trained import FOLDER

DRAWN = ("cifar10", "cifar100")
BLUE, GREY = "#0060a0", "#9aa0a6"


def main() -> None:
    figure, grid = plt.subplots(len(DRAWN), 2, figsize=(10, 7.5), sharey="row", layout="constrained")
    for panels, name in zip(grid, DRAWN, strict=True):
        published, ours = _published(name), _ours(name)
        for column, panel in enumerate(panels):
            points = zip(*((point[column], point[2]) for point in published), strict=True)
            panel.semilogx(*points, "o", color=GREY, markersize=4, label="published rows of the zoo")
            for n, (*sizes, accuracy, label) in enumerate(ours):
                panel.semilogx(sizes[column], accuracy, "D", color=BLUE, label="trained here")
                place = {"xytext": (0, -14 - 10 * (n % 2)), "textcoords": "offset points", "fontsize": 8, "color": BLUE}
                panel.annotate(label, (sizes[column], accuracy), **place)
            panel.set(title=SETS[name].title, xlabel=("parameters", "multiply-adds of one image")[column])
            handles = dict(zip(*panel.get_legend_handles_labels()[::-1], strict=True))
            panel.legend(handles.values(), handles.keys(), loc="lower right", fontsize=8)
            panel.grid(alpha=0.3)
        panels[0].set(ylabel="test accuracy, %")
    figure.savefig(DOCS / "images" / "results.png", dpi=110)


def _published(name: str) -> list[tuple[float, float, float]]:
    """Returns parameters, multiply-adds and accuracy of each row with a printed accuracy."""
    rows = [info for info in all_models().values() if name in info.own and info.own[name].figure]
    return [(info.params, zoo.entry(info.name).description.multiply_adds, info.own[name].figure) for info in rows]


def _ours(name: str) -> list[tuple[float, float, float, str]]:
    """Returns parameters, multiply-adds, accuracy and name of each network that was trained here."""
    return [
        (
            run["model"]["params"],
            multiply_adds(run),
            100 * run.get("trained", {}).get("accuracy", run["result"]["last_test_accuracy"]),
            folder.name if folder.parent == FOLDER else "",
        )
        for folder, run in runs()
        if run["config"]["dataset"] == name
    ]


main()
