"""The Python of the README and of every page of the documentation runs as it is written, from top to bottom."""

import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import keras_tuner
import numpy as np
import pytest
from safetensors.numpy import save_file

import keras_mgnet
from keras_mgnet import count_params, layers, training
from keras_mgnet.export import export_formats
from keras_mgnet.models import FAMILIES, Frame, FunctionFrame, ImageFrame
from keras_mgnet.models.network import UNREAD
from keras_mgnet.training.data import dataset as data
from support import ROOT, catalogue
from support.interop import torch_state
from support.pages import blocks, pages_with

ELSEWHERE = {"docs/serving.md": "docs/test_serving_page.py"}  # it needs servers that run

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:keras_tuner"),
    pytest.mark.filterwarnings(f"ignore:{UNREAD}"),  # as the package does outside of pytest
]


def pixels(*shape):
    """Returns uint8 noise."""
    return np.random.default_rng(0).integers(0, 256, shape).astype("uint8")


def weights_of_others(patch):
    network = catalogue.MgNet((2, 2, 2), (16, 32, 48), input_shape=(28, 28, 1))
    save_file(torch_state(network), "mgnet.safetensors")
    return {}


def a_prepared_set(patch):
    split = data.Split(pixels(20, 32, 32, 3), np.arange(20, dtype="int32") % 10)
    cifar10 = data.Dataset("cifar10", split, split, tuple("abcdefghij"), (0.5,) * 3, (0.2,) * 3)
    load = data.load
    patch.setattr(training, "load", lambda name: cifar10 if name == "cifar10" else load(name))
    return {}


def an_edge(patch):
    rows, columns = np.mgrid[:32, :40]
    return {"image": (127 + 100 * np.sign(rows - columns)).astype("float32")}


def a_folder_as_hub(patch):
    """The functions of huggingface_hub that Keras and the page call, with a folder hub/USER/NAME for a repository."""

    def create_repo(repo_id, exist_ok):
        Path("hub", repo_id).mkdir(parents=True, exist_ok=exist_ok)
        return SimpleNamespace(repo_id=repo_id)

    def upload_folder(repo_id, folder_path, commit_message=""):
        shutil.copytree(folder_path, Path("hub", repo_id), dirs_exist_ok=True)

    api = SimpleNamespace(create_repo=create_repo, upload_folder=upload_folder)
    hub = SimpleNamespace(
        HfApi=lambda library_name, library_version: api,
        upload_folder=upload_folder,
        snapshot_download=lambda repo_id, library_name, library_version: str(Path("hub", repo_id)),
    )
    patch.setitem(sys.modules, "huggingface_hub", hub)
    patch.setattr("keras.src.saving.saving_lib.huggingface_hub", hub)
    if not shutil.which("dot"):  # with pydot, Keras draws the network, and raises without Graphviz
        patch.setattr("keras.src.saving.saving_lib.check_pydot", lambda: False)
    return {}


def a_network_of_colour_images(patch):
    model = catalogue.MgNet((2, 2), 4, input_shape=(32, 32, 3))
    return {"model": model, "images": pixels(8, 32, 32, 3) / 255}


GRANTED = {  # page -> what makes the files and names that it takes for granted, besides `images` and `labels`
    "docs/analysis.md": a_network_of_colour_images,
    "docs/denoising.md": an_edge,
    "docs/export.md": a_folder_as_hub,
    "docs/equations.md": lambda patch: dict(vars(layers.steps)),  # whose functions it prints
    "docs/gpu.md": a_prepared_set,
    "docs/zoo.md": weights_of_others,
}


def readme_leaves_files(names):
    assert Path("runs/mgnet/last.keras").is_file() and names["evaluate"](names["run"])["accuracy"] > 0.8
    assert {path.name for path in Path("exported").iterdir()} == {"mgnet", "mgnet.onnx", "mgnet.tflite"}


def export_leaves_files(names):
    """And the Hub has the model with all its weights, and the card in place of Keras' template."""
    assert len([*Path("exported").iterdir()]) >= 3
    shared = {path.name for path in Path("hub/user/mgnet").iterdir()}
    assert shared >= {"config.json", "metadata.json", "model.weights.h5", "README.md", "card.json", "mgnet.onnx"}
    assert "\n# mgnet\n" in Path("hub/user/mgnet/README.md").read_text()
    for saved, loaded in zip(names["model"].get_weights(), names["loaded"].get_weights(), strict=True):
        np.testing.assert_array_equal(saved, loaded)


def solvers_converge(names):
    """The page's figures: of one grid alone, red-black, Jacobi, and what twenty steps have learned."""
    assert abs(names["factor"] - 0.119) < 0.001 and (names["history"][-1] <= 1e-8).all()
    assert round(names["slow"], 3) == 0.999 and round(names["fixed"], 2) == 0.60 and abs(names["learned"] - 0.31) < 0.05
    assert abs(len(names["history"]) - 1 - 15) <= 2 and names["jumping"] <= 20
    assert (
        round(names["smoothing"], 2) == 0.25 and round(names["predicted"], 3) == 0.074 and Path("factors.png").is_file()
    )


