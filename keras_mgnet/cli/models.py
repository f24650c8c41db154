"""`list` and `describe`: show the networks that have a name, and the levels of a network."""

from __future__ import annotations

from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keras_mgnet.cli.options import JsonOption, SetOption, parse_pairs
from keras_mgnet.cli.start import preload_keras
from keras_mgnet.console import MARKS, print_json, say, show, table
from keras_mgnet.trained import trained_names, trained_record
from keras_mgnet.zoo import FACTS, Description, Entry, entry, matching

if TYPE_CHECKING:
    import keras

SHOWN = ("MNIST", "CIFAR-10", "CIFAR-100", "ImageNet")
CAPTION = (
    f"{MARKS[True]} published size equals ours, rounded or truncated; {MARKS[False]} published size not reproducible; "
    "top-1 accuracy in percent as published"
)


def list_command(
    pattern: Annotated[str, typer.Argument(help="shell pattern, such as 'resnet18*'")] = "*",
    trained: Annotated[bool, typer.Option("--trained", help="list the trained networks of the package")] = False,
    json_: JsonOption = False,
) -> None:
    """List the networks by name, with their exact size and the published size and accuracy.

    Example:
        keras-mgnet list 'resnet18*'
        keras-mgnet list --trained
    """
    if trained:
        _list_trained(pattern, json_)
        return
    rows = matching(pattern)
    if json_:
        print_json([{name: getattr(row, name) for name in FACTS} for row in rows])
        return
    show(
        table(
            ("name", "parameters", "published", *SHOWN, "source"), map(_cells, rows), left=("source",), caption=CAPTION
        )
    )
    for row in rows:
        if row.size_matches is False:
            say(f"{MARKS[False]} {row.name}: published size not reproducible: {row.note}")


def _list_trained(pattern: str, json_: bool) -> None:
    records = {name: trained_record(name) for name in trained_names() if fnmatchcase(name, pattern)}
    if json_:
        facts = [{"name": name, **record["model"], **record["trained"]} for name, record in records.items()]
        print_json([fact | {"command": records[fact["name"]]["command"]} for fact in facts])
        return
    headings = ("name", "family", "parameters", "data set", "accuracy", "calibration error", "MB")
    rows = [
        (
            name,
            record["model"]["family"],
            f"{record['model']['params']:,}",
            record["config"]["dataset"],
            f"{100 * record['trained']['accuracy']:.2f} %",
            f"{100 * record['trained']['calibration_error']:.2f} %",
            f"{record['trained']['bytes'] / 1e6:.2f}",
        )
        for name, record in records.items()
    ]
    show(table(headings, rows, left=("family", "data set"), caption="on all test images, without averaging over views"))


def _cells(row: Entry) -> tuple[str, ...]:
    size = f"{row.size or ''} {MARKS[row.size_matches]}".strip()
    figures = {title: f"{figure:.2f}" for title, figure in row.figures.items()}
    return (row.name, f"{row.params:,}", size, *(figures.get(title, "") for title in SHOWN), row.source)


def describe_command(
    name: Annotated[str, typer.Argument(help="a name from `keras-mgnet list`, or a run directory")],
    set: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Show the levels of a network: grid, channels, iterations, parameters, multiply-adds, and which kernels are reused.

    Example:
        keras-mgnet describe mgnet_2222_c256_shared_b --set nu=3,3,3,3
        keras-mgnet describe runs/mnist-mgnet-001
    """
    of_a_run = Path(name).is_dir() or name in trained_names()
    described = _built(name, of_a_run, set) if of_a_run or set else entry(name).description
    if json_:
        print_json(asdict(described))
    else:
        say(str(described))


def _built(name: str, of_a_run: bool, changed: list[str] | None) -> Description:
    preload_keras()
    from keras_mgnet.description import description
    from keras_mgnet.registry import create_model

    return description(_model_of_run(Path(name), changed) if of_a_run else create_model(name, **parse_pairs(changed)))


def _model_of_run(path: Path, changed: list[str] | None) -> keras.Model:
    from keras_mgnet.training.runs.run import open_run

    if changed:
        raise ValueError(f"expected set only with the name of a network. Received: set={changed}")
    return open_run(path).load_model()
