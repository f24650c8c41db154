"""Loads untrusted `.keras` files. Refuses files that could run code, read other files, or unpack to more than their size."""

import json
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import keras

from keras_mgnet import former
from keras_mgnet.hdf5 import plain_arrays
from keras_mgnet.models.network import Network

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MEMBERS = sorted((CONFIG, WEIGHTS, "metadata.json"))
PROGRAMS = ("Lambda", "TFSMLayer", "TorchModuleWrapper")  # layers that run code from a file
MODELING = ("activations", "constraints", "initializers", "losses", "metrics", "ops", "regularizers")
MODULES = ("builtins", *(f"keras.{name}" for name in MODELING))  # what a function in a configuration may come from
MESSAGE = 300  # longest part of another library's error that is shown, in characters


def load_model(path: str | Path) -> Network:
    """Loads a network of this package from a .keras file.

    Keras refuses classes that are not registered. Before that, this function checks that the archive is as Keras writes it, and
    that its weights are plain arrays (`hdf5.plain_arrays`). The configuration must not name another file, a layer that runs a
    program, or a function that is neither registered nor meant for models.

    Raises:
        ValueError: if the file is damaged, fails a check or holds no network of this package. The message is one line.
        OSError: if the file cannot be read.

    Example:
        >>> import tempfile
        >>> from keras_mgnet import MgNet
        >>> with tempfile.TemporaryDirectory() as out:
        ...     MgNet((1,), 4, input_shape=(8, 8, 1)).save(f"{out}/model.keras")
        ...     load_model(f"{out}/model.keras").name
        'mgnet'
    """
    return load_checked(path, "a .keras file of keras_mgnet", _is_network)


def load_checked(path: str | Path, expected: str, allowed: Callable[[str], bool]) -> keras.Model:
    """Loads any model with the checks of `load_model`.

    Args:
        path: path of the file.
        expected: what the file should be, such as "a .keras file of keras_mgnet", for the error message.
        allowed: takes the registered name of the model's class, and returns whether this class is allowed.

    Raises:
        ValueError: if the file is damaged, or fails a check. The message is one line.
        OSError: if the file cannot be read.
    """
    path = Path(path)
    path.open("rb").close()
    try:
        _check_archive(path, allowed)
        with former.readable(path) as file:
            return keras.saving.load_model(file, safe_mode=True)
    except Exception as error:  # damage and attacks end in many different errors of Keras, some of several lines
        raise ValueError(f"expected {expected}. Received: '{path}' ({_reason(error)})") from error


def _is_network(name: str) -> bool:
    cls = keras.saving.get_registered_object(name)
    return isinstance(cls, type) and issubclass(cls, Network)


def _reason(error: Exception) -> str:
    cause = str(error).rpartition("Exception encountered: ")[-1] or type(error).__name__
    return textwrap.shorten(cause, MESSAGE, placeholder=" ...")


def _check_archive(path: Path, allowed: Callable[[str], bool]) -> None:
    with ZipFile(path) as archive:
        received = sorted(archive.namelist())
        if received != MEMBERS:
            raise ValueError(f"expected the members {', '.join(MEMBERS)}. Received: {', '.join(received[:5])}")
        for member in archive.infolist():
            if member.compress_type != ZIP_STORED or member.file_size != member.compress_size:
                raise ValueError(
                    f"expected members that are not compressed, as Keras writes them. Received: {member.filename}, "
                    f"{member.file_size} bytes from {member.compress_size}"
                )
        _check_config(json.loads(archive.read(CONFIG)), allowed)
        with archive.open(WEIGHTS) as weights:
            plain_arrays(weights)


def _check_config(config: Any, allowed: Callable[[str], bool]) -> None:
    name = config.get("registered_name") if isinstance(config, dict) else None
    if not (isinstance(name, str) and allowed(name)):
        raise ValueError(f"expected another kind of model. Received: {name!r}")
    for part in _dictionaries(config):
        # A saved network has its own weights. The argument `weights` would read a file that the writer chose.
        if part.get("weights") is not None:
            raise ValueError(f"expected a configuration that names no other file. Received: {part['weights']!r}")
        kind, function = part.get("class_name"), f"{part.get('module')}.{part.get('config')}"
        if kind in PROGRAMS:
            raise ValueError(f"expected layers that run no program. Received: {kind}")
        if kind == "function" and not (part.get("module") in MODULES or _is_registered(part.get("config"))):
            raise ValueError(f"expected a registered function, or a modeling function of Keras. Received: {function}")


def _is_registered(name: Any) -> bool:
    return isinstance(name, str) and keras.saving.get_registered_object(name) is not None


def _dictionaries(tree: Any) -> Iterator[dict[str, Any]]:
    waiting = [tree]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
        if isinstance(part, (dict, list)):
            waiting.extend(part.values() if isinstance(part, dict) else part)
