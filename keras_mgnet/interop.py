"""Loads weights from PyTorch: state dicts of the authors' code for MgNet and LM-ResNet, and of kuangliu's ResNets."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_mgnet.errors import check_known, existing_file
from keras_mgnet.extras import TRAIN, extra
from keras_mgnet.layers import Branch, Conv, Norm
from keras_mgnet.layers.sharing import instance
from keras_mgnet.loading import load_model
from keras_mgnet.models import LMResNet, MgNet, ResNet
from keras_mgnet.models.frame import CLASSIFIER
from keras_mgnet.models.network import Network
from keras_mgnet.models.weights import check_shapes, classes_that_differ, load_file
from keras_mgnet.npz import read_npz

Named = Iterator[tuple[str, keras.layers.Layer | keras.Variable]]

ENTRIES: dict[
    Any, dict[str, tuple[str, tuple[int, ...]]]
] = {  # torch name -> (our variable, permutation of axes to our order)
    Conv: {"weight": ("kernel", (2, 3, 1, 0))},
    keras.layers.Dense: {"weight": ("kernel", (1, 0)), "bias": ("bias", (0,))},
    Norm: {
        "weight": ("gamma", (0,)),
        "bias": ("beta", (0,)),
        "running_mean": ("moving_mean", (0,)),
        "running_var": ("moving_variance", (0,)),
    },
}
UNUSED = {  # entries that the code registers and never uses, by family; keras.Model is all families
    keras.Model: r"(.*\.)?num_batches_tracked",  # PyTorch's step counter of a norm with fixed momentum
    LMResNet: r"bn1\..*|downsample1\..*|ks\.\d+",  # no norm follows the stem, and a transition has no k
}


def load_torch_weights(model: keras.Model, state_dict_or_path: Mapping[str, Any] | str | Path) -> None:
    """Loads the weights of a PyTorch state dict into a model.

    Args:
        model: a MgNet, ResNet, PreActResNet or LMResNet with its classifier.
        state_dict_or_path: a mapping of names to arrays, or the path of a .npz, .safetensors, .pth or .pt file. The last two need
            torch, which reads them with `weights_only`. The names are those of XuTeam/MgNet_Code, 2prime/LM-ResNet or
            kuangliu/pytorch-cifar. The ks of 2prime/LM-ResNet are 1 - k, and its unused entries are skipped. The prefixes "w/"
            and "module." are dropped. If `model` shares a tensor, all names of this tensor must hold equal values.

    Raises:
        ValueError: if a key is missing or unexpected, or if its array has another shape or differs from another array of the same
            shared tensor. The message names the key. The model is then unchanged.

    Example:
        >>> model = MgNet((1,), 4, input_shape=(8, 8, 1), classes=2)
        >>> load_torch_weights(model, {"conv1.weight": np.zeros((4, 1, 3, 3))})
        Traceback (most recent call last):
            ...
        ValueError: expected the key 'bn1.weight' in the state dict; it is missing. Received: 1 keys
    """
    state = _strip_prefixes(_read(state_dict_or_path))
    values: dict[int, tuple[keras.Variable, np.ndarray, str]] = {}
    expected = set()
    for prefix, part in _layout(model):
        for key, variable, shape, convert in _entries(prefix, part):
            expected.add(key)
            value = convert(_take(state, key, shape))
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
    if alien := [variable.path for variable in model.weights if id(variable) not in values]:
        raise ValueError(f"expected a model whose variables all exist in PyTorch's code. Received: {_some(alien)}")
    for variable, value, _ in values.values():
        variable.assign(value)


def load_weights(model: Network, path: str | Path, other_classes: bool = False) -> None:
    """Loads weights into a model from a .weights.h5 file, a .keras file, or a file for `load_torch_weights`.

    Args:
        model: the network.
        path: path of the file.
        other_classes: whether a Keras file may be of another number of classes. The classifier then keeps its weights, with a
            warning.

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
    values = load_model(path).get_weights()
    shapes = [value.shape for value in values]
    if other_classes and classes_that_differ(model, shapes, path):
        values[-2:] = model.get_layer(CLASSIFIER).get_weights()
    else:
        check_shapes(model, shapes, path)
    model.set_weights(values)


