"""Files that try to run code, to read other files or to exhaust memory when they are loaded."""

import io
import json
import os
import pickle
import shutil
import warnings
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np

from keras_mgnet import MgNet

CANARY = Path("canary")  # what a payload creates, below the working directory


class Payload:
    """An object whose pickle creates the folder `CANARY` when it is loaded."""

    def __reduce__(self):
        return os.mkdir, (str(CANARY),)


# attacks on the archive and its configuration: (members of a .keras file) -> nothing, in place


def lambda_layer(members):
    """Replaces the archive by a model of stock Keras with marshalled code in a Lambda layer."""
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
    """Returns an attack that changes constructor arguments of the network."""

    def attack(members):
        config = json.loads(members["config.json"])
        config["config"].update(changes)
        members["config.json"] = json.dumps(config)

    return attack


def renamed(**changes):
    """Returns an attack that changes the class of the model in config.json."""

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
    """Returns an attack that adds a member to the archive."""

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
    "a function of another module": (configured(activation=function("evil", "Evil")), "Received: evil.Evil"),
    "a function of os": (configured(activation=function("os", "mkdir")), "Received: os.mkdir"),
    "a download for an activation": (
        configured(activation=function("keras.utils", "get_file")),
        "keras.utils.get_file",
    ),
    "a download for a loss": (compiled_with_a_download, "Received: keras.utils.get_file"),
    "a layer that loads a SavedModel": (savedmodel_layer, "TFSMLayer"),
    "weights of another file": (configured(weights="other.weights.h5"), "that names no other file"),
    "a deep configuration": (nested, "recursion"),
    "iterations without end": (configured(nu=[10**9]), "expected nu <= 2000 in all. Received: nu=[1000000000]"),
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


def nested_groups(file, name):
    group = file
    for _ in range(1000):
        group = group.create_group("g")


def cyclic_groups(file, name):
    file["layers"]["again"] = file["layers"]


def doubled_groups(file, name):
    """Forty groups with two names each: a trillion paths."""
    group = file
    for _ in range(40):
        inner = group.create_group("a")
        group["b"] = group = inner


HDF5 = {
    "groups inside each other": (nested_groups, "more than 64 groups inside each other"),
    "a group inside itself": (cyclic_groups, "more than 64 groups inside each other"),
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


def spoil_archive(path, attack):
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    attack(members)
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")  # of a member twice
        for name, content in members.items():
            archive.writestr(name, content)


def spoil_weights(attack):
    def spoil(members):
        stream = io.BytesIO(members["model.weights.h5"])
        spoil_hdf5(stream, attack)
        members["model.weights.h5"] = stream.getvalue()

    return spoil


def spoil_hdf5(file, attack):
    names = []
    with h5py.File(file, "r+") as opened:
        opened.visititems(lambda name, entry: names.append(name) if isinstance(entry, h5py.Dataset) else None)
        attack(opened, next(name for name in names if name.startswith("layers") and opened[name].size > 4))
