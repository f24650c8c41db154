"""The command line: what a user sees, and the errors as one line."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from keras_mgnet import list_models
from keras_mgnet.cli import GROUPS, command_line
from keras_mgnet.cli.options import parse_pairs

QUICK = ["--set", "nu=[1]", "--set", "channels=4", "--epochs", "2", "--learning-rate", "0.05"]


def invoke(*arguments):
    words = [str(argument) for argument in arguments]
    result = CliRunner().invoke(command_line(words), words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "run"
    output = invoke("train", "digits", *QUICK, "--out", path)
    assert "finished after 2 epochs" in output
    assert f"wrote {path}: best.keras, checkpoints, curves.png, last.keras, log.csv, run.json, tensorboard" in output
    return path


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


def test_compare_gives_mean_and_spread_over_seeds(run, tmp_path):
    for seed in (1, 2):
        invoke("train", "digits", *QUICK, "--seed", seed, "--out", tmp_path / str(seed))
    runs = [run, tmp_path / "1", tmp_path / "2"]
    last = [json.loads((path / "run.json").read_text())["result"]["last_test_accuracy"] for path in runs]
    output = invoke("compare", *runs, "--out", tmp_path / "out")
    mean, spread = f"{100 * np.mean(last):.2f}", f"{100 * np.std(last, ddof=1):.2f}"
    row = (tmp_path / "out" / "comparison.md").read_text().splitlines()[2]
    assert f"**{mean} %** | ± {spread} |" in row and "(nu=[1], channels=4)" in row
    assert mean in output and (tmp_path / "out" / "comparison.png").stat().st_size > 10_000

    invoke("train", "digits", *QUICK, "--seed", 3, "--batch-size", 64, "--out", tmp_path / "other")
    resnet = ["--model", "resnet20", "--set", "depth=8", "--set", "base_width=2", "--weight-decay", "5e-4"]
    invoke("train", "digits", *QUICK[4:], *resnet, "--out", tmp_path / "drop")
    for arguments, message in [
        ([run, tmp_path / "other"], "another batch_size"),
        ([run, tmp_path / "drop"], "another milestones"),
        ([run, run], "seed 0 of .* twice"),
    ]:
        with pytest.raises(ValueError, match=message):
            invoke("compare", *arguments)


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
    assert sorted(path.suffix for path in (tmp_path / "out").glob("mgnet*")) == [".onnx", ".tflite"]
    assert "100.00%" in output and "wrote" in output


@pytest.mark.slow
def test_demo_shows_the_whole_way(tmp_path):
    output = invoke("demo", "--out", tmp_path / "demo")
    rows = {line.split()[1]: line for line in output.splitlines() if line.startswith("│")}
    assert set(rows) == {"keras", "savedmodel", "tflite", "onnx"}
    accuracies = [float(re.search(r"([\d.]+)%", row).group(1)) for row in rows.values()]
    assert min(accuracies) >= 98.0
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


def test_the_installed_command_starts_quietly():
    command = Path(sys.executable).with_name("keras-mgnet")
    result = subprocess.run([command, "list", "mgnet_1111*"], capture_output=True, text=True, check=True)
    assert "520,394" in result.stdout
    assert result.stderr == ""


def test_groups_say_which_commands_a_file_has():
    for commands in GROUPS.values():
        app = command_line(commands[:1])
        assert [command.name for command in app.registered_commands] == list(commands)
    assert all(command in invoke("--help") for commands in GROUPS.values() for command in commands)
