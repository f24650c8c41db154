"""Runs measurements in fresh processes, and writes records as JSON and Markdown. All benchmarks use this file."""

import multiprocessing
import os
import platform
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from keras_mgnet.files import write_json
from keras_mgnet.reporting import table
from keras_mgnet.version import installed


def in_process(function: Callable, *arguments) -> Any:
    """Runs a function in a fresh process, without threads and memory of earlier measurements. The process may have children."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def environment(*packages: str) -> dict[str, Any]:
    """Returns the Python version, the number of cores, and the versions of those packages that are installed."""
    machine = {"python": platform.python_version(), "cores": len(os.sched_getaffinity(0))}
    return machine | installed(packages)


def markdown(rows: Sequence[dict], columns: dict[str, str]) -> str:
    """Returns rows as a Markdown table. `columns` maps the keys of the rows to headings."""
    return table(columns.values(), ([shown(row.get(key)) for key in columns] for row in rows))


def shown(value) -> str:
    """Formats a value: a float below 100 with three digits, a larger float as a whole number, an integer with all digits."""
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else value or ""


def write(out: Path, name: str, record: dict, text: str) -> None:
    """Writes <name>.json and <name>.md, and prints the paths."""
    write_json(out / f"{name}.json", record)
    (out / f"{name}.md").write_text(text + "\n")
    print(f"wrote {out / name}.json, .md")
