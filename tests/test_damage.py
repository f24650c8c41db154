"""Damaged and hostile files: reading them succeeds, or an error names the file. The slow variants try thousands."""

import io
import json
import shutil

import numpy as np
import pytest
from hypothesis import strategies as st
from rich.console import Console

from keras_mgnet import MgNet, export
from keras_mgnet.description import describe
from keras_mgnet.export.metadata import read_metadata
from keras_mgnet.files import file_digest
from keras_mgnet.loading import load_model
from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.loop.identity import check_same, digest
from keras_mgnet.training.loop.inference import evaluate, export_arguments, load_data
from keras_mgnet.training.loop.loop import train
from keras_mgnet.training.runs.checkpoint import MANIFEST, STATE, Checkpoints
from keras_mgnet.training.runs.compare import compare
from keras_mgnet.training.runs.run import open_run, read_log
from keras_mgnet.training.runs.state import State
from keras_mgnet.training.search.config import TuneConfig, read_search
from keras_mgnet.training.search.trials import RECORD, markdown, read_trials
from support import ROOT
from support.damage import damaged_bytes, damaged_json, tried, try_each, whole_or_named
from support.runs import record
from support.search import trial


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    config = TrainConfig("digits", set={"nu": [1], "channels": 2}, epochs=1, batch_size=512, out=str(out))
    return train(config, Console(file=io.StringIO()))


@pytest.fixture
def copy(run, tmp_path):
    return shutil.copytree(run.path, tmp_path / "run")


def tolerant(call, *arguments):
    """Calls a function that may refuse what it was given, by an error of ours or of the operating system."""
    try:
        return call(*arguments)
    except (ValueError, OSError):
        return None


@tried(100, 5000)
def test_run_json(tries, copy, run):
    file = copy / "run.json"

    def check(content):
        file.write_bytes(content)
        if opened := whole_or_named(file, lambda: open_run(copy)):
            assert isinstance(opened.class_names, list) and len(opened.normalization) == 2 and opened.input_shape
            tolerant(check_same, run.record, opened.record, copy)
            tolerant(compare, [opened])
            digest(opened.record)

    try_each(tries, damaged_json(run.record), check)


@tried(2, 200)
def test_what_commands_do_with_a_run(tries, copy, run):
    """What `describe`, `evaluate`, `export` and `train --resume` read; a record that they take is one they can use."""

    def check(content):
        (copy / "run.json").write_bytes(content)
        if opened := tolerant(open_run, copy):
            tolerant(lambda: describe(opened.load_model()))
            tolerant(load_data, opened)
            tolerant(evaluate, opened)
            tolerant(export_arguments, opened)
        config = TrainConfig(**run.record["config"] | {"out": str(copy), "resume": True})
        tolerant(train, config, Console(file=io.StringIO()))

    try_each(tries, damaged_json(run.record), check)


@tried(10, 1000)
def test_the_training_on_a_card(tries, run, tmp_path):
    model = run.load_model()
    reports = export.export_formats(model, tmp_path, ["onnx"])
    (tmp_path / "run").mkdir()
    file = tmp_path / "run" / "run.json"

    def check(content):
        file.write_bytes(content)
        if opened := tolerant(open_run, file.parent):
            export.write_card(tmp_path, model, reports, record={**opened.record, "checkpoint": "last"})

    try_each(tries, damaged_json(run.record), check)


@tried(100, 5000)
def test_state_json(tries, run, tmp_path):
    progress = {
        "rows": [{"epoch": 0, "loss": 2.0, "accuracy": 0.1, "val_loss": 2.0, "val_accuracy": 0.2, "seconds": 1.0}],
        "step": 3,
        "sums": {"images": 96, "seconds": 0.5, "loss": 200.0, "accuracy": 12.0},
        "seconds": 1.5,
    }
    checkpoints = Checkpoints(tmp_path, "run", State)
    checkpoints.write("epoch-000001-step-000003", {"w": np.ones(2)}, progress)
    folder = tmp_path / "epoch-000001-step-000003"
    manifest = json.loads((folder / MANIFEST).read_text())

    def check(content):
        (folder / STATE).write_bytes(content)
        manifest["files"][STATE] = file_digest(folder / STATE)  # who can write one file can write the other
        (folder / MANIFEST).write_text(json.dumps(manifest))
        if found := whole_or_named(folder, lambda: checkpoints.read(folder.name)):
            assert found[1].name and (found[1].best is None) == (not found[1].rows)
            assert found[1].step == 0 or found[1].means() is not None

    try_each(tries, damaged_json(progress), check)