def a_network_of_ones_own_is_like_any_other(names):
    """Ralston's method on the page's field, and all that a network of the package can do."""
    model, x = names["model"], np.ones((1, 8, 8, 4), "float32")
    level = model.get_layer("level1")
    k1 = level.field(x, i=0)
    np.testing.assert_allclose(level(x), x + k1 / 4 + 3 / 4 * level.field(x + 2 / 3 * k1, i=0), rtol=1e-5, atol=1e-6)
    assert names["heun"].method.name == "Heun's method"

    images = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32")
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_allclose(clone(images), model(images), rtol=1e-5, atol=1e-6)
    reports = export_formats(model, "exported", ("savedmodel", "tflite", "onnx"))
    assert len(reports) == 3  # each file answers as the model does

    assert "ralston_22" in keras_mgnet.list_models() and "Ralston's method" in keras_mgnet.describe(model)
    assert count_params(keras_mgnet.create_model("ralston_22")) == keras_mgnet.model_info("ralston_22").params
    space = keras_mgnet.HyperNetwork("ralston_22", (8, 8, 1), 10, max_params=5000)
    assert count_params(space.build(keras_tuner.HyperParameters())) <= 5000


def a_network_of_functions_learns(names):
    before, after = names["before"], names["after"]
    assert set(after) == {"loss", "l2", "h1"} and after["h1"] < before["h1"]
    assert names["other"].output_shape == (None, 24, 24, 1)


def files_are_data_sets(names):
    assert data.load("npz:cifar10.npz").std == (0.2,) * 3 and data.load("npz:digits.npz").counts == (1200, 597)


def trained_weights_help(names):
    assert names["tuned"] > names["scratch"] + 0.05 and names["tuned"] > 0.8 and names["score"] > 0.85
    model, trained, grey, colour = (names[name] for name in ("frozen", "trained", "grey", "colour"))
    for name, kept in (("stem", True), ("level1", True), ("level2", False)):
        pairs = zip(model.get_layer(name).get_weights(), trained.get_layer(name).get_weights(), strict=True)
        assert all((own == theirs).all() for own, theirs in pairs) is kept
    images = names["x_test"][:4]
    np.testing.assert_allclose(grey(images), colour(np.repeat(images, 3, axis=-1)), rtol=1e-4, atol=1e-5)
    assert names["larger"](np.zeros((1, 16, 16, 1))).shape == (1, 5)
    backbone = names["backbone"].get_weights()
    assert all((own == theirs).all() for own, theirs in zip(backbone, trained.get_weights(), strict=False))


CHECKS = {  # page -> what holds of its names, and of the folder it ran in, at its end
    "README.md": readme_leaves_files,
    "docs/export.md": export_leaves_files,
    "docs/fine_tuning.md": trained_weights_help,
    "docs/gpu.md": files_are_data_sets,
    "docs/multigrid.md": solvers_converge,
    "docs/operators.md": a_network_of_functions_learns,
    "docs/new_network.md": a_network_of_ones_own_is_like_any_other,
}


@pytest.mark.parametrize("page", [page for page in pages_with("python") if page not in ELSEWHERE])
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).normal(size=(8, 28, 28, 1)).astype("float32")
    names = {"__name__": Path(page).stem, "images": noise, "labels": np.arange(8)}
    names |= GRANTED.get(page, lambda patch: {})(monkeypatch)
    for block in blocks(page, "python"):
        exec(compile("\n" * block.line + block.code, ROOT / page, "exec"), names)  # our own file
    CHECKS.get(page, lambda names: None)(names)


def test_pages_that_run_elsewhere_do():
    for page, file in ELSEWHERE.items():
        assert f'"{page}"' in (ROOT / "tests" / file).read_text()


@pytest.mark.parametrize(
    ("page", "things"), [("models", (*FAMILIES, Frame, FunctionFrame, ImageFrame)), ("layers", layers.__all__)]
)
def test_the_reference_is_complete(page, things):
    shown = re.findall(
        r"^::: \S+\.(\w+)$", (ROOT / "docs" / "reference" / f"{page}.md").read_text(), flags=re.MULTILINE
    )
    assert sorted(shown) == sorted(getattr(thing, "__name__", thing) for thing in things)


def test_every_family_is_in_the_overview_of_the_zoo():
    zoo = (ROOT / "docs" / "zoo.md").read_text().partition("## The families")[2].partition("## ")[0]
    assert [family.__name__ for family in FAMILIES if f"`{family.__name__}`" not in zoo] == []
