"""Training on the JAX backend where TensorFlow is not installed: batches made on the device, and the whole command."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from keras_mgnet.training.runs.run import open_run, read_log
from support import ROOT

pytest.importorskip("jax", reason="jax is not installed")

ALONE = "import sys; sys.modules['tensorflow'] = None; "
PYTEST = ALONE + "import pytest; sys.exit(pytest.main(sys.argv[1:]))"
COMMANDS = f"""
{ALONE}
import json
from keras_mgnet.cli import main

for sys.argv[1:] in json.loads(sys.argv[1]):
    try:
        main()
    except SystemExit as stop:
        assert not stop.code
"""
TESTS = ROOT / "tests"
DATA = TESTS / "training" / "data"
PIPELINE = [DATA / "test_pipeline.py", DATA / "test_shares.py", DATA / "test_streaming.py", TESTS / "test_recipes.py"]
RESUME = [TESTS / "training" / "runs" / "test_resume.py"]
TRAIN = [
    *("--set", "nu=[1]", "--set", "channels=4", "--epochs", "2", "--recipe", "modern", "--augment", "crop_flip"),
    *("--dtype", "mixed_bfloat16", "--jit-compile", "on"),
]


def run(program, *arguments):
    result = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=os.environ | {"KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("files, selected", [(PIPELINE, ""), (RESUME, "inside_an_epoch")], ids=["pipeline", "resume"])
def test_the_same_properties_hold_on_jax(files, selected):
    run(PYTEST, "-n0", "-q", "-p", "no:cacheprovider", "-m", "", "-k", selected, *files)


def test_train_and_evaluate_from_arrays(tmp_path):
    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    parts = {"train": slice(0, 300), "test": slice(300, 400)}
    arrays = {f"x_{name}": images[part] for name, part in parts.items()}
    arrays |= {f"y_{name}": digits.target[part] for name, part in parts.items()}
    np.savez(tmp_path / "digits.npz", **arrays)

    train = ["train", f"npz:{tmp_path / 'digits.npz'}", *TRAIN, "--validation", "0.1", "--out", str(tmp_path / "run")]
    evaluated = json.loads(
        run(COMMANDS, json.dumps([train, ["evaluate", str(tmp_path / "run"), "--json"]])).splitlines()[-1]
    )
    result = open_run(tmp_path / "run").record["result"]
    assert (result["status"], result["epochs"]) == ("finished", 2)
    assert len(read_log(tmp_path / "run" / "log.csv")) == 2
    assert evaluated["images"] == 100
    assert evaluated["accuracy"] == pytest.approx(result["last_test_accuracy"])
    assert evaluated["loss"] == pytest.approx(result["last_test_loss"], rel=1e-3)
