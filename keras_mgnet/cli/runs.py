"""`train`, `evaluate` and `compare`: commands that write and read run directories."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from keras_mgnet.cli.options import CheckpointOption, JsonOption, RunArgument, from_fields
from keras_mgnet.console import print_json, print_markdown, say
from keras_mgnet.training.loop.config import DATASET_HELP, PANELS, TrainConfig
from keras_mgnet.training.loop.inference import evaluate
from keras_mgnet.training.loop.loop import STOPPED, train
from keras_mgnet.training.runs.compare import compare, write_comparison
from keras_mgnet.training.runs.measure import measure_of
from keras_mgnet.training.runs.run import open_run

OF_A_NETWORK = ("last", "best", "mean", "spread")  # over its seeds


@from_fields(TrainConfig, positional="dataset", panels=PANELS)
def train_command(config: TrainConfig) -> None:
    """Train a network on a data set and write a run directory, or continue a run with --resume.

    Options you leave out come from the network's recipe or the data set.

    Example:
        keras-mgnet train cifar10 --model resnet18_shared_a --epochs 30
    """
    run = train(config)
    result = run.record["result"]
    summary = f"{result['status']} after {result['epochs']} epochs and {result['seconds']:.0f} s"
    if result["epochs"]:
        measure = measure_of(result)
        last, best = (measure.text.format(result[f"{name}_test_{measure.key}"]) for name in ("last", "best"))
        summary += f": test {last} (best {best} in epoch {result['best_epoch']})"
    say(f"{summary}\nwrote {run.path}" if run.written else summary)
    if code := STOPPED.get(result["status"]):
        say(f"to continue, repeat the command with --out {run.path} --resume")
        raise typer.Exit(code)
    if result["status"] == "diverged":
        say(f"{result['reason']}; {result['hint']}", error=True)
        raise typer.Exit(1)


def evaluate_command(
    run: RunArgument,
    checkpoint: CheckpointOption = "last",
    dataset: Annotated[str | None, typer.Option(help=f"data set to use instead of the run's: {DATASET_HELP}")] = None,
    json_: JsonOption = False,
) -> None:
    """Evaluate the model of a run on the test images of its data set, or of another one.

    Example:
        keras-mgnet evaluate runs/mnist-mgnet-001 --checkpoint best
    """
    result = evaluate(open_run(run), checkpoint, dataset)
    if json_:
        print_json(result)
    else:
        measure = measure_of(result)
        say(
            f"{result['checkpoint']} of {run} on {result['images']:,} test images of {result['dataset']}: "
            f"{measure.text.format(result[measure.key])}, {measure.loss} {result['loss']:.4f}"
        )


def compare_command(
    runs: Annotated[list[Path], typer.Argument(help="directories of finished runs, with several seeds per network")],
    out: Annotated[Path, typer.Option(help="folder for comparison.md and comparison.png")] = Path("comparison"),
    json_: JsonOption = False,
) -> None:
    """Compare networks over their seeds: mean and spread, as a table and a plot.

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
