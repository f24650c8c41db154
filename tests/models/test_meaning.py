"""What the outputs mean: by the last activation, or else by the loss and the metrics, or it is asked for."""

import keras
import pytest

from keras_mgnet import MgNet, metrics
from keras_mgnet.models.meaning import meaning


def custom(labels, outputs):
    return keras.ops.mean(outputs)


def network():
    return MgNet((1,), 2, input_shape=(8, 8, 1), classes=3)


def logits(name, **options):
    return getattr(keras.losses, name)(from_logits=True, **options)


TOLD = {
    "softmax": [
        (logits("SparseCategoricalCrossentropy"), None),
        (logits("CategoricalCrossentropy", label_smoothing=0.1), ["accuracy"]),
        ({"classifier": logits("CategoricalFocalCrossentropy")}, [metrics.Accuracy()]),
        (custom, [metrics.accuracy]),
        (custom, ["sparse_categorical_accuracy", "accuracy"]),
    ],
    "sigmoid": [
        (logits("BinaryCrossentropy"), None),
        (logits("BinaryFocalCrossentropy"), ["binary_accuracy"]),
        (custom, [keras.metrics.BinaryAccuracy(threshold=0)]),
    ],
}
NOT_TOLD = [
    (keras.losses.MeanSquaredError(), [metrics.Accuracy()]),
    ("binary_crossentropy", None),  # takes probabilities, but the network returns logits
    (keras.losses.sparse_categorical_crossentropy, None),
    (custom, ["accuracy"]),
    (logits("BinaryCrossentropy"), [metrics.Accuracy()]),  # contradict each other
]


@pytest.mark.parametrize(("expected", "case"), [(kind, case) for kind, cases in TOLD.items() for case in cases])
def test_loss_and_metrics_tell_what_logits_mean(expected, case):
    model = network()
    model.compile("adam", case[0], metrics=case[1])
    assert meaning(model, None) == expected and meaning(model, None, "none") == "none"


@pytest.mark.parametrize("case", NOT_TOLD)
def test_what_they_do_not_tell_is_asked_for(case):
    model = network()
    model.compile("adam", case[0], metrics=case[1])
    with pytest.raises(ValueError, match=r"expected answers='softmax'.*loss and metrics of mgnet do not tell"):
        meaning(model, None)
    assert meaning(model, None, "sigmoid") == "sigmoid"
    assert meaning(model, "softmax") == "softmax"


def test_what_contradicts_the_last_activation_is_refused():
    with pytest.raises(ValueError, match=r"expected answers='softmax', as the last activation.*answers='sigmoid'"):
        meaning(network(), "softmax", "sigmoid")
    with pytest.raises(ValueError, match="unknown meaning of answers 'sigmiod'; did you mean 'sigmoid'"):
        meaning(network(), None, "sigmiod")
