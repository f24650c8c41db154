"""`train`, `evaluate` and `compare`: commands that write and read run directories."""

from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_mgnet.cli.options import CheckpointOption, JsonOption, RunArgument, from_fields
from keras_mgnet.console import print_json, print_markdown, say
from keras_mgnet.training.loop.config import DATASET_HELP, PANELS, TrainConfig
from keras_mgnet.training.loop.inference import evaluate
from keras_mgnet.training.loop.loop import STOPPED, train
from keras_mgnet.training.runs.compare import compare, write_comparison
from keras_mgnet.training.runs.measure import TOP5, described, in_top5, measure_of
from keras_mgnet.training.runs.run import open_run

OF_A_NETWORK = ("mean", "spread")  # over its seeds


def _configured(dataset: str, **values: Any) -> TrainConfig:
    """Returns the configuration of the options. With --resume RUN, returns that of the run, with the options given."""
    if not (values["resume"] and values["out"] is None and Path(dataset).is_dir()):
        return TrainConfig(dataset, **values)
    defaults = {field.name: field.default for field in fields(TrainConfig)}
    return TrainConfig.of_run(dataset, **{name: v for name, v in values.items() if v not in ({}, defaults[name])})


@from_fields(TrainConfig, positional="dataset", panels=PANELS, make=_configured)
def train_command(config: TrainConfig) -> None:
    """Train a network on a data set and write a run directory, or continue a stopped run with --resume RUN.

    The recipe sets the epochs and the other options that you leave out.

    Example:
        keras-mgnet train cifar10 --model resnet18_shared_a --epochs 30
        keras-mgnet train --resume runs/cifar10-resnet18_shared_a-001
    """
    run = train(config)
    result = run.record["result"]
    summary = f"{result['status']} after {result['epochs']} epochs and {result['seconds']:.0f} s"
    if result["epochs"]:
        summary += f": {described(result)}"
    say(f"{summary}\nwrote {run.path}" if run.written else summary)
    if code := STOPPED.get(result["status"]):
        say(f"to continue: keras-mgnet train --resume {run.path}")
        raise typer.Exit(code)
    if result["status"] == "diverged":
        say(f"{result['reason']}; {result['hint']}", error=True)
        raise typer.Exit(1)


def evaluate_command(
    run: RunArgument,
    checkpoint: CheckpointOption = "last",
    dataset: Annotated[str | None, typer.Option(help=f"data set to use instead of the run's: {DATASET_HELP}")] = None,
    views: Annotated[
        bool, typer.Option("--views", help="also average over shifted and mirrored copies of each image")
    ] = False,
    grid: Annotated[
        int | None, typer.Option(help="points per side of pde:PROBLEM, by default those of the run")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Evaluate the model of a run on the test images of the run's data set, or of --dataset.

    Example:
        keras-mgnet evaluate runs/mnist-mgnet-001 --checkpoint best
    """
    opened = open_run(run)
    result = evaluate(opened, checkpoint, dataset, views, grid)
    if json_:
        print_json(result)
    else:
        measure = measure_of(result)
        chosen = f", chosen by {opened.judge} images," if checkpoint == "best" else ""
        say(
            f"{result['checkpoint']} of {run}{chosen} on {result['images']:,} test {measure.examples} of {result['dataset']}: "
            f"{measure.text.format(result[measure.key])}{in_top5(result.get(TOP5))}, {measure.loss} {result['loss']:.4f}"
        )
        if views:
            views_accuracy = measure.text.format(result["views_accuracy"]) + in_top5(result.get(f"views_{TOP5}"))
            say(f"averaged over shifted and mirrored copies: {views_accuracy}")


def compare_command(
    runs: Annotated[list[Path], typer.Argument(help="directories of finished runs, with several seeds per network")],
    out: Annotated[Path, typer.Option(help="folder for comparison.md and comparison.png")] = Path("comparison"),
    json_: JsonOption = False,
) -> None:
    """Compare networks: mean and spread of their runs with different seeds, and how their training differs. Draws a plot.

    Example:
        keras-mgnet compare runs/mgnet-1 runs/mgnet-2 runs/resnet20-1
    """
    entries = compare(open_run(run) for run in runs)
    written = write_comparison(entries, out)
    if json_:
        print_json([asdict(entry) | {name: getattr(entry, name) for name in OF_A_NETWORK} for entry in entries])
        return
    print_markdown(written[0].read_text())
    say(f"wrote {', '.join(map(str, written))}")
