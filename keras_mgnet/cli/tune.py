"""`tune`: searches for the best network within a budget."""

from pathlib import Path

from keras_mgnet.cli.options import from_fields
from keras_mgnet.console import print_markdown, say
from keras_mgnet.training.search.config import TuneConfig


@from_fields(TuneConfig, positional="dataset")
def tune_command(config: TuneConfig) -> None:
    """Search for the best network within a budget, with workers on this machine or as one worker of a cluster.

    Example:
        keras-mgnet tune cifar10 --max-params 500000 --workers 2
    """
    from keras_mgnet.training.search.tuning import tune  # needs KerasTuner, an extra

    try:
        run = tune(config)
    except (KeyboardInterrupt, SystemExit):
        say(f"stopped; to continue, repeat the command with --resume: {config.out}")
        raise
    if run is None:
        return
    print_markdown((Path(config.out) / "results.md").read_text())
    names = ("results.md", "results.json", "pareto.png", "best")
    say(f"wrote {', '.join(str(Path(config.out) / name) for name in names)}")
