"""`tune`: the search for the network that makes the most of a budget."""

from pathlib import Path

import typer
from rich.table import Table

from keras_mgnet.cli.console import show, table
from keras_mgnet.cli.options import from_fields
from keras_mgnet.training.search import TuneConfig
from keras_mgnet.training.trials import Trial, pareto_front, read_trials

SHOWN = 20


def register(app: typer.Typer) -> None:
    """Adds the command of this file."""
    app.command("tune")(from_fields(TuneConfig, positional="dataset")(tune_command))


def tune_command(config: TuneConfig) -> None:
    """Search for the best network within a budget, alone, with local workers or as a part of a cluster.

    Example:
        keras-mgnet tune cifar10 --max-params 500000 --workers 2
    """
    from keras_mgnet.training.tuning import tune  # needs KerasTuner, an extra

    try:
        run = tune(config)
    except (KeyboardInterrupt, SystemExit):
        typer.echo(f"stopped; go on with the same command and --resume: {config.out}")
        raise
    if run is None:
        return
    show(trial_table(read_trials(config.trials_directory)))
    result = run.record["result"]
    typer.echo(f"best network, trained on all training images: test accuracy {result['last_test_accuracy']:.2%}")
    names = ("results.md", "results.json", "pareto.png", "best")
    typer.echo(f"wrote {', '.join(str(Path(config.out) / name) for name in names)}")


def trial_table(trials: list[Trial]) -> Table:
    """Returns the most accurate trials and all of the Pareto front, a row each."""
    front = pareto_front(trials)
    shown = [t for place, t in enumerate(trials) if place < SHOWN or t in front]
    return table(
        ("trial", "accuracy", "parameters", "mult-adds", "rate", "decay", "network"),
        ((f"{'▸' if t in front else ' '} {t.number}", *_numbers(t), t.label) for t in shown),
        left=("network",),
        caption="▸ on the Pareto front: no smaller network is as accurate on the held-out images",
    )


def _numbers(t: Trial) -> tuple[str, ...]:
    return f"{t.accuracy:.2%}", f"{t.params:,}", f"{t.madds:,}", f"{t.learning_rate:.3f}", f"{t.weight_decay:.0e}"
