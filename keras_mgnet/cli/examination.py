"""Examines the installation: versions, backend, devices, strategies, data sets, extras, the explorer's runtime, serving programs.

The last check trains a small network for one step.
"""

import importlib
import importlib.util
import math
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version
from typing_extensions import TypedDict

from keras_mgnet.cli.requirements import requirements, unmet
from keras_mgnet.errors import one_line
from keras_mgnet.extras import TFDS
from keras_mgnet.files import expanded
from keras_mgnet.schema import read_json
from keras_mgnet.version import installed

PACKAGE = "keras-mgnet"
UNIONS = ("all", "test")  # extras that are not shown: all others together, and the tests of this repository
NAMED = 3  # how many missing packages of an extra are named
TFDS_DEFAULT = "~/tensorflow_datasets"
NO_CLUSTER = "TF_CONFIG names no other machine"
PROGRAMS = {  # name -> arguments that print its version, and where to get it
    "tensorflow_model_server": (["--version"], "tensorflow.org/tfx/serving/setup"),
    "docker": (["version", "--format", "server {{.Server.Version}}"], "docs.docker.com/get-docker"),
}
KERAS_FIXES = {  # release of Keras -> what it has refused in files since then, of what 3.13.0 loads
    "3.13.2": "a SavedModel as a layer, arrays in other files",
    "3.14.1": "links and virtual arrays",
    "3.15.1": "files that unpack to far more than their size, functions that are not for models",
}
ANSWERS_WITHIN = 10  # seconds


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    available: bool  # whether the examined part works on this machine
    detail: str = ""  # version or path of the part, or what is missing


Section = dict[str, Finding]


def examine(fast: bool = False) -> dict[str, Section]:
    """Runs all checks and returns {section: {name: finding}}. A section that fails has one finding, "error", with the reason.

    The last section trains a small network for one step. The machines of TF_CONFIG are not contacted. With `fast`, the sections
    are left out that load a backend.

    Example:
        >>> found = examine()
        >>> list(found)
        ['versions', 'backend', 'devices', 'strategies', 'data sets', 'extras', 'explorer', 'serving', 'training']
        >>> can_train(found)
        True
    """
    return {title: _guarded(look) for title, look in SECTIONS.items() if not (fast and title in LOADING)}


def can_train(found: dict[str, Section]) -> bool:
    """Returns whether the training step of `examine` succeeded, or was left out."""
    return all(finding.available for finding in found.get("training", {}).values())


def _guarded(look: Callable[[], Section]) -> Section:
    try:
        return look()
    except Exception as error:  # a broken part is a finding, whatever it raises
        return {"error": Finding(False, one_line(error))}


def _versions() -> Section:
    own = {PACKAGE: Finding(True, metadata.version(PACKAGE)), "python": Finding(True, platform.python_version())}
    needed = {requirement.name: _needed(requirement) for requirement in requirements(PACKAGE)}
    others = {name: Finding(True, version) for name, version in installed(["jax"]).items()}
    return own | needed | _unsafe_keras() | others


def _unsafe_keras() -> Section:
    """Returns what Keras itself accepts in a malicious file, if it is older than the newest of `KERAS_FIXES`."""
    version = max(map(Version, installed(("keras", "keras-nightly")).values()), default=Version("0"))
    missing = [what for release, what in KERAS_FIXES.items() if version < Version(release)]
    advice = f"accepts {'; '.join(missing)}: load files of others with keras_mgnet.loading.load_model"
    return {"keras.saving.load_model": Finding(False, advice)} if missing else {}


def _needed(requirement: Requirement) -> Finding:
    missing = list(unmet(requirement))
    return Finding(not missing, "missing: " + ", ".join(missing) if missing else metadata.version(requirement.name))


def _extras() -> Section:
    names = metadata.metadata(PACKAGE).get_all("Provides-Extra") or ()
    return {name: _extra(name) for name in names if name not in UNIONS}


def _extra(name: str) -> Finding:
    missing = list(dict.fromkeys(lack for requirement in requirements(PACKAGE, name) for lack in unmet(requirement)))
    if not missing:
        return Finding(True, "installed")
    more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
    return Finding(False, f"pip install '{PACKAGE}[{name}]' brings {', '.join(missing[:NAMED])}{more}")


def _explorer() -> Section:
    from keras_mgnet.explorer import runtime

    name = f"onnxruntime-web {runtime.VERSION}"
    try:
        runtime.installed()
    except ImportError as error:
        return {name: Finding(False, str(error))}
    return {name: Finding(True, "installed")}


def _serving() -> Section:
    return {name: _program(name, *told) for name, told in PROGRAMS.items()}


