"""Files made to run code, to reach other files or to exhaust memory are refused by every command that loads them."""

import hashlib
import io
import json
import os
import pickle
import shutil
import struct
import sys
import warnings
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from PIL import Image

from keras_mgnet import MgNet, load_torch_weights
from keras_mgnet.cli import main
from keras_mgnet.loading import load_model
from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.loop.loop import train
from keras_mgnet.training.runs.checkpoint import ARRAYS, MANIFEST, Checkpoints, DamagedCheckpointError
from keras_mgnet.training.runs.run import model_config
from support import catalogue

CANARY = Path("canary")  # what a payload creates, below the working directory


class Payload:
    """Pickled, an order to create the canary."""

    def __reduce__(self):
        return os.mkdir, (str(CANARY),)


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


# attacks on the archive and its configuration: (members of a .keras file) -> nothing, in place


def lambda_layer(members):
    """A whole model of another kind, with marshalled code in it."""
    x = keras.Input((8, 8, 1))
    evil = keras.layers.Lambda(lambda x: (__import__("os").mkdir("canary"), x)[1], output_shape=(8, 8, 1))
    members.update(_members(keras.Model(x, keras.layers.Dense(10)(keras.layers.Flatten()(evil(x))))))


def lambda_under_a_network(members):
    evil = keras.layers.Lambda(
        lambda x: (__import__("os").path.exists("canary") or __import__("os").mkdir("canary"), x)[1]
    )
    members.update(_members(MgNet((1,), 2, input_tensor=evil(keras.Input((8, 8, 1))))))
    shutil.rmtree(CANARY)  # to build the model ran the payload


def configured(**changes):
    """Returns the attack that changes constructor arguments of the network."""

    def attack(members):
        config = json.loads(members["config.json"])
        config["config"].update(changes)
        members["config.json"] = json.dumps(config)

    return attack


def renamed(**changes):
    """Returns the attack that names another class."""

    def attack(members):
        members["config.json"] = json.dumps({**json.loads(members["config.json"]), **changes})

    return attack


def function(module, name):
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def compiled_with_a_download(members):
    config = json.loads(members["config.json"])
    config["compile_config"]["loss"] = function("keras.utils", "get_file")
    members["config.json"] = json.dumps(config)


def savedmodel_layer(members):
    config = json.loads(
        _members(MgNet((1,), 2, input_tensor=keras.layers.ReLU()(keras.Input((8, 8, 1)))))["config.json"]
    )
    layer = config["config"]["input_tensor"]["config"]["layers"][1]
    layer.update(class_name="TFSMLayer", config={"name": layer["name"], "filepath": "elsewhere"})
    members["config.json"] = json.dumps(config)


def member(name, content="x", mode=0o600):
    """Returns the attack that adds a member to the archive."""

    def attack(members):
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        members[info] = content

    return attack


def bomb(members):
    info = zipfile.ZipInfo("config.json")
    info.compress_type = zipfile.ZIP_DEFLATED
    members[info] = members.pop("config.json") + b" " * 20_000_000


def nested(members):
    members["config.json"] = '{"a":' * 100_000 + "1" + "}" * 100_000


def pickled_weights(members):
    del members["model.weights.h5"]
    stream = io.BytesIO()
    np.savez(stream, evil=np.array([Payload()], dtype=object))
    members["model.weights.npz"] = stream.getvalue()


def pickle_for_weights(members):
    members["model.weights.h5"] = pickle.dumps(Payload())


ARCHIVES = {
    "a Lambda": (lambda_layer, "expected another kind of model"),
    "a Lambda under a network": (lambda_under_a_network, "Lambda"),
    "an unregistered class": (renamed(registered_name="evil>Evil", module="evil", class_name="Evil"), "evil>Evil"),
    "a class of another module": (renamed(registered_name=None, module="evil", class_name="Evil"), "Received: None"),
    "a class of Keras that is no network": (renamed(registered_name="keras_mgnet>GridLevel"), "keras_mgnet>GridLevel"),
    "a function of another module": (configured(activation=function("evil", "Evil")), "Could not locate function"),
    "a function of os": (configured(activation=function("os", "mkdir")), "Could not locate function 'mkdir'"),
    "a download for an activation": (configured(activation=function("keras.utils", "get_file")), "not a modeling"),
    "a download for a loss": (compiled_with_a_download, "not a modeling function"),
    "a layer that loads a SavedModel": (savedmodel_layer, "TFSMLayer"),
    "weights of another file": (configured(weights="other.weights.h5"), "that names no other file"),
    "a deep configuration": (nested, "recursion"),
    "a configuration that is none": (
        lambda members: members.update({"config.json": "[]"}),
        "another kind of model. Received: None",
    ),
    "traversal": (member("../canary"), "Received: ../canary"),
    "an absolute member": (member("/canary"), "Received: /canary"),
    "a symbolic link": (member("assets", "/etc/passwd", 0o120777), "Received: assets"),
    "a member twice": (member("config.json"), "config.json, config.json"),
    "a zip bomb": (bomb, "not compressed"),
    "pickled weights": (pickled_weights, "model.weights.npz"),
    "a pickle for weights": (pickle_for_weights, "file signature not found"),
}