def _entries(
    prefix: str, part: Any
) -> Iterator[tuple[str, keras.Variable, tuple[int, ...], Callable[[Any], np.ndarray]]]:
    """Yields (key, our variable, PyTorch's shape, function from PyTorch's value to ours) for a layer or a coefficient k."""
    if part is None:  # a fixed restriction has no kernel
        return
    if isinstance(part, keras.Variable):
        yield prefix, part, (1,), lambda ks: 1 - ks[0]
        return
    for entry, (attribute, axes) in ENTRIES[_kind(part)].items():
        variable = getattr(part, attribute)
        shape = tuple(variable.shape[axes.index(axis)] for axis in range(len(axes)))
        yield f"{prefix}.{entry}", variable, shape, partial(np.transpose, axes=axes)


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


def _layout(model: keras.Model) -> Named:
    """Yields (torch prefix, layer) for every use of every layer."""
    for family, layout in LAYOUTS.items():
        if isinstance(model, family):
            if not model.get_config()["include_top"]:
                raise ValueError(f"expected a model with its classifier. Received: {model.name} with include_top=False")
            if not model.get_config()["norm"]:
                raise ValueError(f"expected a model with norms. Received: {model.name} with norm=None")
            return layout(model)
    names = ", ".join(family.__name__ for family in LAYOUTS)
    raise ValueError(f"expected a model of one of the families {names}. Received: {type(model).__name__}")


def _mgnet_layout(model: MgNet) -> Named:
    stem, levels, transfers = (_numbered(model, name) for name in ("stem", "level", "transfer"))
    yield from (("conv1", stem[0].conv), ("bn1", stem[0].s))
    for j, level in enumerate(levels):
        first = 0 if j == 0 else 1  # module 0 of a coarser layer is its pooling
        for i in range(level.nu):
            module = f"layer{j}.{first + i}"
            yield from ((f"{module}.A", instance(level.field.A, i)), (f"{module}.B", instance(level.field.B, i)))
            yield from ((f"{module}.bn1", level.field.s1[i]), (f"{module}.bn2", level.field.s2[i]))
    for j, transfer in enumerate(transfers, start=1):
        module = f"layer{j}.0"
        yield from ((f"{module}.A_old", levels[j - 1].field.A[-1]), (f"{module}.A_conv", levels[j].field.A[0]))
        yield from ((f"{module}.Pi_conv", transfer.Pi.conv), (f"{module}.R_conv", transfer.R.conv))
        yield from ((f"{module}.bn1", transfer.s1), (f"{module}.bn2", transfer.s2))
    yield "fc", model.get_layer("classifier")


def _resnet_layout(model: ResNet) -> Named:
    stem = model.get_layer("stem")
    yield "conv1", stem.conv
    if stem.s is not None:
        yield "bn1", stem.s
    for level in _numbered(model, "level"):
        module = level.name.replace("level", "layer")
        for i in range(level.nu):
            yield from _block(f"{module}.{i}", level.field.branch, i)
        if isinstance(level.field.R, Branch):
            yield from (
                (f"{module}.0.shortcut.0", level.field.R.conv(0, 0)),
                (f"{module}.0.shortcut.1", level.field.R.norms()[0][0]),
            )
        elif isinstance(level.field.R, Conv):
            yield f"{module}.0.shortcut.0", level.field.R
    yield "linear", model.get_layer("classifier")


def _lm_resnet_layout(model: LMResNet) -> Named:
    yield "conv1", model.get_layer("stem").conv
    n = 0
    for level in _numbered(model, "level"):
        for i in range(level.nu):
            yield from _block(f"blocks.{n + i}", level.field.branch, i)
        yield from ((f"ks.{n + level.scheme.first + i}", k) for i, k in enumerate(level.scheme.k))
        if isinstance(level.field.R, Branch):
            number = level.name.removeprefix("level")
            module = f"downsample{number}{'' if number == '1' else '1'}.downsample"
            yield from ((f"{module}.0", level.field.R.norms()[0][0]), (f"{module}.2", level.field.R.conv(0, 0)))
        n += level.nu
    yield from (("bn", model.get_layer("s")), ("fc", model.get_layer("classifier")))


def _block(module: str, branch: Branch, i: int) -> Named:
    for p in range(len(branch.convs())):
        yield from ((f"{module}.conv{p + 1}", branch.conv(p, i)), (f"{module}.bn{p + 1}", branch.norms()[p][i]))


LAYOUTS: dict[type[Network], Callable[[Any], Named]] = {
    MgNet: _mgnet_layout,
    ResNet: _resnet_layout,
    LMResNet: _lm_resnet_layout,
}


def _numbered(model: keras.Model, prefix: str) -> list[keras.layers.Layer]:
    return [layer for layer in model.layers if layer.name.rstrip("0123456789") == prefix]


def _kind(layer: keras.layers.Layer) -> Any:
    return next(kind for kind in ENTRIES if isinstance(layer, kind))


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
