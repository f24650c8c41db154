"""`analyze`: analyses the model of a run as in Lu2017, and writes numbers and pictures."""

import inspect
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from keras_mgnet.analysis import ANALYSES, Subject, analyze, check_names, inapplicable
from keras_mgnet.cli.options import CheckpointOption, DatasetOption, RunArgument
from keras_mgnet.console import say
from keras_mgnet.files import workspace
from keras_mgnet.training.data.denoise import CleanImages
from keras_mgnet.training.data.functions import FunctionPairs
from keras_mgnet.training.data.views import normalize
from keras_mgnet.training.loop.inference import load_images
from keras_mgnet.training.runs.run import Run, open_run
from keras_mgnet.version import versions

ALL = "all"
SIDE = 128  # of the central squares cut from a denoiser's test images
LIST = "\n".join(f"{name:15}{row.help}" for name, row in ANALYSES.items())
WhatOption = Annotated[
    list[str], typer.Option(help="all, or names of the analyses above", autocompletion=lambda: [ALL, *ANALYSES])
]


def analyze_command(
    run: RunArgument,
    what: WhatOption = [ALL],  # noqa: B006
    out: Annotated[Path, typer.Option(help="folder to write to")] = Path("analysis"),
    images: Annotated[int, typer.Option(min=4, help="number of test images, chosen at random")] = 500,
    checkpoint: CheckpointOption = "last",
    dataset: DatasetOption = None,
    seed: Annotated[int, typer.Option(help="seed of all random choices")] = 0,
) -> None:
    """Analyse the model of a run, and write the results as JSON and PNG.

    With --what all, analyses that do not apply to the model are skipped. Naming such an analysis is an error.

    Example:
        keras-mgnet analyze runs/mnist-mgnet-001 --what lesion spectra
    """
    wanted = list(ANALYSES) if ALL in what else list(dict.fromkeys(what))
    check_names(wanted)
    opened = open_run(run)
    subject = subject_of(opened, checkpoint, images, seed, dataset)
    reasons = {name: reason for name, reason in inapplicable(subject.model).items() if name in wanted}
    if reasons and ALL not in what:
        raise ValueError("; ".join(f"{name} does not apply: {reason}" for name, reason in reasons.items()))
    about = {
        "run": opened.record["command"],
        "checkpoint": checkpoint,
        "test_images": len(subject.images),
        "seed": seed,
        "versions": versions(),
    }
    applicable = [name for name in wanted if name not in reasons]
    with workspace(out):  # reports an unwritable folder before anything is computed
        for name in applicable:
            say(f"{name}: {analyze(subject, name, out, about).summary()}")
    for name, reason in reasons.items():
        say(f"{name}: does not apply, {reason}")
    say(f"wrote {out}: {', '.join(f'{name}.{ending}' for name in applicable for ending in ('json', 'png'))}")


analyze_command.__doc__ = f"{inspect.getdoc(analyze_command)}\n\n{LIST}"


def subject_of(run: Run, checkpoint: str, images: int, seed: int, dataset: str | None = None) -> Subject:
    """Returns the model of a run with randomly chosen test images, normalised as in training."""
    model, data = run.load_model(checkpoint), load_images(run, dataset)
    chosen = np.random.default_rng(seed).permutation(data.counts[1])[:images]
    if isinstance(data, CleanImages):
        noisy, clean = data.test_squares(SIDE)
        return Subject(model, noisy[chosen], clean[chosen], seed=seed)
    if isinstance(data, FunctionPairs):
        return Subject(model, data.test.x[chosen], data.test.y[chosen], seed=seed)
    pixels = np.asarray(normalize(data.test.images[chosen], *run.normalization))
    return Subject(model, pixels, data.test.labels[chosen], tuple(run.class_names), seed)
