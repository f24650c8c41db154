"""Bad input gets an error that names what was expected, before anything is built or written."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_mgnet import (
    FBResNet,
    HamiltonianNet,
    LMResNet,
    MgNet,
    PreActResNet,
    ResNet,
    ResNeXt,
    RevNet,
    ShakeShake,
    create_model,
    describe,
    load_torch_weights,
    model_info,
)
from keras_mgnet.layers import GridLevel, Norm, ZeroPadding
from keras_mgnet.multigrid import convergence_factor, solve, solver
from keras_mgnet.optimizers import SGD
from keras_mgnet.recipes import recipe
from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.loop.loop import train
from keras_mgnet.training.loop.prepare import prepare
from keras_mgnet.training.runs.run import open_run

SMALL = {"input_shape": (8, 8, 1)}

REFUSED = {
    "nu empty": (lambda: MgNet(nu=()), r"expected nu to be a non-empty sequence of integers >= 1.*nu=\(\)"),
    "nu zero": (lambda: MgNet(nu=(2, 0)), r"integers >= 1\. Received: nu=\(2, 0\)"),
    "nu negative": (lambda: MgNet(nu=(2, -1)), "Received: nu="),
    "nu float": (lambda: MgNet(nu=(2.0, 1)), "Received: nu="),
    "nu bool": (lambda: MgNet(nu=(True,)), "Received: nu="),
    "nu integer": (lambda: MgNet(nu=2), "Received: nu=2"),
    "channels zero": (lambda: MgNet((1, 1), 0), "expected channels to be an integer or a sequence.*channels=0"),
    "channels length": (lambda: MgNet((1, 1), (4, 4, 4)), "expected channels to have 2 entries, one per level"),
    "channels_f length": (lambda: MgNet((1, 1), 4, channels_f=(4,)), "expected channels_f to have 2 entries"),
    "channels float": (lambda: MgNet((1, 1), 4.5), "channels=4.5"),
    "image too small": (lambda: MgNet((1, 1, 1), 4, input_shape=(3, 8, 1)), "at least 4x4 pixels for 3 grids"),
    "image too small for the stem": (
        lambda: ResNet(stem="imagenet", input_shape=(31, 32, 3)),
        r"at least 32x32 pixels for 4 grids\. Received: input_shape=\(31, 32, 3\)",
    ),
    "image without channels": (lambda: MgNet((1,), 4, input_shape=(8, 8)), r"expected input_shape=\(height, width"),
    "image with unknown channels": (lambda: MgNet((1,), 4, input_shape=(8, 8, None)), "expected input_shape="),
    "smoother": (lambda: MgNet((1,), 4, smoother="chebychev", **SMALL), "did you mean 'chebyshev'"),
    "form": (lambda: MgNet((1,), 4, form="residuals", **SMALL), "did you mean 'residual'"),
    "Pi": (lambda: MgNet((1, 1), 4, Pi="fullweighting", **SMALL), "did you mean 'full_weighting'"),
    "stem": (lambda: MgNet((1,), 4, stem="imagnet", **SMALL), "did you mean 'imagenet'"),
    "init": (lambda: MgNet((1,), 4, init="he_fanout", **SMALL), "did you mean 'he_fan_out'"),
    "norm": (lambda: MgNet((1,), 4, norm="bach", **SMALL), "unknown norm 'bach'; did you mean 'batch'"),
    "norm of a layer": (lambda: GridLevel(4, 4, 1, norm="layer"), "unknown norm 'layer'"),
    "pooling": (lambda: MgNet((1,), 4, pooling="average", **SMALL), "unknown pooling 'average'"),
    "one level as a number": (lambda: MgNet(1, 4, **SMALL), r"expected nu=\(1,\), or nu=\[1\] on the command line"),
    "channels first": (lambda: MgNet((1,), 4, input_shape=(3, 32, 32)), "transpose images whose channels come first"),
    "include_top": (lambda: MgNet((1,), 4, include_top=[-3], **SMALL), "expected include_top to be True or False"),
    "classes": (
        lambda: MgNet((1,), 4, classes=1, **SMALL),
        "expected classes to be an integer >= 2; for a single output",
    ),
    "activation of the head": (lambda: MgNet((1,), 4, classifier_activation="sofmax", **SMALL), "mean 'softmax'"),
    "weights": (
        lambda: MgNet((1,), 4, weights="imagenet", **SMALL),
        r"a \.weights\.h5 file, or a trained network: .*\. Received: weights='imagenet'",
    ),
    "depth": (lambda: PreActResNet(19), "expected depth to be one of 18, 34, 50, 101, 152 or 6n .* Received: depth=19"),
    "form of He2019": (lambda: PreActResNet(18, form="printd"), "unknown form 'printd'; did you mean 'printed'"),
    "blocks": (lambda: ResNet(blocks=(2, 0)), "expected blocks to be a non-empty sequence of integers >= 1"),
    "shared bottleneck": (
        lambda: ResNet(50, share_A=True),
        "expected share_A=False and share_B=False with bottlenecks",
    ),
    "shortcut": (lambda: ResNet(20, shortcut="pading"), "unknown shortcut 'pading'; did you mean 'padding'"),
    "survival": (lambda: LMResNet(20, survival=1.5), "expected survival between 0 and 1. Received: survival=1.5"),
    "survival schedule": (lambda: ResNet(20, survival_schedule="huan"), "did you mean 'huang'"),
    "lm transition": (lambda: LMResNet(20, lm_transition="projekt"), "did you mean 'project'"),
    "shake mode": (lambda: ShakeShake(mode="images"), "unknown shake mode 'images'; did you mean 'image'"),
    "resnext depth": (lambda: ResNeXt(50), "expected depth to be 9n . 2. Received: depth=50"),
    "depth float": (lambda: ResNet(18.0), "expected depth to be an integer"),
    "shake step": (lambda: ShakeShake(dt=-1.0), "expected dt between 0 and inf. Received: dt=-1.0"),
    "shake width": (lambda: ShakeShake(8, 3), "expected an even number of channels. Received: 3"),
    "fewer channels": (
        lambda: HamiltonianNet(blocks=(1, 1), channels=(6, 4), **SMALL),
        "expected at least 3 channels, as the input has. Received: channels=2",
    ),
    "shortcut stride": (lambda: ZeroPadding(4, 3), r"expected strides to be 1 or 2\. Received: strides=3"),
    "fb form": (lambda: FBResNet(A="bth"), "unknown A 'bth'; did you mean 'both'"),
    "share of mgnet": (lambda: MgNet((1,), 4, share_B="flase", **SMALL), "unknown share_B 'flase'"),
    "share by a rule of ResNet": (lambda: MgNet((1,), 4, share_A="published_size", **SMALL), "unknown share_A"),
    "no image": (lambda: MgNet((1,), 4, input_shape=None), r"expected input_shape=\(height"),
    "share": (lambda: ResNet(share_A="published"), "did you mean 'published_size'"),
    "width": (lambda: ResNet(base_width=0), "expected base_width to be an integer >= 1"),
    "level form": (lambda: GridLevel(4, 4, 1, form="feature_form"), "did you mean 'feature'"),
    "model": (
        lambda: create_model("resnet18_share_a"),
        "unknown model 'resnet18_share_a'; did you mean 'resnet18_shared_a'",
    ),
    "argument": (
        lambda: create_model("resnet18", base_widht=4),
        "unknown argument of ResNet 'base_widht'; did you mean",
    ),
    "info": (lambda: model_info("mgnet"), "unknown model 'mgnet'"),
    "model of many": (
        lambda: model_info("ResNet20"),
        r"did you mean 'resnet20'\? Expected one of \d+ names, such as: resnet20, (\w+, ){3}\w+\. Received: 'ResNet20'$",
    ),
    "data set of many": (
        lambda: prepare(TrainConfig("!")),
        r"unknown dataset '!'\. Expected one of \d+ names, such as: digits, npz:FILE, folder:DIR, tfrecord:FILES, denoise:DIR\. ",
    ),
    "recipe": (lambda: recipe("he2019"), "unknown recipe 'he2019'"),
    "weight decay": (lambda: SGD(coupled_weight_decay=-1.0), "expected coupled_weight_decay >= 0"),
    "family of weights": (
        lambda: load_torch_weights(Norm(), {}),
        "expected a model of one of the families MgNet, ResNet",
    ),
    "format of weights": (
        lambda: load_torch_weights(MgNet((1,), 4, **SMALL), "w.npy"),
        "unknown weights format '.npy'",
    ),
    "file of weights": (
        lambda: load_torch_weights(MgNet((1,), 4, **SMALL), "no.npz"),
        "an existing file. Received: 'no.npz'",
    ),
    "state dict of numbers": (
        lambda: load_torch_weights(MgNet((1,), 4, **SMALL), {5: [1]}),
        "expected names as the keys of a state dict. Received: 5",
    ),
    "state dict of nothing": (
        lambda: load_torch_weights(MgNet((1,), 4, **SMALL), 5),
        "expected a state dict or the path of a file with weights. Received: 5",
    ),
    "no tensor": (lambda: RevNet(input_tensor={1}), r"expected input_tensor to be None or a keras.Input\. Received: "),
    "no configuration of a tensor": (
        lambda: MgNet((1,), 4, input_tensor={"a": 1}),
        "expected the configuration of a model as input_tensor. Received: {'a': 1}",
    ),
    "no solver": (
        lambda: solve([1.5], np.ones((1, 7, 7, 1))),
        r"expected a model of keras_mgnet\.multigrid\.solver\. Received: \[1\.5\]",
    ),
    "another solver": (
        lambda: convergence_factor(MgNet((1,), 4, **SMALL), 8),
        "expected a model of keras_mgnet.multigrid",
    ),
    "cycles": (lambda: solve(solver(7), np.ones((1, 7, 7, 1)), cycles="x"), "expected cycles to be an integer >= 0"),
    "stencil": (lambda: solver(7, A={1}), r"expected an array of real numbers\. Received: A={1}"),
    "no model": (lambda: describe([1]), r"expected a Keras model\. Received: \[1\]"),
    "name of any type": (lambda: create_model(["resnet18"]), r"unknown model '\['resnet18'\]'"),
    "pooling of any type": (lambda: MgNet((1,), 4, pooling=["avg"], **SMALL), "unknown pooling"),
    "beyond floats": (lambda: ShakeShake(dt=10**400), "expected dt between 0 and inf"),
    "epochs": (lambda: TrainConfig(epochs=0), "expected epochs >= 1. Received: epochs=0"),
    "batch size": (lambda: TrainConfig(batch_size=-4), "expected batch_size >= 1"),
    "learning rate": (lambda: TrainConfig(learning_rate=0.0), "expected learning_rate > 0"),
    "learning rate nan": (
        lambda: TrainConfig(learning_rate=float("nan")),
        "expected learning_rate to be a finite number",
    ),
    "schedule": (lambda: TrainConfig(schedule="cosin"), "unknown schedule 'cosin'; did you mean 'cosine'"),
    "augmentation": (lambda: TrainConfig(augment="flip_crop"), "unknown augment"),
    "precision": (lambda: TrainConfig(dtype="bfloat16"), "did you mean 'mixed_bfloat16'"),
    "data set": (lambda: prepare(TrainConfig("mnits")), "unknown dataset 'mnits'; did you mean 'mnist'"),
    "model of a run": (lambda: prepare(TrainConfig("digits", model="mgnet_2222_c46")), "did you mean 'mgnet_2222_c64'"),
    "classes of a run": (lambda: TrainConfig("digits", set={"classes": 3}), "expected no classes in set"),
    "type": (lambda: TrainConfig(epochs=2.5), r"expected epochs to be a valid integer\. Received: epochs=2\.5"),
    "text for a number": (
        lambda: TrainConfig(batch_size="64"),
        "expected batch_size to be a valid integer. Received: batch_size='64'",
    ),
    "not finite": (lambda: TrainConfig(weight_decay=float("inf")), "expected weight_decay to be a finite number"),
    "home of nobody": (
        lambda: TrainConfig("npz:~nobody-here/x"),
        "expected the home directory of a user of this machine",
    ),
    "no data set": (lambda: TrainConfig(None), "expected dataset to be a valid string"),
    "warm-up": (lambda: prepare(TrainConfig("digits", epochs=2, warmup_epochs=3.0)), "expected warmup_epochs <= 2"),
    "folder": (lambda: prepare(TrainConfig("folder:/no/where")), "no such folder: '/no/where'"),
    "levels of a run": (
        lambda: prepare(TrainConfig("digits", set={"nu": [1] * 5})),
        "at least 16x16 pixels for 5 grids",
    ),
    "run": (lambda: open_run("no/run"), r"expected a run directory, with a run\.json in it\. Received: 'no/run'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    call, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        call()


def tiny_config(**changes):
    return TrainConfig(**{"dataset": "digits", "set": {"nu": [1], "channels": 2}, "epochs": 1, **changes})


@pytest.mark.parametrize(
    "changes",
    [{"dataset": "nope"}, {"model": "nope"}, {"set": {"nu": []}}, {"set": {"nuu": 1}}, {"set": {"activation": print}}],
)
def test_a_refused_run_writes_nothing(changes, tmp_path):
    with pytest.raises((ValueError, TypeError)):
        train(tiny_config(out=str(tmp_path / "run"), **changes))
    assert not list(tmp_path.iterdir())


def test_an_output_path_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="expected a folder that can be written"):
        train(tiny_config(out=str(tmp_path / "file" / "run")))
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_directory_with_files_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"expected a new or empty run directory.*holds other files"):
        train(tiny_config(out=str(tmp_path)))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_labels_outside_the_classes(tmp_path):
    images, labels = np.zeros((4, 8, 8), "uint8"), np.array([0, 1, 2, 7])
    np.savez(
        tmp_path / "d.npz", x_train=images, y_train=labels, x_test=images, y_test=labels, class_names=["a", "b", "c"]
    )
    with pytest.raises(ValueError, match=r"expected train labels in 0\.\.2\. Received: 0\.\.7"):
        prepare(tiny_config(dataset=f"npz:{tmp_path / 'd.npz'}"))


def test_class_names_that_are_not_utf8(tmp_path):
    for name in (b"a", b"b\xff"):
        folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/set/" + name))
        folder.mkdir(parents=True)
        for i in range(5):
            Image.new("L", (8, 8)).save(folder / f"{i}.png")
    with pytest.raises(ValueError, match=r"expected names and paths in UTF-8\. Received: .*udcff"):
        train(tiny_config(dataset=f"folder:{tmp_path / 'set'}", out=str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"model": 1}'])
def test_a_damaged_run_json(content, tmp_path):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(ValueError, match=r"expected run\.json to be the record of a run"):
        open_run(tmp_path)
