"""The measures of quality in a log: accuracy for classifiers, PSNR for denoisers."""

from collections.abc import Iterable
from typing import NamedTuple


class Measure(NamedTuple):
    """A metric of quality. Higher is better."""

    key: str  # its name in the log; with the prefix "val_" for the test images
    text: str  # format of a value
    loss: str  # name of the loss


MEASURES = (
    Measure("accuracy", "accuracy {:.2%}", "cross-entropy"),
    Measure("psnr", "PSNR {:.2f} dB", "mean squared error"),
)


def measure_of(keys: Iterable[str]) -> Measure:
    """Returns the measure that occurs among the keys of a log row, a result or an evaluation. Raises ValueError if none does.

    Example:
        >>> measure_of({"epoch": 0, "val_loss": 1.0, "val_psnr": 28.0}).key
        'psnr'
    """
    keys = list(keys)
    for measure in MEASURES:
        if any(key.endswith(measure.key) for key in keys):
            return measure
    raise ValueError(f"expected an accuracy or a PSNR. Received: {', '.join(keys) or 'nothing'}")
