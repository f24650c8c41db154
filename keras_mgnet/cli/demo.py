"""`demo`: trains a model on scanned digits, exports the model and runs the three exports, in about a minute."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from keras_mgnet.cli.export import report_table
from keras_mgnet.console import say, show, stdout
from keras_mgnet.description import describe
from keras_mgnet.export import export_model
from keras_mgnet.export.servable import check_backend
from keras_mgnet.notes import hidden_notes
from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.loop.inference import export_arguments
from keras_mgnet.training.loop.loop import STOPPED, train
from keras_mgnet.training.runs.plots import plot_states

CONFIG = {
    "dataset": "digits",
    "model": "mgnet_2222_c64_shared_b",
    "set": {"nu": (2, 2, 2), "channels": (16, 32, 48)},
    "epochs": 30,
    "batch_size": 64,
    "learning_rate": 0.05,
    "schedule": "cosine",
    "warmup_epochs": 2.0,
    "augment": "shift",
}
PICTURED = 6


def demo_command(out: Annotated[Path, typer.Option(help="folder to write to, new or empty")] = Path("demo")) -> None:
    """Train an MgNet on scikit-learn's digits, export the network to three formats, run each export, and draw the states.

    Example:
        keras-mgnet demo --out demo/first
    """
    check_backend()  # of the export
    run = train(TrainConfig(**CONFIG, out=str(out / "run")), stdout())
    if (status := run.record["result"]["status"]) != "finished":
        say(f"expected the training to finish. Received: {status}, in {run.path}", error=True)
        raise typer.Exit(STOPPED.get(status, 1))
    source = export_arguments(run)
    model = source["model"]
    say(describe(model))

    with hidden_notes():
        reports = export_model(**source, out_dir=out / "export", console=stdout())
    show(report_table(reports))

    chosen = [int(np.flatnonzero(source["labels"] == digit)[0]) for digit in range(PICTURED)]
    plot_states(model, source["samples"][chosen], run.normalization, run.class_names, out / "states.png")
    say(f"wrote {out / 'states.png'}: u and r on every level, and the prediction, for {PICTURED} digits")
    say(f"wrote {run.path} (checkpoints, log, curves) and {out / 'export'} (three formats, a model card)")
