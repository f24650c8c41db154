"""`doctor` tells what is here from what is missing, and whether a network can be trained."""

import json

import keras
import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

from keras_mgnet.cli import command_line, examination
from keras_mgnet.cli.examination import SECTIONS, Finding, examine
from keras_mgnet.cli.requirements import requirements, unmet
from keras_mgnet.compat import uses_onednn
from keras_mgnet.training.loop.strategy import STRATEGIES
from support.command import document

CLUSTER = {"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 1}}


@pytest.fixture
def distribution(tmp_path, monkeypatch):
    """Returns a function that installs the description of a package."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(name, version="1.0", *lines):
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines])
        )

    return install


def test_a_machine_that_trains_is_exit_code_0():
    found = document("doctor")
    assert list(found) == list(SECTIONS)
    assert found["versions"]["keras"] == {"available": True, "detail": keras.__version__}
    assert found["data sets"]["digits"]["available"] and list(found["strategies"]) == list(STRATEGIES)
    assert found["training"]["a small network"]["available"]
    assert found["backend"]["oneDNN"]["available"] == uses_onednn()


@pytest.mark.parametrize(
    ("version", "missing"), [("3.13.0", 3), ("3.13.2", 2), ("3.14.1", 1), ("3.15.1", 0), ("3.16.0.dev1", 0)]
)
def test_an_old_keras_is_told_from_one_that_checks_files(version, missing, monkeypatch):
    monkeypatch.setattr(examination, "installed", lambda names: {"keras": version})
    found = examine()["versions"].get("keras.saving.load_model", Finding(True))
    assert found.available == (not missing)
    assert [what in found.detail for what in examination.KERAS_FIXES.values()] == [False] * (3 - missing) + [
        True
    ] * missing


def test_one_that_does_not_is_exit_code_1_and_says_why(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "numpy")
    result = CliRunner().invoke(command_line(["doctor"]), ["doctor", "--json"])
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    reason = "ValueError: expected the backend tensorflow or jax for training. Received: KERAS_BACKEND=numpy"
    assert found["training"] == found["devices"] == {"error": {"available": False, "detail": reason}}


def test_what_breaks_one_section_leaves_the_others(monkeypatch):
    def broken():
        raise RuntimeError("no driver\nand more")

    monkeypatch.setattr(examination, "SECTIONS", SECTIONS | {"devices": broken})
    found = examine()
    assert found["devices"] == {"error": Finding(False, "RuntimeError: no driver")}
    assert found["training"]["a small network"].available


def test_strategies_by_the_devices_and_the_machines(monkeypatch):
    gpus = {"CPU:0": Finding(True), "GPU:0": Finding(True), "GPU:1": Finding(True)}
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.setattr(examination, "_devices", lambda: gpus)
    found = SECTIONS["strategies"]()
    assert [found[name].detail for name in ("auto", "one", "mirrored")] == ["here: mirrored", "GPU:0", "GPU:0, GPU:1"]
    assert not found["multiworker"].available
    monkeypatch.setenv("TF_CONFIG", json.dumps(CLUSTER))
    found = SECTIONS["strategies"]()
    assert (
        found["multiworker"] == Finding(True, "2 machines of TF_CONFIG") and found["auto"].detail == "here: multiworker"
    )


def test_prepared_sets_are_found_and_judged_by_their_features(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "absent"))
    assert SECTIONS["data sets"]()["TFDS"].available is False
    image, label = {"image": {}}, {"classLabel": {"numClasses": "10"}}
    for place, features in {
        "mnist/3.0.1": {"image": image, "label": label},
        "imagenet_resized/32x32/0.1.0": {"image": image, "label": label},
        "coco/1.0.0": {"image": image, "objects": {}},
    }.items():
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "features.json").write_text(json.dumps({"featuresDict": {"features": features}}))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    found = {name: finding.available for name, finding in SECTIONS["data sets"]().items()}
    assert found == {"digits": True, "coco:1.0.0": False, "mnist:3.0.1": True, "imagenet_resized/32x32:0.1.0": True}


def test_the_explorer_says_how_to_fetch_its_runtime(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_mgnet.explorer.runtime.FOLDER", tmp_path)
    (finding,) = SECTIONS["explorer"]().values()
    assert not finding.available and "python -m keras_mgnet.explorer.runtime" in finding.detail


def test_programs_that_serve_are_asked_for_their_version(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = SECTIONS["serving"]()
    assert not any(finding.available for finding in found.values())
    assert "tensorflow.org/tfx/serving/setup" in found["tensorflow_model_server"].detail
    server, docker = tmp_path / "tensorflow_model_server", tmp_path / "docker"
    server.write_text("#!/bin/sh\necho TensorFlow ModelServer: 2.19.1\necho TensorFlow Library: 2.19.1\n")
    docker.write_text("#!/bin/sh\necho Cannot connect to the Docker daemon >&2\nexit 1\n")
    for file in (server, docker):
        file.chmod(0o755)
    assert SECTIONS["serving"]() == {
        server.name: Finding(True, f"{server}: TensorFlow ModelServer: 2.19.1 TensorFlow Library: 2.19.1"),
        docker.name: Finding(False, f"{docker}: Cannot connect to the Docker daemon"),
    }


def test_extras_say_what_pip_would_bring(distribution, monkeypatch):
    distribution("base", "1.5", "Provides-Extra: more", 'Requires-Dist: absent-part>=2; extra == "more"')
    distribution(
        *("whole", "1.0", "Provides-Extra: a", "Provides-Extra: b", "Provides-Extra: all"),
        *("Requires-Dist: base>=1", 'Requires-Dist: base[more]; extra == "a"', 'Requires-Dist: base; extra == "b"'),
    )
    monkeypatch.setattr(examination, "PACKAGE", "whole")
    found = SECTIONS["extras"]()
    assert found == {
        "a": Finding(False, "pip install 'whole[a]' brings absent-part>=2"),
        "b": Finding(True, "installed"),
    }
    assert [requirement.name for requirement in requirements("whole")] == ["base"]
    assert list(unmet(Requirement("base>=2"))) == ["base>=2 instead of 1.5"]
