"""`keras-mgnet analyze`: it writes what it says, for every analysis, and errors come first."""

import json
from dataclasses import replace
from functools import partial

import pytest
from typer.testing import CliRunner

from keras_mgnet.analysis import ANALYSES, check_names
from keras_mgnet.cli import command_line
from support import slow_unless
from support.command import invoke

NETWORKS = {
    "mgnet": ["--set", "nu=[2,2]", "--set", "channels=4", "--set", "smoother=chebyshev"],
    "resnet": ["--model", "resnet20", "--set", "blocks=2,1", "--set", "base_width=2"],
}
ABSENT = {"mgnet": {"influence", "paths", "refinement"}, "resnet": {"influence", "residuals", "k_values", "spectra"}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("analyze")
    for name, options in NETWORKS.items():
        invoke("train", "digits", *options, "--epochs", "1", "--learning-rate", "0.05", "--out", folder / name)
    return folder


@pytest.mark.parametrize("name", slow_unless(["mgnet"], NETWORKS))
def test_all_writes_what_applies_and_says_what_does_not(name, runs, tmp_path, monkeypatch):
    row = ANALYSES["randomization"]
    monkeypatch.setitem(
        ANALYSES, "randomization", replace(row, compute=partial(row.compute, regularizers=["dropout"], epochs=1))
    )
    output = invoke("analyze", runs / name, "--images", 12, "--out", tmp_path / "out")
    applicable = [what for what in ANALYSES if what not in ABSENT[name]]
    expected = {f"{what}.{ending}" for what in applicable for ending in ("json", "png")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == expected
    assert all(f"{what}: does not apply, expected" in output for what in ABSENT[name])
    written = output.splitlines()[-1]
    assert written.startswith(f"wrote {tmp_path / 'out'}: ") and all(file in written for file in expected)
    for what in applicable:
        content = json.loads((tmp_path / "out" / f"{what}.json").read_text())
        assert content["analysis"] == what and content["about"]["test_images"] == 12 and content["result"]
        assert f"{what}: {content['summary']}" in output
        assert (tmp_path / "out" / f"{what}.png").read_bytes().startswith(b"\x89PNG")


def test_several_and_the_same_twice(runs, tmp_path):
    for out in ("a", "b"):
        invoke("analyze", runs / "mgnet", "--what", "lesion", "k_values", "--images", 12, "--out", tmp_path / out)
    assert {path.name for path in (tmp_path / "a").glob("*.json")} == {"lesion.json", "k_values.json"}
    assert all((tmp_path / "b" / path.name).read_text() == path.read_text() for path in (tmp_path / "a").glob("*.json"))


@pytest.mark.parametrize(
    "run, what, message",
    [
        ("mgnet", "lesions", "unknown analysis 'lesions'; did you mean 'lesion'?"),
        ("nowhere", "lesoin", "did you mean 'lesion'?"),
        ("nowhere", "lesion", "expected a run directory"),
        (
            "resnet",
            "spectra",
            "spectra does not apply: expected a network with A and B, such as MgNet. Received: ResNet",
        ),
        ("mgnet", "paths", "paths does not apply: expected a network of blocks x + f(x)"),
    ],
)
def test_errors_come_before_any_file(run, what, message, runs, tmp_path):
    words = ["analyze", str(runs / run), "--what", what, "--out", str(tmp_path / "out")]
    with pytest.raises(ValueError) as error:
        CliRunner().invoke(command_line(words), words, catch_exceptions=False)
    assert message in str(error.value) and not (tmp_path / "out").exists()


def test_a_folder_that_is_a_file_is_told_first(runs, tmp_path):
    (tmp_path / "out").write_text("a file")
    words = ["analyze", str(runs / "resnet"), "--what", "moments", "--out", str(tmp_path / "out")]
    with pytest.raises(OSError, match="expected a folder that can be written"):
        CliRunner().invoke(command_line(words), words, catch_exceptions=False)


def test_every_analysis_is_known_by_its_name():
    check_names(ANALYSES)
    assert all(analysis.help and len(analysis.help) < 80 for analysis in ANALYSES.values())
