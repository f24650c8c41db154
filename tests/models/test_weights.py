"""Weights of another number of classes, files that do not exist, and layers that Keras does not save."""

from typing import Unpack

import h5py
import keras
import numpy as np
import pytest
from packaging.version import Version

from keras_mgnet import MgNet, ReactionDiffusion, ResNet
from keras_mgnet.interop import load_weights
from keras_mgnet.layers import Conv
from keras_mgnet.models.frame import Frame, FrameArguments
from keras_mgnet.models.network import Network
from keras_mgnet.serialization import serializable
from support.numerics import randomize

SMALL = {"input_shape": (8, 8, 3)}
FAMILIES = {
    "mgnet": lambda **options: MgNet((2, 1), 4, **SMALL, **options),
    "resnet": lambda **options: ResNet(blocks=(1, 1), base_width=4, **SMALL, **options),
    # As many classes as channels.
    "square": lambda **options: MgNet((1,), 5, **SMALL, **options),
}
LEFT_OUT = (
    r"left out the classifier of '.*model{}': kernel \(4, 10\) and bias \(10,\) do not fit kernel \(4, 3\) and bias \(3,\) "
    "of mgnet$"
)


@serializable
class Hiding(keras.layers.Layer):
    """A layer with a container of layers, which some versions of Keras track and do not save."""

    def __init__(self, kind, *, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.conv = Conv(2)
        self.hidden = {"set": {Conv(2)}, "lists": [[Conv(2)]]}[kind]

    def convs(self):
        return [self.conv, *(self.hidden if isinstance(self.hidden, set) else self.hidden[0])]

    def build(self, input_shape):
        for conv in self.convs():
            conv.build(input_shape)

    def call(self, x):
        return sum(conv(x) for conv in self.convs())


@serializable
class Incomplete(Network):
    def __init__(self, kind="set", **arguments: Unpack[FrameArguments]):
        with Frame(**arguments) as frame:
            features = Hiding(kind)(frame.begin(2, levels=1))
        super().__init__(frame, features, name="incomplete")


def saved(model, path):
    (model.save if path.suffix == ".keras" else model.save_weights)(path)
    return path


@pytest.mark.parametrize("name", FAMILIES)
def test_a_network_of_other_classes_takes_all_but_the_classifier(name, tmp_path):
    trained = randomize(FAMILIES[name](classes=10))
    path = saved(trained, tmp_path / "model.weights.h5")
    keras.utils.set_random_seed(1)
    fresh = FAMILIES[name](classes=5)
    keras.utils.set_random_seed(1)
    with pytest.warns(UserWarning, match="left out the classifier"):
        model = FAMILIES[name](classes=5, weights=path)
    *body, kernel, bias = model.get_weights()
    for received, expected in zip(body, trained.get_weights()[:-2], strict=True):
        np.testing.assert_array_equal(received, expected)
    np.testing.assert_array_equal(kernel, fresh.get_weights()[-2])
    np.testing.assert_array_equal(bias, np.zeros(5))


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_files_of_other_classes_are_taken_where_that_is_asked_for(suffix, tmp_path):
    trained, model = randomize(MgNet((1,), 4, **SMALL)), MgNet((1,), 4, classes=3, **SMALL)
    path, before = saved(trained, tmp_path / f"model{suffix}"), model.get_weights()
    with pytest.raises(ValueError, match=r"expected the weights of mgnet: \d+ variables .* Received: \d+ variables in"):
        load_weights(model, path)
    for received, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(received, expected)
    with pytest.warns(UserWarning, match=LEFT_OUT.format(suffix)):
        load_weights(model, path, other_classes=True)
    for received, expected in zip(model.get_weights(), [*trained.get_weights()[:-2], *before[-2:]], strict=True):
        np.testing.assert_array_equal(received, expected)


@pytest.mark.parametrize("other", [{"nu": (2,)}, {"channels": 5}, {"include_top": False}, {"norm": None}])
def test_any_other_difference_is_refused(other, tmp_path):
    path = saved(MgNet(**{"nu": (1,), "channels": 4, "classes": 3} | SMALL | other), tmp_path / "model.weights.h5")
    with pytest.raises(ValueError, match=r"expected the weights of mgnet: \d+ variables .* Received: \d+ variables in"):
        MgNet((1,), 4, weights=path, **SMALL)


def test_the_training_state_in_a_file_makes_no_difference(tmp_path):
    trained = MgNet((1,), 4, **SMALL)
    trained.train_on_batch(np.ones((2, 8, 8, 3)), np.zeros(2))
    path = saved(trained, tmp_path / "model.weights.h5")
    with pytest.warns(UserWarning, match="left out the classifier"):
        model = MgNet((1,), 4, classes=3, weights=path, **SMALL)
    np.testing.assert_array_equal(model.get_weights()[0], trained.get_weights()[0])


@pytest.mark.parametrize("build", [lambda **w: MgNet((1,), 4, **SMALL, **w), lambda **w: ReactionDiffusion(1, **w)])
def test_weights_that_are_no_file_say_what_is_wrong(build, tmp_path):
    (tmp_path / "text.weights.h5").write_text("no array")
    for given, message in {
        "x.weights.h5": r"^expected an existing file\. Received: 'x\.weights\.h5'$",
        "imagenet": r"a \.weights\.h5 file, or a trained network: .*\. Received: weights='imagenet'$",
        3: "Received: weights='3'$",
        tmp_path / "text.weights.h5": r"^expected a file that save_weights wrote\. Received: '.*text\.weights\.h5'$",
    }.items():
        with pytest.raises(ValueError, match=message):
            build(weights=given)


@pytest.mark.parametrize("name", ["x.weights.h5", "x.keras", "x.npz"])
def test_a_missing_file_of_any_kind_is_named(name):
    with pytest.raises(ValueError, match=f"expected an existing file. Received: '{name}'"):
        load_weights(MgNet((1,), 4, **SMALL), name)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_a_file_without_all_weights_is_not_written(suffix, tmp_path):
    """Keras from 3.15 on saves lists inside lists, and it tracks sets. Older versions know nothing of sets."""
    path = saved(MgNet((1,), 2, input_shape=(8, 8, 1)), tmp_path / f"model{suffix}")
    before = path.read_bytes()
    lost = Incomplete("set" if Version(keras.__version__) >= Version("3.15") else "lists", input_shape=(8, 8, 1))
    with pytest.raises(ValueError, match=r"expected a file with all \d+ arrays of incomplete: .* without 1 of them"):
        saved(lost, path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_keras_is_asked_before_a_file_is_replaced(tmp_path, monkeypatch):
    model = MgNet((1,), 2, input_shape=(8, 8, 1))
    path = saved(model, tmp_path / "model.weights.h5")
    before = path.read_bytes()
    monkeypatch.setattr("builtins.input", lambda question: "n")
    model.save_weights(path, overwrite=False)
    assert path.read_bytes() == before


def test_links_in_a_weights_file_are_not_followed(tmp_path):
    model = MgNet((1,), 2, input_shape=(8, 8, 1))
    path = saved(model, tmp_path / "model.weights.h5")
    with h5py.File(path, "a") as file:
        file["layers/elsewhere"] = h5py.ExternalLink("other.h5", "/")
    with pytest.raises(ValueError, match="the ExternalLink 'layers/elsewhere'"):
        model.load_weights(path)
