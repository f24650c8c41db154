"""`fit` on what it cannot train on: it says what is wrong before anything is traced, and leaves what works alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.losses import SparseCategoricalCrossentropy

from keras_mgnet import MgNet, ReactionDiffusion

IMAGES, LABELS = np.random.default_rng(0).normal(size=(8, 6, 6, 3)).astype("float32"), np.arange(8) % 3
ONE_HOT = np.eye(3, dtype="float32")[LABELS]
UNBATCHED = r"expected batches of images \(None, 6, 6, 3\): call batch\(\) on the data set\. Received: single images \(6, 6, 3\)"
INTEGERS = "expected integer labels .*CategoricalCrossentropy.* Received: labels "


def network():
    return MgNet(nu=(2,), channels=2, classes=3, input_shape=(6, 6, 3))


def examples(*arrays):
    return tf.data.Dataset.from_tensor_slices(arrays)


def forgotten(place):
    """Batches in which the shape of the images (0) or of the labels (1) is lost."""

    def forget(*arrays):
        arrays = list(arrays)
        arrays[place] = tf.numpy_function(lambda x: x, [arrays[place]], arrays[place].dtype)
        return tuple(arrays)

    return examples(IMAGES, LABELS).batch(4).map(forget)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((examples(IMAGES, LABELS),), UNBATCHED),
        ((examples(IMAGES, ONE_HOT),), UNBATCHED),
        ((examples(IMAGES, ONE_HOT).batch(4),), INTEGERS + r"\(None, 3\)"),
        ((IMAGES, ONE_HOT), INTEGERS + r"\(8, 3\)"),
        ((forgotten(0),), "expected images of a known shape.*output_signature"),
        ((forgotten(1),), "expected labels of a known shape.*set_shape"),
    ],
)
def test_what_is_wrong_comes_first(data, message, monkeypatch):
    model = network()
    monkeypatch.setattr(model, "make_train_function", lambda: pytest.fail("traced"))
    with pytest.raises(ValueError, match=message):
        model.fit(*data)


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", keras.losses.sparse_categorical_crossentropy])
def test_losses_by_name_take_integers_too(loss):
    model = network()
    model.compile("adam", loss)
    with pytest.raises(ValueError, match=INTEGERS):
        model.fit(IMAGES, ONE_HOT)


@pytest.mark.filterwarnings("ignore:.shuffle=True. was passed")
@pytest.mark.parametrize(
    "data",
    [
        (IMAGES, LABELS),
        (IMAGES, LABELS[:, None]),
        (examples(IMAGES, LABELS).batch(4),),
        (examples(IMAGES, LABELS, np.ones(8)).batch(4),),
    ],
)
def test_what_works_is_left_alone(data):
    assert np.isfinite(network().fit(*data, verbose=0).history["loss"]).all()


def test_one_hot_labels_under_their_own_loss():
    model = network()
    model.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True))
    assert np.isfinite(model.fit(IMAGES, ONE_HOT, verbose=0).history["loss"]).all()


def test_grey_images_without_an_axis_of_channels_and_images_for_labels():
    grey = MgNet(nu=(1,), channels=2, classes=3, input_shape=(6, 6, 1))
    assert np.isfinite(grey.fit(IMAGES[..., 0], LABELS, verbose=0).history["loss"]).all()
    denoiser = ReactionDiffusion(1, input_shape=(6, 6, 1))
    assert np.isfinite(denoiser.fit(IMAGES[..., :1], IMAGES[..., :1], verbose=0).history["loss"]).all()


@pytest.mark.parametrize("train", ["fit", "train_on_batch"])
def test_a_step_is_traced_once(train, monkeypatch):
    """TensorFlow traces a function a second time if its first call creates variables."""
    traces, step = [], keras.Model.train_step
    monkeypatch.setattr(keras.Model, "train_step", lambda *arguments: traces.append(train) or step(*arguments))
    getattr(network(), train)(IMAGES, LABELS)
    assert traces == [train]


@pytest.mark.parametrize(
    "loss",
    ["sparse_categorical_crossentropy", keras.losses.sparse_categorical_crossentropy, SparseCategoricalCrossentropy()],
)
def test_a_loss_of_probabilities_on_logits_is_told(loss):
    model = network()
    model.compile("sgd", loss)
    with pytest.warns(UserWarning, match="the loss takes probabilities and mgnet returns logits: .*from_logits=True"):
        model.fit(IMAGES, LABELS, verbose=0)
    softmax = MgNet(nu=(2,), channels=2, classes=3, input_shape=(6, 6, 3), classifier_activation="softmax")
    softmax.compile("sgd", loss)
    softmax.fit(IMAGES, LABELS, verbose=0)


def test_a_binary_loss_of_probabilities_on_logits_is_told():
    model = network()
    model.compile("sgd", "binary_crossentropy", metrics=["binary_accuracy"])
    with pytest.warns(
        UserWarning, match=r"returns logits: compile with keras\.losses\.BinaryCrossentropy\(from_logits=True\)$"
    ):
        model.fit(IMAGES, ONE_HOT, verbose=0)


def test_a_model_loaded_without_compiling_is_not_compiled(tmp_path):
    model = network()
    model.fit(IMAGES, LABELS, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert not loaded.compiled
    np.testing.assert_array_equal(loaded(IMAGES), model(IMAGES))
    assert keras.saving.load_model(tmp_path / "model.keras").compiled
    assert network().compiled and type(model).from_config(model.get_config()).compiled
