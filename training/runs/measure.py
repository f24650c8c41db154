"""The measures of quality in a log: accuracy for classifiers, PSNR for denoisers, the L2 error for networks of functions."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

TOP5 = "top5_accuracy"  # name of the top-5 accuracy, which is measured if there are many classes


class Measure(NamedTuple):
    """A metric of quality."""

    key: str  # name in the log; with the prefix "val_", the value on the images that choose the best epoch
    text: str  # format of a value
    loss: str  # name of the loss
    kind: str  # what has this measure
    examples: str = "images"
    best: Callable[[list[float]], float] = max  # picks the best value


MEASURES = (
    Measure("accuracy", "accuracy {:.2%}", "cross-entropy", "classifier"),
    Measure("psnr", "PSNR {:.2f} dB", "mean squared error", "denoiser"),
    Measure("l2", "relative L2 error {:.4f}", "relative H1 error", "network of functions", "pairs", min),
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
    raise ValueError(f"expected an accuracy, a PSNR or an L2 error. Received: {', '.join(keys) or 'nothing'}")


def described(result: Mapping[str, Any]) -> str:
    """Returns the quality of a run, from the result in its run.json, in words.

    Example:
        >>> described({"last_test_accuracy": 0.9, "best_test_accuracy": 0.95, "best_epoch": 2})
        'test accuracy 90.00% (best test accuracy 95.00% in epoch 2)'
    """
    measure = measure_of(result)
    judge = "validation" if f"best_validation_{measure.key}" in result else "test"

    def text(name: str, images: str) -> str:
        top5 = result.get(f"{name}_{images}_{TOP5}")
        return f"{images} {measure.text.format(result[f'{name}_{images}_{measure.key}'])}" + in_top5(top5)

    words = f"{text('last', judge)} (best {text('best', judge)} in epoch {result['best_epoch']})"
    if judge == "validation" and f"last_test_{measure.key}" in result:
        words += f"; {text('last', 'test')} ({text('best', 'test')} after epoch {result['best_epoch']})"
    return words


def in_top5(share: float | None) -> str:
    """Returns a top-5 accuracy in words that follow an accuracy. Returns nothing if it was not measured.

    Example:
        >>> in_top5(0.925), in_top5(None)
        (', top-5 92.50%', '')
    """
    return "" if share is None else f", top-5 {share:.2%}"
