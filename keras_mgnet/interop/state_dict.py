"""Loads and saves weights of PyTorch: state dicts of the authors' code, and of kuangliu's ResNets."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_mgnet.errors import check_known, existing_file
from keras_mgnet.extras import TRAIN, extra
from keras_mgnet.interop.names import UNUSED, entries
from keras_mgnet.layers.operators.grid_norm import normalizers
from keras_mgnet.loading import load_model
from keras_mgnet.models.network import Network
from keras_mgnet.models.weights import load_arrays, load_file
from keras_mgnet.npz import read_npz


def load_torch_weights(model: keras.Model, state_dict_or_path: Mapping[str, Any] | str | Path) -> None:
    """Loads the weights of a PyTorch state dict into a model.

    Args:
        model: an MgNet, ResNet, PreActResNet or LMResNet with its classifier, or an MgNO. PyTorch's code of MgNO keeps the
            statistics of inputs, and those of a "scalar" normaliser, outside of its network: they stay as they are.
        state_dict_or_path: a mapping of names to arrays, or the path of a .npz, .safetensors, .pth or .pt file. The last two need
            torch, which reads them with `weights_only`. The names are those of XuTeam/MgNet_Code, 2prime/LM-ResNet,
            kuangliu/pytorch-cifar or xlliu2017/MgNO. The ks of 2prime/LM-ResNet are 1 - k. Unused entries are skipped. The
            prefixes "w/" and "module." are dropped. If `model` shares a tensor, all names of this tensor must hold equal values.

    Raises:
        ValueError: if a key is missing or unexpected, or if its array has another shape or differs from another array of the same
            shared tensor. The message names the key. The model is then unchanged.

    Example:
        >>> from keras_mgnet import MgNet
        >>> model = MgNet((1,), 4, input_shape=(8, 8, 1), classes=2)
        >>> load_torch_weights(model, {"conv1.weight": np.zeros((4, 1, 3, 3))})
        Traceback (most recent call last):
            ...
        ValueError: expected the key 'bn1.weight' in the state dict; it is missing. Received: 1 keys
    """
    state = _strip_prefixes(_read(state_dict_or_path))
    values: dict[int, tuple[keras.Variable, np.ndarray, str]] = {}
    expected = set()
    for key, shape, variable, to_ours, _ in entries(model):
        expected.add(key)
        value = to_ours(_take(state, key, shape))
        _, first, first_key = values.setdefault(id(variable), (variable, value, key))
        if not np.array_equal(first, value):
            raise ValueError(
                f"expected '{key}' to equal '{first_key}', because they are one tensor in this model. "
                f"Received: a largest difference of {np.abs(first - value).max():.3g}"
            )
    unused = re.compile("|".join(pattern for kind, pattern in UNUSED.items() if isinstance(model, kind)))
    surplus = [key for key in state if key not in expected and not unused.fullmatch(key)]
    if surplus:
        raise ValueError(f"expected no key beyond those of {model.name}. Received: {_some(surplus)}")
    _check_whole(model, values)
    for variable, value, _ in values.values():
        variable.assign(value)


def save_torch_weights(model: keras.Model, path: str | Path) -> Path:
    """Writes the weights of a model as a PyTorch state dict. This is the inverse of `load_torch_weights`.

    Args:
        model: an MgNet, ResNet, PreActResNet or LMResNet with its classifier, or an MgNO.
        path: path of the .safetensors file. In PyTorch, `module.load_state_dict(safetensors.torch.load_file(path), strict=False)`
            loads it. The file has no entries that the module registers and never uses, so `strict` must be False. A shared tensor
            has one entry for each of its names. The ks of 2prime/LM-ResNet are in float64, so that k = 1 - ks is exact.

    Returns:
        the path.

    Raises:
        ValueError: if the model has variables that PyTorch's code has not, or if the path does not end in .safetensors.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from keras_mgnet import MgNet
        >>> model = MgNet((1,), 4, input_shape=(8, 8, 1), classes=2)
        >>> with TemporaryDirectory() as folder:
        ...     load_torch_weights(model, save_torch_weights(model, f"{folder}/mgnet.safetensors"))
    """
    from keras_mgnet.files import staged_file

    found = [*entries(model)]
    _check_whole(model, {id(entry.variable) for entry in found})
    state = {entry.key: np.ascontiguousarray(entry.to_torch(entry.variable.numpy())) for entry in found}
    with staged_file(path, ".safetensors") as staged:
        extra("safetensors.numpy", TRAIN).save_file(state, staged)
    return Path(path)


def load_weights(model: Network, path: str | Path, other_classes: bool = False) -> None:
    """Loads weights into a model from a .weights.h5 file, a .keras file, or a file for `load_torch_weights`.

    Args:
        model: the network.
        path: path of the file.
        other_classes: whether a Keras file may be for another number of classes. For such a file, the classifier of `model`
            keeps its weights, and a warning says so.

    Raises:
        ValueError, OSError: if the file cannot be read, or holds the weights of another model.
    """
    path = existing_file(path)
    if path.name.endswith(".weights.h5"):
        load_file(model, path, other_classes)
    elif path.suffix == ".keras":
        _load_keras(model, path, other_classes)
    else:
        load_torch_weights(model, path)


def _load_keras(model: Network, path: Path, other_classes: bool) -> None:
    load_arrays(model, load_model(path).get_weights(), path, other_classes)


def _check_whole(model: keras.Model, known: Iterable[int]) -> None:
    kept = {
        id(variable) for layer in normalizers(model) for variable in layer.weights
    }  # PyTorch's code has them elsewhere
    if alien := [variable.path for variable in model.weights if id(variable) not in {*known, *kept}]:
        raise ValueError(f"expected a model whose variables all exist in PyTorch's code. Received: {_some(alien)}")


def _take(state: Mapping[str, Any], key: str, shape: tuple[int, ...]) -> np.ndarray:
    if key not in state:
        raise ValueError(f"expected the key '{key}' in the state dict; it is missing. Received: {len(state)} keys")
    value = np.asarray(state[key])
    if value.shape != shape:
        raise ValueError(f"expected '{key}' to have the shape {shape}. Received: {value.shape}")
    if value.dtype.name == "bfloat16":
        value = value.astype("float32")
    if value.dtype.kind not in "fiu":
        raise ValueError(f"expected real numbers in '{key}'. Received: {value.dtype}")
    if not np.isfinite(value).all():
        raise ValueError(f"expected finite numbers in '{key}'. Received: {value[~np.isfinite(value)][0]}")
    if key.endswith("running_var") and value.min() < 0:
        raise ValueError(f"expected variances >= 0 in '{key}'. Received: {value.min():g}")
    return value


def _read(source: Any) -> Mapping[str, Any]:
    if isinstance(source, Mapping):
        return source
    if not isinstance(source, (str, Path)):
        raise ValueError(f"expected a state dict or the path of a file with weights. Received: {source!r}")
    path = Path(source)
    readers = {".npz": read_npz, ".safetensors": _read_safetensors, ".pth": _read_torch, ".pt": _read_torch}
    check_known("weights format", path.suffix, readers)
    existing_file(path)
    try:
        return readers[path.suffix](path)
    except ImportError:
        raise
    except Exception as error:  # each format has its own errors for damaged bytes
        raise ValueError(f"expected a readable {path.suffix} file of arrays. Received: '{path}' ({error})") from error


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    return extra("safetensors.numpy", TRAIN).load_file(path)


def _read_torch(path: Path) -> Mapping[str, Any]:
    state = extra("torch", "torch").load(path, map_location="cpu", weights_only=True)
    for wrapper in ("net", "state_dict"):
        state = state.get(wrapper, state)
    return {key: value.numpy() for key, value in state.items()}


def _strip_prefixes(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    if strange := [key for key in state if not isinstance(key, str)]:
        raise ValueError(f"expected names as the keys of a state dict. Received: {strange[0]!r}")
    marked = {key.removeprefix("w/"): value for key, value in state.items() if key.startswith("w/")}
    return {key.removeprefix("module."): value for key, value in (marked or state).items()}


def _some(keys: Iterable[str]) -> str:
    keys = sorted(keys)
    return ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")
