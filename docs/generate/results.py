"""The page of results: the runs with a record, and the picture of their accuracies beside the published ones."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from marked import DOCS

from keras_mgnet.description import level_table
from keras_mgnet.models.datasets import CIFAR10, CIFAR100, MNIST
from keras_mgnet.registry import all_models, families
from keras_mgnet.reporting import table
from keras_mgnet.trained import FOLDER

HEADINGS = (
    "network",
    "data set",
    "parameters",
    "multiply-adds",
    "PFLOP",
    "epochs",
    "minutes",
    "test accuracy",
    "published",
    "record",
)
SETS = {dataset.name: dataset for dataset in (MNIST, CIFAR10, CIFAR100)}


@cache
def runs() -> list[tuple[Path, dict[str, Any]]]:
    """Returns folder and run.json of each recorded run of a classifier on a set of the papers, the trained networks' first."""
    files = [*sorted(FOLDER.glob("*/run.json")), *sorted((DOCS / "records").rglob("run.json"))]
    read = [(file.parent, json.loads(file.read_text())) for file in files]
    return [(folder, run) for folder, run in read if run["config"]["dataset"] in SETS]


def results() -> str:
    """Returns a row for each run."""
    return table(HEADINGS, [_row(folder, run) for folder, run in runs()])


def _row(folder: Path, run: dict[str, Any]) -> tuple[str, ...]:
    config, result, params = run["config"], run["result"], run["model"]["params"]
    madds = multiply_adds(run)
    flop = 3 * 2 * madds * run["data"]["train"] * result["epochs"]
    published = all_models()[config["model"]].own.get(config["dataset"]) if not config["set"] else None
    shipped = folder.parent == FOLDER
    place = f"`{folder.name}`" if shipped else _link(folder)
    return (
        config["model"] + "".join(f" {key}={value}" for key, value in config["set"].items()),
        SETS[config["dataset"]].title,
        f"{params:,}",
        f"{madds / 1e6:,.1f} M",
        f"{flop / 1e15:.3f}",
        str(result["epochs"]),
        f"{result['seconds'] / 60:.0f}",
        f"{100 * (run['trained']['accuracy'] if shipped else result['last_test_accuracy']):.2f} %",
        f"{published.figure:.2f} %" if published and published.figure else "",
        place,
    )


def _link(folder: Path) -> str:
    """Returns a link to the record in the folder or above it."""
    record = next(place for place in (folder, *folder.parents) if (place / "README.md").is_file())
    return f"[{record.name}](records/{record.relative_to(DOCS / 'records')}/README.md)"


def multiply_adds(run: dict[str, Any]) -> int:
    """Returns the multiply-adds of a network for one image."""
    model = families()[run["model"]["family"]].from_config(run["model"]["config"])
    return sum(row.multiply_adds for row in level_table(model))