@tried(50, 3000)
def test_manifest_json(tries, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write("epoch-000001", {"w": np.ones(2)}, {"step": 1})
    file = tmp_path / "epoch-000001" / MANIFEST
    whole = json.loads(file.read_text())

    def check(content):
        file.write_bytes(content)
        if whole_or_named(file.parent, lambda: checkpoints.read("epoch-000001")):
            assert json.loads(content) == whole

    try_each(tries, damaged_json(whole), check)


@tried(50, 3000)
def test_log_csv(tries, copy):
    file = copy / "log.csv"
    whole = file.read_bytes()

    def check(content):
        file.write_bytes(content)
        whole_or_named(file, lambda: read_log(file))
        whole_or_named(copy, lambda: compare([open_run(copy)]))

    try_each(tries, damaged_bytes(whole), check)


@tried(100, 5000)
def test_result_json_of_a_trial(tries, tmp_path):
    file = tmp_path / "trial_0" / RECORD
    file.parent.mkdir()

    def check(content):
        file.write_bytes(content)
        if trials := whole_or_named(file, lambda: read_trials(tmp_path)):
            assert markdown(trials)

    try_each(tries, damaged_json(vars(trial(0, 0.5, 10))), check)


@tried(100, 5000)
def test_search_json(tries, tmp_path):
    config, file = TuneConfig("digits", out=str(tmp_path)), tmp_path / "search.json"

    def check(content):
        file.write_bytes(content)
        if isinstance(found := whole_or_named(file, lambda: read_search(file)), TuneConfig):
            tolerant(config.check_same)
            assert found.epochs >= 1

    try_each(tries, damaged_json({"versions": {"keras": "3.15.1"}, "config": vars(config)}), check)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    out = tmp_path_factory.mktemp("exported")
    model = MgNet((1,), 2, input_shape=(8, 8, 1), classes=3)
    model.save(out / "m.keras")
    reports = export.export_formats(model, out, ["onnx", "tflite"], name="m", class_names=list("abc"))
    export.write_card(out, model, reports, record=record())
    return out


@tried(100, 5000)
def test_card_json(tries, exported, tmp_path):
    copy = shutil.copytree(exported, tmp_path / "copy")
    file = copy / "card.json"
    whole = json.loads(file.read_text())

    def check(content):
        file.write_bytes(content)
        if card := whole_or_named(copy, lambda: export.check_card(file)):
            assert {"model", "artifacts", "versions"} <= set(card)

    try_each(tries, damaged_json(whole), check)


@tried(10, 1000)
@pytest.mark.parametrize("name", ["m.onnx", "m.tflite"])
def test_artifacts(name, tries, exported, tmp_path):
    file = tmp_path / name

    def check(content):
        file.write_bytes(content)
        whole_or_named(file, lambda: export.open_artifact(file))
        whole_or_named(file, lambda: read_metadata(file))

    try_each(tries, damaged_bytes((exported / name).read_bytes()), check)


@tried(10, 1000)
def test_keras_archives(tries, exported, tmp_path):
    file = tmp_path / "m.keras"

    def check(content):
        file.write_bytes(content)
        whole_or_named(file, lambda: load_model(file))

    try_each(tries, damaged_bytes((exported / "m.keras").read_bytes()), check)


@pytest.mark.parametrize(
    "file", sorted((ROOT / "docs" / "records").glob("*/run.json")), ids=lambda file: file.parent.name
)
def test_records_of_earlier_versions_are_whole(file):
    opened = open_run(file.parent)
    assert opened.record == json.loads(file.read_text()) and opened.record["result"]["epochs"] > 10


def test_a_run_without_an_epoch_is_not_finished(copy, run):
    (copy / "log.csv").unlink()
    (copy / "run.json").write_text(json.dumps(run.record | {"result": run.record["result"] | {"epochs": 0}}))
    with pytest.raises(ValueError, match=r"result: Value error, a finished run has an epoch"):
        open_run(copy)


DAMAGED_MODELS = {
    "a graph cut off": lambda folder: (folder / "saved_model.pb").write_bytes(b"\x08\x01\x12"),
    "a graph of nothing": lambda folder: (folder / "saved_model.pb").write_bytes(b""),
    "no index": lambda folder: (folder / "variables" / "variables.index").unlink(),
    "an index of something else": lambda folder: (folder / "variables" / "variables.index").write_bytes(b"x" * 99),
    "no variables": lambda folder: next(folder.glob("variables/*.data*")).unlink(),
    "metadata of something else": lambda folder: (folder / "assets.extra" / "keras_mgnet.json").write_text("[1]"),
}


@pytest.fixture(scope="module")
def savedmodel(tmp_path_factory):
    return export.savedmodel(MgNet((1,), 2, input_shape=(8, 8, 1)), tmp_path_factory.mktemp("saved") / "m")


@pytest.mark.parametrize("case", DAMAGED_MODELS)
def test_a_damaged_savedmodel(case, savedmodel, tmp_path):
    folder = shutil.copytree(savedmodel, tmp_path / "1")
    DAMAGED_MODELS[case](folder)
    read = read_metadata if case.startswith("metadata") else export.open_artifact
    with pytest.raises(ValueError, match=r"expected an undamaged file or folder\. Received: '.*/1' \("):
        read(folder)


NONSENSE = st.sampled_from([{1}, {}, [1.5], "x", b"x", object(), float("nan"), -1, 10**400, None, np.zeros(3), print])


@tried(50, 2000)
def test_nonsense_arguments(tries):
    """Every argument of a constructor, given a value of any type: a network, or an error of ours."""
    names = st.sampled_from(["nu", "channels", "channels_f", "share_A", "form", "smoother", "Pi", "R", "stem"])
    framed = st.sampled_from(
        ["input_shape", "input_tensor", "include_top", "pooling", "classes", "classifier_activation", "activation", "norm",
         "weights", "init", "remat", "recipe"]
    )  # fmt: skip
    small = {"nu": (1,), "channels": 2, "input_shape": (8, 8, 1)}
    changes = st.dictionaries(st.one_of(names, framed), NONSENSE, min_size=1, max_size=3)

    def check(changed):
        tolerant(lambda: MgNet(**small | changed))

    try_each(tries, changes, check)
