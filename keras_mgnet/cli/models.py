"""`list` and `describe`: show the networks that have a name, and the levels of a network."""

from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import keras
import typer

from keras_mgnet.cli.options import JsonOption, SetOption, parse_pairs
from keras_mgnet.console import MARKS, print_json, say, show, table
from keras_mgnet.description import count_params, describe, level_table
from keras_mgnet.models.datasets import CIFAR10, CIFAR100, IMAGENET, MNIST
from keras_mgnet.registry import ModelInfo, create_model, list_models, model_info
from keras_mgnet.trained import trained_names, trained_record

SHOWN = (MNIST, CIFAR10, CIFAR100, IMAGENET)
FACTS = ("name", "family", "kwargs", "params", "source", "reported", "recipe", "size_matches")
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
    names = list_models(pattern)
    if not names:
        raise ValueError(f"expected a pattern that matches a model. Received: {pattern!r}")
    rows = [model_info(name) for name in names]
    if json_:
        print_json([{name: getattr(info, name) for name in FACTS} for info in rows])
        return
    headings = ("name", "parameters", "published", *(dataset.title for dataset in SHOWN), "source")
    show(table(headings, map(_cells, rows), left=("source",), caption=CAPTION))
    for info in rows:
        if info.size_matches is False:
            say(f"{MARKS[False]} {info.name}: published size not reproducible: {info.published[0].note}")


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


def _cells(info: ModelInfo) -> tuple[str, ...]:
    size = f"{info.published[0].size or ''} {MARKS[info.size_matches]}".strip()
    figures = {name: f"{printed.figure:.2f}" for name, printed in info.own.items() if printed.figure is not None}
    return (info.name, f"{info.params:,}", size, *(figures.get(dataset.name, "") for dataset in SHOWN), info.source)


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
    model = _model_of_run(Path(name), set) if of_a_run else create_model(name, **parse_pairs(set))
    if json_:
        print_json(_facts(model))
    else:
        say(describe(model))


def _model_of_run(path: Path, changed: list[str] | None) -> keras.Model:
    from keras_mgnet.training.runs.run import open_run

    if changed:
        raise ValueError(f"expected set only with the name of a network. Received: set={changed}")
    return open_run(path).load_model()


def _facts(model: keras.Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "family": type(model).__name__,
        "params": count_params(model),
        "method": model.method._asdict(),
        "levels": [asdict(row) for row in level_table(model)],
    }
