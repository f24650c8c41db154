"""Writes keras_mgnet/zoo.json, which `keras-mgnet list` and `describe` read: `python docs/generate/entries.py [PATTERN...]`.

The program builds each network of the zoo once, which takes some minutes, or only those whose name matches a shell pattern. A
slow test compares the file with the networks.
"""

import json
import sys
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import Any

from rich.progress import track

from keras_mgnet.description import description
from keras_mgnet.files import staged_file
from keras_mgnet.models.datasets import DATASETS
from keras_mgnet.registry import create_model, list_models, model_info
from keras_mgnet.zoo import FACTS, FILE


def facts(name: str) -> dict[str, Any]:
    """Returns all that zoo.json says of a network but its description."""
    info = model_info(name)
    printed, figures = info.published[0], {key: result.figure for key, result in info.own.items()}
    return {
        **{fact: getattr(info, fact) for fact in FACTS},
        "size": printed.size,
        "note": printed.note,
        "figures": {DATASETS[key].title: figure for key, figure in figures.items() if figure is not None},
    }


def described(name: str) -> dict[str, Any]:
    """Builds a network and returns its description."""
    return asdict(description(create_model(name)))


if __name__ == "__main__":
    patterns = sys.argv[1:] or ["*"]
    old = {entry["name"]: entry["description"] for entry in json.loads(FILE.read_text())} if FILE.exists() else {}
    told = [
        facts(name) | {"description": described(name) if any(fnmatchcase(name, p) for p in patterns) else old[name]}
        for name in track(list_models(), "describing the zoo")
    ]
    with staged_file(FILE) as file:
        file.write_text("[\n" + ",\n".join(map(json.dumps, told)) + "\n]\n")
