"""`list` and `describe`: show the networks that have a name, and the levels of a network."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import keras
import typer

from keras_mgnet.cli.options import JsonOption, SetOption, parse_pairs
from keras_mgnet.console import MARKS, print_json, say, show, table
from keras_mgnet.description import count_params, describe, level_table
from keras_mgnet.models.datasets import CIFAR10, CIFAR100, IMAGENET, MNIST
from keras_mgnet.registry import ModelInfo, create_model, list_models, model_info

SHOWN = (MNIST, CIFAR10, CIFAR100, IMAGENET)
FACTS = ("name", "family", "kwargs", "params", "source", "reported", "recipe", "size_matches")
CAPTION = (
    f"{MARKS[True]} published size equals ours, rounded or truncated; {MARKS[False]} published size not reproducible; "
    "top-1 accuracy in percent as published"
)


def list_command(
    pattern: Annotated[str, typer.Argument(help="shell pattern, such as 'resnet18*'")] = "*", json_: JsonOption = False
) -> None:
    """List the networks by name, with their exact size and the published size and accuracy.

    Example:
        keras-mgnet list 'resnet18*'
    """
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
    model = _model_of_run(Path(name), set) if Path(name).is_dir() else create_model(name, **parse_pairs(set))
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
