"""Draws accuracy against parameters, published and ours: `python docs/generate/results_picture.py`. Needs matplotlib."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from marked import DOCS
from results import SETS, runs

from keras_mgnet.registry import all_models
from keras_mgnet.trained import FOLDER

PANELS = ("cifar10", "cifar100")
BLUE, GREY = "#0060a0", "#9aa0a6"


def main() -> None:
    figure, axes = plt.subplots(1, len(PANELS), figsize=(10, 4), layout="constrained")
    for panel, name in zip(axes, PANELS, strict=True):
        published = [
            (info.params, info.own[name].figure)
            for info in all_models().values()
            if name in info.own and info.own[name].figure
        ]
        ours = [
            (
                run["model"]["params"],
                100 * run.get("trained", {}).get("accuracy", run["result"]["last_test_accuracy"]),
                folder,
            )
            for folder, run in runs()
            if run["config"]["dataset"] == name
        ]
        panel.semilogx(*zip(*published, strict=True), "o", color=GREY, markersize=4, label="published rows of the zoo")
        for params, accuracy, folder in ours:
            panel.semilogx(params, accuracy, "D", color=BLUE, label="trained here")
            label = folder.name if folder.parent == FOLDER else ""
            panel.annotate(
                label, (params, accuracy), xytext=(0, -14), textcoords="offset points", fontsize=8, color=BLUE
            )
        panel.set(title=SETS[name].title, xlabel="parameters", ylabel="test accuracy, %")
        handles = dict(zip(*panel.get_legend_handles_labels()[::-1], strict=True))
        panel.legend(handles.values(), handles.keys(), loc="lower right", fontsize=8)
        panel.grid(alpha=0.3)
    figure.savefig(DOCS / "images" / "results.png", dpi=110)


main()