def _program(name: str, words: list[str], origin: str) -> Finding:
    path = shutil.which(name)
    if path is None:
        return Finding(False, f"not installed; see {origin}")
    asked = subprocess.run([path, *words], capture_output=True, text=True, timeout=ANSWERS_WITHIN)
    said = asked.stderr if asked.returncode else asked.stdout
    return Finding(not asked.returncode, f"{path}: {' '.join(said.splitlines())}")


def _backend_name() -> str:
    from keras_mgnet.training.data.pipeline import backend_name

    return backend_name()


def _backend() -> Section:
    from keras_mgnet.compat import uses_onednn

    chosen = "set by KERAS_BACKEND" if "KERAS_BACKEND" in os.environ else "set by Keras' configuration file or default"
    found = {_backend_name(): Finding(True, chosen)}
    if "tensorflow" in found:
        setting = f"TF_ENABLE_ONEDNN_OPTS={os.environ.get('TF_ENABLE_ONEDNN_OPTS')}"
        found["oneDNN"] = Finding(uses_onednn(), f"for convolutions on the CPU; {setting} when TensorFlow was imported")
    return found


def _devices() -> Section:
    if _backend_name() == "jax":
        import jax

        return {str(device): Finding(True, device.device_kind) for device in jax.devices()}
    import tensorflow as tf

    return {
        device.name.removeprefix("/physical_device:"): Finding(
            True, tf.config.experimental.get_device_details(device).get("device_name", "")
        )
        for device in tf.config.list_physical_devices()  # listing logical devices would claim the GPUs' memory
    }


def _strategies() -> Section:
    from keras_mgnet.training.loop.strategy import STRATEGIES, read_cluster

    devices = list(_devices())
    devices = [name for name in devices if not name.lower().startswith("cpu")] or devices
    workers = len(read_cluster(os.environ.get("TF_CONFIG", "")).addresses)
    found = {
        "one": Finding(True, devices[0]),
        "mirrored": Finding(True, ", ".join(devices)),
        "multiworker": Finding(workers > 1, f"{workers} machines of TF_CONFIG" if workers > 1 else NO_CLUSTER),
    }
    choice = "multiworker" if workers > 1 else "mirrored" if len(devices) > 1 else "one"
    return {name: found.get(name) or Finding(True, f"here: {choice}") for name in STRATEGIES}


def _data_sets() -> Section:
    root = expanded(os.environ.get("TFDS_DATA_DIR") or TFDS_DEFAULT)
    prepared = {  # name/version or name/configuration/version
        f"{file.parent.parent.relative_to(root).as_posix()}:{file.parent.name}": _tfds_set(file)
        for pattern in ("*/*", "*/*/*")
        for file in sorted(root.glob(f"{pattern}/features.json"))
    }
    nothing = {"TFDS": Finding(False, f"no prepared data set in {root}; TFDS_DATA_DIR sets another folder")}
    return {"digits": Finding(True, "of scikit-learn")} | (prepared or nothing)


class Parts(TypedDict):
    """The features by name."""

    features: dict[str, dict[str, Any]]


class Features(TypedDict):
    """The content of a features.json of TFDS, as far as it is needed here."""

    featuresDict: Parts


def _tfds_set(file: Path) -> Finding:
    if importlib.util.find_spec("tensorflow_datasets") is None:
        return Finding(False, f"pip install '{TFDS}' to read {file.parent}")
    try:
        content = read_json(file, Features, "the features.json of a set that TFDS has prepared")
    except ValueError as error:
        return Finding(False, str(error))
    features = content["featuresDict"]["features"]
    if "image" not in features or "classLabel" not in features.get("label", {}):
        return Finding(False, f"expected images with classes as labels. Received: {file.parent}")
    return Finding(True, str(file.parent))


def _training() -> Section:
    importlib.import_module("keras_mgnet.training.loop.loop")  # all that `train` imports
    from keras_mgnet import MgNet
    from keras_mgnet.training.data.dataset import load

    _backend_name()
    digits = load("digits").train
    model = MgNet((1,), 4, input_shape=(8, 8, 1))
    loss, *_ = model.train_on_batch(digits.images[:32].astype("float32") / 255, digits.labels[:32])
    if not math.isfinite(loss):
        raise ValueError(f"expected a finite loss of a small network. Received: {loss}")
    return {"a small network": Finding(True, f"one step on 32 digits, loss {loss:.2f}")}


SECTIONS = {
    "versions": _versions,
    "backend": _backend,
    "devices": _devices,
    "strategies": _strategies,
    "data sets": _data_sets,
    "extras": _extras,
    "explorer": _explorer,
    "serving": _serving,
    "training": _training,
}
LOADING = ("backend", "devices", "strategies", "training")
