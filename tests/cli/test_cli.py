"""The command line: what a user sees, and the errors as one line."""

import importlib.util
import inspect
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import typer
from packaging.version import Version
from PIL import Image

from keras_mgnet import create_model, list_models, model_info
from keras_mgnet.__main__ import start
from keras_mgnet.cli import COMPLETION, GROUPS, command_line, main
from keras_mgnet.cli.options import parse_pairs
from keras_mgnet.export import check_card, open_artifact
from keras_mgnet.files import workspace
from keras_mgnet.notes import hidden_notes
from keras_mgnet.training.loop.config import PANELS, TrainConfig
from keras_mgnet.training.runs.run import open_run
from keras_mgnet.version import __version__
from support.command import document, invoke
from support.disk import FULL, room_for
from support.interop import torch_state
from support.numerics import randomize

PROGRAM = Path(sys.executable).with_name("keras-mgnet")
QUICK = ["--set", "nu=[1]", "--set", "channels=4", "--epochs", "2", "--learning-rate", "0.05"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "run"
    output = invoke("train", "digits", *QUICK, "--out", path)
    assert "finished after 2 epochs" in output
    assert f"wrote {path}" in output
    return path


def test_only_a_command_that_has_trained_says_that_it_wrote(run):
    output = invoke("train", "digits", *QUICK, "--out", run, "--resume")
    assert "finished after 2 epochs" in output and "wrote" not in output


def test_list_shows_every_name_with_ours_against_published():
    output = invoke("list")
    assert all(name in output for name in list_models())
    row = next(line for line in output.splitlines() if " mgnet_2222_c256_shared_b " in line)
    assert all(text in row for text in ("8,278,794", "8.2M", "96.00", "79.94", "XuTeam README"))
    assert len([line for line in invoke("list", "resnet18_shared_a").splitlines() if "resnet18" in line]) == 1


def test_list_says_which_published_sizes_cannot_be_reproduced():
    output = invoke("list", "*resnet164")
    assert "2.55M ✗" in output
    assert "✗ lm_resnet164: published size not reproducible: 1.7M (ResNet110) times 27/18" in output
    assert (
        "0.27M ✓" in invoke("list", "lm_resnet20")
        and "not reproducible" not in invoke("list", "lm_resnet20").splitlines()[-1]
    )


def test_list_and_describe_as_json():
    rows = {row["name"]: row for row in document("list", "*resnet164")}
    assert rows["lm_resnet164"]["params"] == model_info("lm_resnet164").params
    assert rows["lm_resnet164"]["size_matches"] is False and rows["lm_resnet164"]["reported"]["params"] == "2.55M"
    described = document("describe", "mgnet_2222_c64_shared_b", "--set", "channels=8", "--set", "nu=[3,2]")
    levels = {row["name"]: row for row in described["levels"]}
    assert list(levels) == ["stem", "level1", "transfer2", "level2", "classifier"]
    assert sum(row["params"] for row in levels.values()) == described["params"]
    assert levels["level1"]["nu"] == 3 and levels["level1"]["uses"]["A"] == 3
    assert described["family"] == "MgNet" and described["method"]["name"].startswith("multigrid")


def test_describe_shows_levels_and_reuse():
    output = invoke("describe", "mgnet_2222_c64_shared_b", "--set", "channels=8", "--set", "nu=[3,2]")
    assert "A reused 3 times" in output and "scheme: multigrid" in output
    assert [line.split()[0] for line in output.splitlines()[5:]] == [
        "stem",
        "level1",
        "transfer2",
        "level2",
        "classifier",
    ]


def test_describe_and_predict_take_a_run_and_a_folder(run, tmp_path, refused):
    assert "MgNet" in invoke("describe", run) and document("describe", run)["params"] > 0
    assert "expected set only with the name of a network" in refused("describe", run, "--set", "nu=[1]")
    for i in range(2):
        Image.fromarray(np.full((8, 8), 90 * i, np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "notes.txt").write_text("no image")
    assert [Path(row["image"]).name for row in document("predict", run, tmp_path)] == ["0.png", "1.png"]
    (tmp_path / "empty").mkdir()
    assert "expected image files. Received: none in" in refused("predict", run, tmp_path / "empty")


def test_version(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["keras-mgnet", "--version"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0 and capsys.readouterr().out == f"keras-mgnet {__version__}\n"


def configured(path, run, **changes):
    """Returns a copy of a run whose record has another configuration."""
    shutil.copytree(run, path)
    record = json.loads((path / "run.json").read_text())
    record["config"] |= changes
    (path / "run.json").write_text(json.dumps(record))
    return path


def test_compare_gives_mean_and_spread_over_seeds(run, tmp_path):
    invoke("train", "digits", *QUICK, "--seed", 1, "--out", tmp_path / "1")
    runs = [run, tmp_path / "1"]
    last = [json.loads((path / "run.json").read_text())["result"]["last_test_accuracy"] for path in runs]
    output = invoke("compare", *runs, "--out", tmp_path / "out")
    mean, spread = f"{100 * np.mean(last):.2f}", f"{100 * np.std(last, ddof=1):.2f}"
    row = (tmp_path / "out" / "comparison.md").read_text().splitlines()[2]
    assert f"**{mean} %** | ± {spread} |" in row and "(nu=[1], channels=4)" in row
    assert mean in output and (tmp_path / "out" / "comparison.png").stat().st_size > 10_000
    (network,) = document("compare", *runs, "--out", tmp_path / "out")
    assert network["seeds"] == [0, 1] and network["last"] == last and network["mean"] == pytest.approx(np.mean(last))
    assert network["training"] == {}

    for arguments, message in [
        ([run, configured(tmp_path / "other", run, dataset="mnist")], "same images. Received: dataset='digits' in"),
        ([run, run], "seed 0 of .* twice"),
    ]:
        with pytest.raises(ValueError, match=message):
            invoke("compare", *arguments)


def test_compare_lists_how_the_training_of_two_networks_differs(run, tmp_path):
    other = configured(tmp_path / "other", run, model="resnet20", weight_decay=1e-4, keep=5, resume=True)
    same = configured(tmp_path / "longer", run, epochs=9)
    output = invoke("compare", run, other, same, "--out", tmp_path / "out")
    header, _, *rows = (tmp_path / "out" / "comparison.md").read_text().splitlines()
    assert header.endswith("| time of a run | training |") and "weight_decay" in output
    trained = {row.split(" | ")[0].strip("| ") + ": " + row.split(" | ")[-1].strip("| ") for row in rows}
    mgnet, epochs = "mgnet_2222_c64_shared_b (nu=[1], channels=4)", QUICK[QUICK.index("--epochs") + 1]
    assert trained == {
        f"{mgnet}: epochs={epochs}; weight_decay=0.0005",
        f"{mgnet}: epochs=9; weight_decay=0.0005",
        f"resnet20 (nu=[1], channels=4): epochs={epochs}; weight_decay=0.0001",
    }
    networks = document("compare", run, other, same, "--out", tmp_path / "out")
    assert {tuple(network["training"]) for network in networks} == {("epochs", "weight_decay")}


def test_a_run_with_validation_images_says_what_chose_its_best_epoch(run, tmp_path):
    said = invoke("train", "digits", *QUICK, "--epochs", 1, "--validation", 0.2, "--out", tmp_path / "run")
    assert re.search(r"validation accuracy \S+ \(best validation accuracy \S+ in epoch 1\); test accuracy \S+ \(", said)
    said = invoke("evaluate", tmp_path / "run", "--checkpoint", "best")
    assert "chosen by validation images, on 360 test images of digits: accuracy" in said
    assert document("compare", tmp_path / "run", "--out", tmp_path / "out")[0]["judge"] == "validation"
    with pytest.raises(ValueError, match=r"expected runs on the same images\. Received: val=None in .*, 288 in"):
        invoke("compare", run, tmp_path / "run")


def test_evaluate_and_predict(run, tmp_path):
    from PIL import Image

    assert "test images of digits: accuracy" in invoke("evaluate", run)
    result = json.loads(invoke("evaluate", run, "--json", "--checkpoint", "best"))
    assert result["images"] == 360 and 0 < result["accuracy"] <= 1
    Image.new("L", (20, 30)).save(tmp_path / "x.png")
    (prediction,) = json.loads(invoke("predict", run, tmp_path / "x.png", "--json", "--top", 4))
    assert len(prediction["classes"]) == 4
    assert "probability" in invoke("predict", run, tmp_path / "x.png")


def test_export_takes_several_formats_after_one_option(run, tmp_path):
    output = invoke("export", run, "--format", "tflite", "onnx", "--out", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").glob("card.*")) == ["card.json", "card.md"]
    assert sorted(path.name for path in (tmp_path / "out").glob("mgnet*")) == ["mgnet.onnx", "mgnet.tflite"]
    assert "100.00%" in output and "wrote" in output
    (report,) = document("export", run, "--format", "tflite", "--name", "digits", "--out", tmp_path / "json")
    assert report["path"].endswith("digits.tflite")
    assert Path(report["path"]).stat().st_size == report["size_bytes"] and report["agreement"] == 1.0
    assert report["format"] == "tflite" and report["drop"] == report["keras_accuracy"] - report["accuracy"]
    Image.fromarray(np.arange(0, 256, 4, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "x.png")
    (told,) = document("predict", run, tmp_path / "x.png", "--top", 10)
    for file in ("mgnet.tflite", "mgnet.onnx"):
        (answer,) = document("predict", tmp_path / "out" / file, tmp_path / "x.png", "--top", 10)
        assert answer["classes"] == pytest.approx(told["classes"], abs=1e-5)
    assert without_keras("predict", str(tmp_path / "out" / "mgnet.onnx"), str(tmp_path / "x.png")).returncode == 0


@pytest.mark.parametrize(
    "words", [["train", "digits", *QUICK], ["export"], ["tune", "digits", "--max-params", "20000"]]
)
def test_a_full_disk_is_an_error_with_its_path(words, run, refused, tmp_path):
    given = [run, "--format", "tflite"] if words == ["export"] else []
    with room_for(100):
        error = refused(*words, *given, "--out", tmp_path / "out")
    assert error == f"error: expected room on the disk of '{tmp_path / 'out'}'. Received: {FULL}"


ELSEWHERE = ["mgnet_2222_c64_shared_b", "--set", "nu=[1]", "--set", "channels=4"]  # with weights of a file


@pytest.fixture
def weights(tmp_path):
    """A network and the file of its weights as the authors' PyTorch code names them."""
    model = randomize(create_model("mgnet_2222_c64_shared_b", nu=(1,), channels=4, input_shape=(8, 8, 1)))
    np.savez(tmp_path / "w.npz", **torch_state(model))
    return model, tmp_path / "w.npz"


@pytest.mark.parametrize("form", ["savedmodel", "onnx"])
def test_weights_trained_elsewhere_are_exported_in_one_command(form, weights, tmp_path):
    model, file = weights
    options = ["--weights", file, "--format", form, "--out", tmp_path / "out"]
    invoke("export", *ELSEWHERE, "--set", "input_shape=[8,8,1]", *options)
    card = check_card(tmp_path / "out" / "card.json")
    assert card["training"]["weights"] == "w.npz" and card["input"]["normalization"] is None
    assert "the weights are from `w.npz`" in (tmp_path / "out" / "card.md").read_text()
    images = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype("float32")
    logits = open_artifact(tmp_path / "out" / card["artifacts"][0]["path"])(images)["logits"]
    np.testing.assert_allclose(logits, model(images, training=False), rtol=1e-4, atol=1e-4)


def test_a_data_set_gives_their_export_what_a_run_would(weights, tmp_path):
    out = tmp_path / "out"
    output = invoke(
        "export", *ELSEWHERE, "--weights", weights[1], "--dataset", "digits", "--format", "onnx", "--out", out
    )
    card = check_card(out / "card.json")
    assert card["input"]["range"] == [0, 255] and card["classes"] == list("0123456789")
    assert card["artifacts"][0]["samples"] == 360 and "On 360 test images" in " ".join(output.split())


def test_training_starts_from_the_weights_of_a_file(weights, tmp_path):
    model, file = weights
    still = ["--epochs", 1, "--learning-rate", 1e-30, "--weight-decay", 0, "--out", tmp_path / "run"]
    invoke("train", "digits", "--model", *ELSEWHERE, "--weights", file, *still)
    trained = open_run(tmp_path / "run").load_model()
    for ours, theirs in zip(trained.trainable_variables, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["train", "digits", "--weights", "w.npz", "--model", *ELSEWHERE, "--set", "nu=[2]"],
            "the key 'layer0.1.A.weight'",
        ),
        (
            ["train", "digits", "--weights", "nowhere.pth", "--model", *ELSEWHERE],
            "an existing file. Received: 'nowhere.pth'",
        ),
        (["export", *ELSEWHERE, "--weights", "w.npz"], "expected 'conv1.weight' to have the shape (4, 3, 3, 3)"),
        (
            ["export", *ELSEWHERE, "--weights", "w.npz", "--format", "onnx", "tflite_int8"],
            "expected --dataset, to calibrate int8",
        ),
        (["export", "nowhere", "--set", "nu=2"], "expected --weights with --set"),
        (["export", "nowhere", "--answers", "sofmax"], "did you mean 'softmax'"),
        (["export", "resnet81", "--weights", "w.npz"], "did you mean 'resnet18'"),
    ],
)
def test_weights_that_do_not_fit_leave_nothing(words, message, weights, refused, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert message in refused(*words, "--out", "out")
    assert [path.name for path in tmp_path.iterdir()] == ["w.npz"]


@pytest.mark.slow
def test_demo_shows_the_whole_way(tmp_path):
    output = invoke("demo", "--out", tmp_path / "demo")
    rows = [line.split() for line in output.splitlines() if line.split()[:1] in (["savedmodel"], ["tflite"], ["onnx"])]
    accuracies = [float(row[5].removesuffix("%")) for row in rows]
    assert len(rows) == 3
    assert min(accuracies) >= 96.5  # of 360 images; five seeds had 97.2 to 99.2
    assert (tmp_path / "demo" / "states.png").read_bytes().startswith(b"\x89PNG")


ERRORS = {
    "model": (["train", "digits", "--model", "resnet81"], "did you mean 'resnet18'"),
    "data set": (["train", "digit", *QUICK], "did you mean 'digits'"),
    "pair": (["describe", "resnet18", "--set", "base_width"], "expected KEY=VALUE"),
    "run": (["evaluate", "nowhere"], "expected a run directory"),
    "format": (["export", "nowhere", "--format", "tflit", "--out", "x"], "did you mean 'tflite'"),
    "pattern": (["list", "vgg*"], "expected a pattern that matches a model"),
    "markup": (["evaluate", "[/red]x"], "Received: '[/red]x'"),
    "classifier": (["train", "digits", "--set", "include_top=false"], "expected no include_top in set"),
    "range": (["train", "digits", "--epochs", "0"], "expected epochs >= 1"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_is_one_line_and_exit_code_2(case, monkeypatch, refused, tmp_path):
    arguments, message = ERRORS[case]
    monkeypatch.chdir(tmp_path)
    assert message in refused(*arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["--debug", "evaluate", "nowhere"], ["evaluate", "nowhere", "--debug"]])
def test_debug_shows_where_an_error_comes_from(words, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["keras-mgnet", *words])
    with pytest.raises(ValueError, match="expected a run directory"):
        main()


def test_an_error_of_ours_is_one_line_too(monkeypatch, capsys):
    def fail(pattern):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("keras_mgnet.cli.models.matching", fail)
    monkeypatch.setattr(sys, "argv", ["keras-mgnet", "list"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    assert capsys.readouterr().err == "error: RuntimeError: two lines; --debug shows where\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_a_signal_ends_has_its_code_and_cleans_up(number, monkeypatch, capsys, tmp_path):
    def stop(pattern):
        with workspace(tmp_path / "new"):
            os.kill(os.getpid(), number)
            signal.pause()

    ignoring = signal.signal(signal.SIGINT, signal.default_int_handler)  # pytest-xdist ignores it
    monkeypatch.setattr("keras_mgnet.cli.models.matching", stop)
    monkeypatch.setattr(sys, "argv", ["keras-mgnet", "list"])
    with pytest.raises(SystemExit) as stopped:
        main()
    signal.signal(signal.SIGINT, ignoring)
    assert stopped.value.code == 128 + number and capsys.readouterr() == ("", "") and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("nu=[2,2]", [2, 2]),
        ("nu=2,2", [2, 2]),
        ("channels=16", 16),
        ("share_B=False", False),
        ("share_B=true", True),
        ("smoother=damped", "damped"),
        ("channels_f=None", None),
        ("share_A=published_size", "published_size"),
    ],
)
def test_pairs(text, value):
    assert parse_pairs([text]) == {text.partition("=")[0]: value}


def test_an_export_is_quiet_but_for_our_own_lines(run, tmp_path):
    words = ["export", run, "--format", "savedmodel", "tflite", "tflite_int8", "onnx", "--out", tmp_path]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    process = subprocess.run([PROGRAM, *words], capture_output=True, text=True, env=environment)
    assert (process.returncode, process.stderr) == (0, "") and "wrote" in process.stdout


def test_what_is_hidden_is_shown_after_an_error(capfd):
    with hidden_notes():
        os.write(2, b"a note")
    with pytest.raises(RuntimeError), hidden_notes():
        os.write(2, b"the reason")
        raise RuntimeError
    os.write(2, b".")
    assert capfd.readouterr().err == "the reason."


def test_the_options_of_training_are_grouped(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    titles = re.findall(r"^╭─ (.+?) ─", invoke("train", "--help"), flags=re.MULTILINE)
    assert titles == ["Arguments", "Options", *PANELS]
    named = [name for names in PANELS.values() for name in names]
    assert len(named) == len({*named}) and {*named} <= {field.name for field in fields(TrainConfig)}


def test_groups_say_which_commands_a_file_has():
    for commands in GROUPS.values():
        app = command_line(commands[:1])
        assert [command.name for command in app.registered_commands] == list(commands)
    assert all(command in invoke("--help") for commands in GROUPS.values() for command in commands)


def test_the_list_of_commands_has_their_first_lines():
    listed = {command.name: command.help for command in command_line([]).registered_commands}
    for commands in GROUPS.values():
        for command in command_line(commands).registered_commands:
            assert listed[command.name] == inspect.getdoc(command.callback).partition("\n")[0]


@pytest.mark.parametrize("words", [["--help"], ["trian"], ["--version"], []])
def test_what_needs_no_command_starts_without_keras(words):
    shown = without_keras(*words, modules="keras tensorflow jax numpy")
    assert (shown.returncode == 2) == (words == ["trian"])


@pytest.mark.parametrize("words", ["list lm_*", "describe mgnet_2222_c64 --json", "doctor --fast"])
def test_what_is_data_is_shown_without_keras(words):
    assert without_keras(*words.split()).returncode == 0


def without_keras(*words, modules="keras tensorflow jax"):
    """Runs a command in a process of its own, which must not load any of the modules."""
    program = "import sys; from keras_mgnet.cli.start import start\n"
    program += f"try: start()\nfinally: assert not set({modules.split()}) & set(sys.modules)"
    shown = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
    assert "AssertionError" not in shown.stderr, shown.stderr
    return shown


COMMANDS = [command for commands in GROUPS.values() for command in commands]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_that_the_command_understands(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    command = typer.main.get_command(command_line([name])).commands[name]
    examples = re.findall(r"^ +keras-mgnet (.+)$", command.help.partition("Example:\n")[2], flags=re.MULTILINE)
    shown = invoke(name, "--help")
    if Version(version("typer")) < Version("0.27"):  # joins the lines of an example; later ones can be copied
        shown = " ".join(shown.split())
    assert examples
    for example in examples:
        asked, *words = shlex.split(example)
        assert asked == name and f"keras-mgnet {example}" in shown
        command.make_context(name, words)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trian"], "No such command 'trian'. Did you mean 'train'? (see `keras-mgnet --help`)"),
        (["train"], "Missing argument 'dataset'. (see `keras-mgnet train --help`)"),
        (["train", "digits", "--epoks", "3"], "No such option: --epoks (Possible options: --epochs"),
        (["train", "digits", "--epochs", "x"], "Invalid value for '--epochs'"),
    ],
)
def test_words_that_no_command_takes_get_a_line_and_a_hint(words, expected, refused):
    error = refused(*words)
    assert expected.lower() in error.lower() and error.endswith("--help`)")


def test_without_words_it_helps(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["keras-mgnet"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0 and "Usage: keras-mgnet" in capsys.readouterr().out


def completed(monkeypatch, capsys, line):
    monkeypatch.setattr(sys, "argv", ["keras-mgnet"])
    for name, value in {COMPLETION: "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        main()
    return capsys.readouterr().out.split()


def test_completion_offers_commands_and_their_options(monkeypatch, capsys):
    assert completed(monkeypatch, capsys, "keras-mgnet ") == COMMANDS
    assert completed(monkeypatch, capsys, "keras-mgnet de") == ["describe", "demo"]
    assert completed(monkeypatch, capsys, "keras-mgnet export run --fo") == ["--format"]
    assert completed(monkeypatch, capsys, "keras-mgnet analyze run --what le") == ["lesion"]


def test_an_installation_without_the_command_line_says_what_to_install(monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "typer" else found(name))
    with pytest.raises(SystemExit) as stop:
        start()
    assert stop.value.code == 2
    reason = "expected 'typer': install it with `pip install 'keras-mgnet[cli]'`. Received: No module named 'typer'"
    assert capsys.readouterr().err == f"error: {reason}\n"


def test_the_names_of_commands_are_completed_without_keras():
    program = (
        "import sys; sys.argv = ['keras-mgnet']\n"
        "from keras_mgnet.cli.start import start\n"
        "try: start()\n"
        "finally: print(*{'keras', 'numpy'} & {*sys.modules})"
    )
    words = {COMPLETION: "complete_bash", "COMP_WORDS": "keras-mgnet ", "COMP_CWORD": "1"}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=os.environ | words, check=True
    )
    assert result.stdout.split() == COMMANDS and result.stderr == ""


def test_the_script_for_a_shell_asks_our_command(monkeypatch, capsys):
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    monkeypatch.setattr(sys, "argv", ["keras-mgnet", "--show-completion", "bash"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0 and f"{COMPLETION}=complete_bash" in capsys.readouterr().out
