"""What the log says of how good a network is: accuracy of a classifier, PSNR of a denoiser."""

from collections.abc import Iterable
from typing import NamedTuple


class Measure(NamedTuple):
    """A metric that is the better the higher it is."""

    key: str  # its name in the log; "val_" and it on the test images
    text: str  # format of a value
    loss: str  # what the loss is called


MEASURES = (
    Measure("accuracy", "accuracy {:.2%}", "cross-entropy"),
    Measure("psnr", "PSNR {:.2f} dB", "mean squared error"),
)


def measure_of(keys: Iterable[str]) -> Measure:
    """Returns the measure that the keys of a row, a result or an evaluation are about.

    Example:
        >>> measure_of({"epoch": 0, "val_loss": 1.0, "val_psnr": 28.0}).key
        'psnr'
    """
    return next(measure for measure in MEASURES if any(key.endswith(measure.key) for key in keys))
