"""Decides whether two records describe the same run. Only then may a new process resume the run."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from keras_mgnet.training.runs.run import OF_THE_MACHINE

PARTS = ("config", "training", "data", "model")
# Fields that older records lack, with the value that means the same.
LATER = dict.fromkeys(
    ("validation", "teacher", "temperature", "alpha", "kernel_rate", "clip_norm", "grid", "pairs", "prolong")
) | {"beta_rate": 1.0, "accumulate": 1}
# The name of the data set may differ: its hash identifies the data.
MAY_DIFFER = ("dataset", *OF_THE_MACHINE)


def identity(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a record (see `prepare.record`) that decide what is trained and how.

    Example:
        >>> identity({"config": {"seed": 1, "out": "runs/a"}, "training": {}, "data": {}, "model": {}})
        {'recipe': None, 'seed': 1}
    """
    record = json.loads(json.dumps(record))
    fields = {"recipe": record.get("recipe")}
    for part in PARTS:
        fields |= {key: value for key, value in record.get(part, {}).items() if key not in MAY_DIFFER}
    fields = {key: value for key, value in fields.items() if key not in LATER or value != LATER[key]}
    if not fields.get("scale_learning_rate"):
        fields.pop("replicas", None)
    return fields


def digest(record: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of the identity of a record."""
    return hashlib.sha256(json.dumps(identity(record), sort_keys=True).encode()).hexdigest()


def check_same(asked: Mapping[str, Any], found: Mapping[str, Any], where: object) -> None:
    """Raises ValueError unless two records describe the same run. The message names the first field that differs."""
    new, old = identity(asked), identity(found)
    for key in new | old:
        if new.get(key) != old.get(key):
            raise ValueError(
                f"expected {key}={old.get(key)!r} as in the run in '{where}', or another directory. "
                f"Received: {key}={new.get(key)!r}"
            )
