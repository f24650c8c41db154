"""Files made to run code, to reach other files or to exhaust memory are refused by every command that loads them."""

import hashlib
import io
import json
import pickle
import shutil
import struct
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from PIL import Image

from keras_mgnet import (
    FractalNet,
    MgNet,
    MultiResNet,
    ReactionDiffusion,
    RecurrentResNet,
    ResNet,
    VeryDeepPolyNet,
    create_model,
    hdf5,
    load_torch_weights,
)
from keras_mgnet.cli import main
from keras_mgnet.hdf5 import plain_arrays
from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.loop.loop import train
from keras_mgnet.training.runs.checkpoint import ARRAYS, MANIFEST, Checkpoints, DamagedCheckpointError
from support import catalogue
from support.attacks import (
    ARCHIVES,
    CANARY,
    HDF5,
    Payload,
    configured,
    doubled_groups,
    lambda_layer,
    pickle_for_weights,
    spoil_archive,
    spoil_hdf5,
    spoil_weights,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("malicious") / "run"
    return train(TrainConfig("digits", set={"nu": [1], "channels": 2}, epochs=1, out=str(out))).path


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """A copy of a run whose files a test may spoil, beside an image; the working directory is where canaries appear."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "evil.py").write_text(f"import os\nos.mkdir({str(CANARY)!r})\nclass Evil: pass\n")
    Image.fromarray(np.zeros((8, 8), "uint8")).save("zero.png")
    yield shutil.copytree(trained, tmp_path / "run")
    sys.modules.pop("evil", None)


@pytest.fixture
def refusal(refused):
    """Returns a function that runs a command which must refuse what it received, and run none of it."""

    def run(*words):
        error = refused(*words)
        assert error.startswith("error: expected ") and "Received: " in error
        assert not CANARY.exists()
        return error

    return run


COMMANDS = {
    "evaluate": ("evaluate", "run"),
    "predict": ("predict", "run", "zero.png"),
    "export": ("export", "run", "--out", "exported"),
    "analyze": ("analyze", "run", "--what", "moments", "--out", "exported"),
}
EVERY_KERAS_FILE = {**ARCHIVES, **{name: (spoil_weights(attack), text) for name, (attack, text) in HDF5.items()}}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("case", EVERY_KERAS_FILE)
def test_a_spoiled_keras_file(case, command, run, refusal):
    attack, message = EVERY_KERAS_FILE[case]
    spoil_archive(run / "last.keras", attack)
    assert message in refusal(*COMMANDS[command])
    assert not Path("exported").exists()


@pytest.mark.slow  # TensorFlow waits for memory
def test_a_network_beyond_memory(run, refusal):
    spoil_archive(run / "last.keras", configured(channels=10**7))
    assert "OOM" in refusal(*COMMANDS["evaluate"])


RECORDS = {
    "describe": ("describe", "run"),
    "compare": ("compare", "run", "--out", "exported"),
    "train": ("train", "digits", "--out", "run", "--resume"),
    "explore": ("explore", "run", "--out", "exported", "--no-serve"),
}


@pytest.mark.parametrize("command", COMMANDS | RECORDS)
def test_a_run_json_of_another_form(command, run, refusal):
    record = json.loads((run / "run.json").read_text())
    record["result"]["epochs"] = None
    (run / "run.json").write_text(json.dumps(record))
    error = refusal(*(COMMANDS | RECORDS)[command])
    assert "Received: 'run/run.json' (result.epochs: Input should be a valid integer)" in error
    assert not Path("exported").exists()


def test_the_payload_of_the_lambda_is_live(run):
    spoil_archive(run / "last.keras", lambda_layer)
    keras.saving.load_model(run / "last.keras", safe_mode=False)(np.zeros((1, 8, 8, 1)))
    assert CANARY.exists()


def test_commands_that_need_no_network_load_none(run, capsys, monkeypatch):
    spoil_archive(run / "last.keras", pickle_for_weights)
    monkeypatch.setattr(sys, "argv", ["keras-mgnet", "compare", "run"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert not CANARY.exists()


@pytest.mark.parametrize("case", HDF5)
def test_a_spoiled_weights_file(case, run):
    attack, message = HDF5[case]
    catalogue.build("mgnet").save_weights("m.weights.h5")
    spoil_hdf5("m.weights.h5", attack)
    with pytest.raises(ValueError, match=r"expected a weights file of plain arrays\. Received: ") as error:
        catalogue.build("mgnet", weights="m.weights.h5")
    assert message in str(error.value)


def test_a_weights_file_of_more_groups_than_any_network_has(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "MOST_ENTRIES", 1000)
    with h5py.File(tmp_path / "m.weights.h5", "w") as file:
        doubled_groups(file, None)
    for load in (plain_arrays, catalogue.build("mgnet").load_weights):
        with pytest.raises(ValueError, match="more than 1,000 groups and arrays"):
            load(tmp_path / "m.weights.h5")


@pytest.mark.parametrize(
    ("family", "arguments", "received"),
    [
        (MgNet, {"nu": (1, 10**9)}, r"nu <= 2000 in all. Received: nu=\(1, 1000000000\)"),
        (ResNet, {"depth": 6 * 10**9 + 2}, "depth <= 10000. Received: depth=6000000002"),
        (ResNet, {"blocks": [1] * 10**5}, r"blocks <= 2000 in all. Received: blocks=\[1, 1, 1, 1, 1, 1, \.\.\.\]"),
        (FractalNet, {"columns": 60}, "columns <= 12. Received: columns=60"),
        (FractalNet, {"channels": [1] * 10**5, "input_shape": (None, None, 3)}, "at most 16 grids. Received: 100001"),
        (RecurrentResNet, {"steps": 10**9}, "uses <= 2000. Received: uses=1000000000"),
        (VeryDeepPolyNet, {"modules": 10**9}, "modules <= 2000. Received: modules=1000000000"),
        (ReactionDiffusion, {"stages": 10**9}, "stages <= 2000. Received: stages=1000000000"),
        (MultiResNet, {"branches": 10**9}, "branches <= 2000. Received: branches=1000000000"),
    ],
)
def test_iterations_without_end(family, arguments, received):
    with pytest.raises(ValueError, match=f"^expected {received}$"):
        family(**arguments)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet1202_stochastic_depth", "densenet_bc_190_40", "multi_resnet398_k5"])
def test_the_limits_are_far_above_the_largest_networks(name, tmp_path):
    model = create_model(name)
    model.optimizer.build(model.trainable_variables)
    model.save_weights(tmp_path / "m.weights.h5")
    with h5py.File(tmp_path / "m.weights.h5") as file:
        names = [name for name, _ in hdf5.entries(file)]
    assert 4 * len(names) < hdf5.MOST_ENTRIES and 4 * max(name.count("/") for name in names) < hdf5.MOST_DEPTH


# weights of PyTorch


def pickled_npz():
    np.savez("w.npz", evil=np.array([Payload()], dtype=object))
    return "w.npz"


def pickle_as_npz():
    with Path("w.npz").open("wb") as file:
        pickle.dump(Payload(), file)
    return "w.npz"


def npy_as_npz():
    with Path("w.npz").open("wb") as file:
        np.save(file, np.array([Payload()], dtype=object), allow_pickle=True)
    return "w.npz"


def npz_bomb():
    with zipfile.ZipFile("w.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        stream = io.BytesIO()
        np.save(stream, np.zeros(5_000_000, "float32"))
        archive.writestr("w.npy", stream.getvalue())
    return "w.npz"


def npz_of_a_lying_shape():
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": (10**13,)})
    with zipfile.ZipFile("w.npz", "w") as archive:
        archive.writestr("w.npy", stream.getvalue())
    return "w.npz"


def safetensors(header, content=b"\0" * 16, length=None):
    """Returns the attack that writes a .safetensors file with this header."""

    def attack():
        encoded = json.dumps(header).encode()
        with Path("w.safetensors").open("wb") as file:
            file.write(struct.pack("<Q", len(encoded) if length is None else length) + encoded + content)
        return "w.safetensors"

    return attack


def entry(shape, *offsets):
    return {"w": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}


TORCH = {
    "objects in .npz": pickled_npz,
    "a pickle called .npz": pickle_as_npz,
    "pickled .npy called .npz": npy_as_npz,
    "a .npz bomb": npz_bomb,
    "a .npz of a lying shape": npz_of_a_lying_shape,
    "offsets beyond the file": safetensors(entry([10**9], 0, 4 * 10**9)),
    "a shape beyond its offsets": safetensors(entry([10**9], 0, 16)),
    "a shape that overflows": safetensors(entry([2**62, 2**62], 0, 16)),
    "a header beyond the file": safetensors({}, length=2**62),
    "arrays that overlap": safetensors(entry([4], 0, 16) | {"v": entry([4], 0, 16)["w"]}),
}


@pytest.mark.parametrize("case", TORCH)
def test_spoiled_weights_of_pytorch(case, run):
    path = TORCH[case]()
    with pytest.raises(ValueError, match=r"expected a readable \.\w+ file of arrays\. Received: "):
        load_torch_weights(MgNet((1,), 2, input_shape=(8, 8, 1)), path)
    assert not CANARY.exists()


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_called_pth(legacy, run):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    torch.save({"w": Payload()}, "w.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match=r"expected a readable \.pth file"):
        load_torch_weights(MgNet((1,), 2, input_shape=(8, 8, 1)), "w.pth")
    assert not CANARY.exists()


def test_npy_is_no_format_of_weights(run):
    np.save("w.npy", np.array([Payload()], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"unknown weights format '\.npy'"):
        load_torch_weights(MgNet((1,), 2, input_shape=(8, 8, 1)), "w.npy")
    assert not CANARY.exists()


def test_a_pickle_in_a_checkpoint(run):
    """Its manifest fits it: who can write one file can write the other."""
    folder = next((run / "checkpoints").iterdir())
    payload = pickle.dumps(Payload())
    (folder / ARRAYS).write_bytes(payload)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][ARRAYS] = {"bytes": len(payload), "sha256": hashlib.sha256(payload).hexdigest()}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(DamagedCheckpointError, match=r"expected an intact checkpoint\. Received: "):
        Checkpoints(folder.parent, manifest["run"]).read(folder.name)
    assert not CANARY.exists()