# attacks on HDF5: (an open file of weights, the name of an array in it) -> nothing, in place


def soft_link(file, name):
    file["moved"] = file[name]
    del file[name]
    file[name] = h5py.SoftLink("/moved")


def external_link(file, name):
    del file[name]
    file[name] = h5py.ExternalLink("other.h5", "secret")


def group_elsewhere(file, name):
    del file["layers"]
    file["layers"] = h5py.ExternalLink("other.h5", "/")


def external_array(file, name):
    shape = file[name].shape
    del file[name]
    file.create_dataset(name, shape, "float32", external=[("secret.bin", 0, h5py.h5f.UNLIMITED)])


def virtual_array(file, name):
    layout = h5py.VirtualLayout(file[name].shape, "float32")
    layout[:] = h5py.VirtualSource("other.h5", "secret", shape=layout.shape)
    del file[name]
    file.create_virtual_dataset(name, layout)


def compressed(file, name):
    del file[name]
    file.create_dataset(name, (4000, 4000), "float32", compression="gzip")


def declared_only(file, name):
    del file[name]
    file.create_dataset(name, (10**6, 10**6), "float32")


def objects(file, name):
    del file[name]
    file.create_dataset(name, data=["x"], dtype=h5py.string_dtype())


HDF5 = {
    "a soft link": (soft_link, "the SoftLink"),
    "an external link": (external_link, "the ExternalLink"),
    "a group in another file": (group_elsewhere, "the ExternalLink 'layers'"),
    "an array in another file": (external_array, "an array in another file"),
    "a virtual array": (virtual_array, "a virtual array"),
    "a compressed array": (compressed, "64000000 bytes in memory from"),
    "a shape without content": (declared_only, "4000000000000 bytes in memory from 0 in the file"),
    "objects": (objects, "of the type object"),
}


def _members(model):
    model.save("source.keras")
    with zipfile.ZipFile("source.keras") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _spoil_archive(path, attack):
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    attack(members)
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")  # of a member twice
        for name, content in members.items():
            archive.writestr(name, content)


def _spoil_weights(attack):
    def spoil(members):
        stream = io.BytesIO(members["model.weights.h5"])
        _spoil_hdf5(stream, attack)
        members["model.weights.h5"] = stream.getvalue()

    return spoil


def _spoil_hdf5(file, attack):
    names = []
    with h5py.File(file, "r+") as opened:
        opened.visititems(lambda name, entry: names.append(name) if isinstance(entry, h5py.Dataset) else None)
        attack(opened, next(name for name in names if name.startswith("layers") and opened[name].size > 4))


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
EVERY_KERAS_FILE = {**ARCHIVES, **{name: (_spoil_weights(attack), text) for name, (attack, text) in HDF5.items()}}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("case", EVERY_KERAS_FILE)
def test_a_spoiled_keras_file(case, command, run, refusal):
    attack, message = EVERY_KERAS_FILE[case]
    _spoil_archive(run / "last.keras", attack)
    assert message in refusal(*COMMANDS[command])
    assert not Path("exported").exists()


@pytest.mark.slow  # TensorFlow waits for memory
def test_a_network_beyond_memory(run, refusal):
    _spoil_archive(run / "last.keras", configured(channels=10**7))
    assert "OOM" in refusal(*COMMANDS["evaluate"])


def test_the_payload_of_the_lambda_is_live(run):
    _spoil_archive(run / "last.keras", lambda_layer)
    keras.saving.load_model(run / "last.keras", safe_mode=False)(np.zeros((1, 8, 8, 1)))
    assert CANARY.exists()


def test_commands_that_need_no_network_load_none(run, capsys, monkeypatch):
    _spoil_archive(run / "last.keras", pickle_for_weights)
    monkeypatch.setattr(sys, "argv", ["keras-mgnet", "compare", "run"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert not CANARY.exists()


@pytest.mark.parametrize("case", HDF5)
def test_a_spoiled_weights_file(case, run):
    attack, message = HDF5[case]
    catalogue.build("mgnet").save_weights("m.weights.h5")
    _spoil_hdf5("m.weights.h5", attack)
    with pytest.raises(ValueError, match=r"expected a weights file of plain arrays\. Received: ") as error:
        catalogue.build("mgnet", weights="m.weights.h5")
    assert message in str(error.value)


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


# what is whole is loaded


@pytest.mark.parametrize("name", catalogue.ONE_PER_FAMILY)
def test_every_family_is_loaded(name, tmp_path, images):
    model = catalogue.build(name)
    model.save(tmp_path / "m.keras")
    x = images(model)
    np.testing.assert_array_equal(load_model(tmp_path / "m.keras")(x), model(x))


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "bfloat16", "float64"])
def test_every_precision_is_loaded(dtype, tmp_path):
    model = catalogue.build("mgnet", dtype=dtype)
    model.save(tmp_path / "m.keras")
    assert model_config(load_model(tmp_path / "m.keras")) == model_config(model)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        load_model(tmp_path / "nowhere.keras")


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
