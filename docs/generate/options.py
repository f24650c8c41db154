"""The options of a training run."""

from dataclasses import fields

from keras_mgnet.reporting import table
from keras_mgnet.training.loop.config import TrainConfig


def option_table() -> str:
    """Returns a row for each field of the configuration, with the help of the command line."""
    return table(
        ("option", "default", "what"), [_row(field) for field in fields(TrainConfig) if field.name != "dataset"]
    )


def _row(field) -> tuple[str, str, str]:
    default = "" if field.default is None or field.default is False else f"`{field.default}`"
    return f"`--{field.name.replace('_', '-')}`", default, field.metadata["help"].replace("|", "\\|")
