"""`doctor`: shows what works on this machine and what is missing."""

from dataclasses import asdict
from typing import Annotated

import typer

from keras_mgnet.cli.examination import can_train, examine
from keras_mgnet.cli.options import JsonOption
from keras_mgnet.cli.start import preload_keras
from keras_mgnet.console import checklist, print_json, show


def doctor_command(
    fast: Annotated[
        bool,
        typer.Option(
            "--fast", help="leave out what loads TensorFlow or JAX: devices, strategies and the training step"
        ),
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Show versions, devices, strategies, data sets and extras, and how to install what is missing.

    Also train a small network for one step. The exit code is 0 if this training step succeeds, else 1.

    Example:
        keras-mgnet doctor --json
        keras-mgnet doctor --fast
    """
    if not fast:
        preload_keras()
    found = examine(fast)
    if json_:
        print_json({title: {name: asdict(finding) for name, finding in part.items()} for title, part in found.items()})
    else:
        findings = ((title, name, finding) for title, section in found.items() for name, finding in section.items())
        show(checklist((title, finding.available, name, finding.detail) for title, name, finding in findings))
    if not can_train(found):
        raise typer.Exit(1)
