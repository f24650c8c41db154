"""What the outputs of a classifier mean: probabilities of exclusive classes, of independent labels, or plain numbers."""

from typing import Any

import keras
from keras import losses

from keras_mgnet import compat
from keras_mgnet.errors import check_known
from keras_mgnet.metrics import Accuracy, Top5Accuracy, accuracy, top5_accuracy

SOFTMAX, SIGMOID, NONE = MEANINGS = "softmax", "sigmoid", "none"
CROSS_ENTROPIES = {  # class -> the same loss as a function, and the activation that turns logits into its probabilities
    losses.SparseCategoricalCrossentropy: (losses.sparse_categorical_crossentropy, SOFTMAX),
    losses.CategoricalCrossentropy: (losses.categorical_crossentropy, SOFTMAX),
    losses.CategoricalFocalCrossentropy: (losses.categorical_focal_crossentropy, SOFTMAX),
    losses.BinaryCrossentropy: (losses.binary_crossentropy, SIGMOID),
    losses.BinaryFocalCrossentropy: (losses.binary_focal_crossentropy, SIGMOID),
}
METRICS = {  # name in lower case -> the activation that turns logits into the probabilities that the metric compares
    **dict.fromkeys(("categoricalaccuracy", "sparsecategoricalaccuracy"), SOFTMAX),
    **dict.fromkeys(("topkcategoricalaccuracy", "sparsetopkcategoricalaccuracy"), SOFTMAX),
    "binaryaccuracy": SIGMOID,
}


def meaning(model: keras.Model, activation: str | None, asked: str | None = None) -> str:
    """Returns "softmax", "sigmoid" or "none": how the logits of a classifier become probabilities.

    The last activation decides. Without a softmax or sigmoid there, the loss and the metrics of the compiled model
    decide.

    Args:
        model: the classifier.
        activation: name of its last activation; None for none.
        asked: the meaning that the user names, in place of that of loss and metrics; None for none.

    Raises:
        ValueError: if the meaning cannot be known, or the user names another than the last activation has.

    Example:
        >>> from keras_mgnet import MgNet
        >>> model = MgNet((1,), 4, input_shape=(8, 8, 1), classes=3)
        >>> meaning(model, None)
        'softmax'
        >>> model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
        >>> meaning(model, None)
        'sigmoid'
    """
    final = activation if activation in (SOFTMAX, SIGMOID) else None
    if asked is not None:
        check_known("meaning of answers", asked, MEANINGS)
        if final and asked not in (final, NONE):
            expected = f"answers='{final}', as the last activation of {model.name}, or answers='none'"
            raise ValueError(f"expected {expected}. Received: answers={asked!r}")
        return asked
    if final:
        return final
    found = _trained_for(model) if model.compiled else set()
    if len(found) != 1:
        reason = (
            f"the loss and metrics of {model.name} do not tell" if model.compiled else f"{model.name} is not compiled"
        )
        raise ValueError(
            "expected answers='softmax' for exclusive classes, 'sigmoid' for independent labels or 'none' for other numbers: "
            f"{reason}. Received: answers=None"
        )
    return found.pop()


def cross_entropy(loss: Any) -> tuple[type[losses.Loss], bool] | None:
    """Returns the class of a cross-entropy and whether it takes logits. Returns None for any other loss.

    Example:
        >>> kind, takes_logits = cross_entropy("binary_crossentropy")
        >>> kind.__name__, takes_logits
        ('BinaryCrossentropy', False)
    """
    loss = losses.get(loss) if isinstance(loss, str) else loss
    for kind, (function, _) in CROSS_ENTROPIES.items():
        if isinstance(loss, kind):
            return kind, loss.get_config()["from_logits"]  # Keras 3.16 has no attribute
        if loss is function:
            return kind, False
    return None


def _trained_for(model: keras.Model) -> set[str]:
    """Returns the meanings that loss and metrics give to logits. A loss of Keras that takes no logits gives none."""
    told = set(filter(None, map(_compared, compat.compiled_with(model, "metrics"))))
    (loss,) = compat.compiled_with(model, "loss") or [None]
    known = cross_entropy(loss)
    if known is None:
        of_keras = isinstance(loss, str) or getattr(loss, "__module__", "").startswith("keras.")
        return set() if of_keras else told
    kind, takes_logits = known
    return told | {CROSS_ENTROPIES[kind][1]} if takes_logits else set()


def _compared(metric: Any) -> str | None:
    """Returns the meaning that a metric gives to logits. The word "accuracy" gives none, because Keras decides by the labels."""
    if isinstance(metric, (Accuracy, Top5Accuracy)) or metric in (accuracy, top5_accuracy):
        return SOFTMAX
    name = metric if isinstance(metric, str) else getattr(metric, "__name__", type(metric).__name__)
    return METRICS.get(name.replace("_", "").lower())
