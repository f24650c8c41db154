"""Weights from PyTorch: state dicts of the authors' MgNet code and of kuangliu's ResNet and PreActResNet."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import keras
import numpy as np

from keras_mgnet.errors import unknown
from keras_mgnet.extras import extra
from keras_mgnet.layers import Conv, Norm
from keras_mgnet.layers.sharing import instance
from keras_mgnet.models import MgNet, ResNet

Named = Iterator[tuple[str, keras.layers.Layer]]

ENTRIES = {  # torch name -> (our variable, axes that bring it into our order)
    Conv: {"weight": ("kernel", (2, 3, 1, 0))},
    keras.layers.Dense: {"weight": ("kernel", (1, 0)), "bias": ("bias", (0,))},
    Norm: {
        "weight": ("gamma", (0,)),
        "bias": ("beta", (0,)),
        "running_mean": ("moving_mean", (0,)),
        "running_var": ("moving_variance", (0,)),
    },
}
UNUSED = "num_batches_tracked"  # PyTorch's step counter of a norm with fixed momentum


def load_torch_weights(model: keras.Model, state_dict_or_path) -> None:
    """Fills a model with the weights of a PyTorch state dict.

    Args:
        model: a MgNet, ResNet or PreActResNet (with classifier).
        state_dict_or_path: a mapping of names to arrays, or the path of a .npz, .safetensors, .pth or .pt file (the last two
            need torch, which reads them with `weights_only`). Names are those of XuTeam/MgNet_Code and
            kuangliu/pytorch-cifar; prefixes "w/" and "module." are dropped. Where a tensor is shared here, all its names
            must hold equal values.

    Raises:
        ValueError: naming the key that is missing, surplus, of another shape, or at odds with its shared twin. The model is
            then as it was before.

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
    for prefix, layer in _layout(model):
        if layer is None:  # a fixed restriction has no kernel
            continue
        for entry, (attribute, axes) in ENTRIES[_kind(layer)].items():
            key = f"{prefix}.{entry}"
            expected.add(key)
            variable = getattr(layer, attribute)
            value = _take(state, key, axes, variable)
            _, first, first_key = values.setdefault(id(variable), (variable, value, key))
            if not np.array_equal(first, value):
                raise ValueError(
                    f"expected '{key}' to equal '{first_key}', which is the same tensor in this model. "
                    f"Received: a largest difference of {np.abs(first - value).max():.3g}"
                )
    surplus = [key for key in state if key not in expected and not key.endswith(UNUSED)]
    if surplus:
        raise ValueError(f"expected no key beyond those of {model.name}. Received: {_some(surplus)}")
    if alien := [variable.path for variable in model.weights if id(variable) not in values]:
        raise ValueError(f"expected a model all of whose variables PyTorch's code has too. Received: {_some(alien)}")
    for variable, value, _ in values.values():
        variable.assign(value)


def _take(state: Mapping, key: str, axes: tuple[int, ...], variable: keras.Variable) -> np.ndarray:
    if key not in state:
        raise ValueError(f"expected the key '{key}' in the state dict; it is missing. Received: {len(state)} keys")
    value = np.asarray(state[key])
    shape = tuple(variable.shape[axes.index(axis)] for axis in range(len(axes)))
    if value.shape != shape:
        raise ValueError(f"expected '{key}' to have the shape {shape}. Received: {value.shape}")
    return value.transpose(axes)


def _layout(model: keras.Model) -> Named:
    """Yields (torch prefix, layer) for every use of every layer."""
    for family, layout in LAYOUTS.items():
        if isinstance(model, family):
            if not model.get_config()["include_top"]:
                raise ValueError(f"expected a model with its classifier. Received: {model.name} with include_top=False")
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
            yield from ((f"{module}.A", instance(level.A, i)), (f"{module}.B", instance(level.B, i)))
            yield from ((f"{module}.bn1", level.s1[i]), (f"{module}.bn2", level.s2[i]))
    for j, transfer in enumerate(transfers, start=1):
        module = f"layer{j}.0"
        yield from ((f"{module}.A_old", levels[j - 1].A[-1]), (f"{module}.A_conv", levels[j].A[0]))
        yield from ((f"{module}.Pi_conv", transfer.Pi.conv), (f"{module}.R_conv", transfer.R.conv))
        yield from ((f"{module}.bn1", transfer.s1), (f"{module}.bn2", transfer.s2))
    yield "fc", model.get_layer("classifier")


def _resnet_layout(model: ResNet) -> Named:
    stem = model.get_layer("stem")
    yield "conv1", stem.conv
    if stem.s is not None:
        yield "bn1", stem.s
    for level in _numbered(model, "level"):
        for i in range(level.blocks):
            block = f"{level.name.replace('level', 'layer')}.{i}"
            yield from ((f"{block}.conv1", instance(level.B, i)), (f"{block}.conv2", instance(level.A, i)))
            yield from ((f"{block}.bn1", level.s1[i]), (f"{block}.bn2", level.s2[i]))
        if level.R is not None:
            parts = [level.R] if level.preactivation else level.R.layers
            yield from (
                (f"{level.name.replace('level', 'layer')}.0.shortcut.{i}", part) for i, part in enumerate(parts)
            )
    yield "linear", model.get_layer("classifier")


LAYOUTS = {MgNet: _mgnet_layout, ResNet: _resnet_layout}


def _numbered(model: keras.Model, prefix: str) -> list[keras.layers.Layer]:
    return [layer for layer in model.layers if layer.name.rstrip("0123456789") == prefix]


def _kind(layer: keras.layers.Layer) -> type:
    return next(kind for kind in ENTRIES if isinstance(layer, kind))


def _read(source) -> Mapping:
    if isinstance(source, Mapping):
        return source
    path = Path(source)
    readers = {".npz": _read_npz, ".safetensors": _read_safetensors, ".pth": _read_torch, ".pt": _read_torch}
    if path.suffix not in readers:
        raise unknown("weights format", path.suffix, readers)
    if not path.is_file():
        raise ValueError(f"expected the path of a file with weights. Received: {str(source)!r}")
    try:
        return readers[path.suffix](path)
    except ImportError:
        raise
    except Exception as error:  # each format has its own errors for damaged bytes
        raise ValueError(f"expected a readable {path.suffix} file of arrays. Received: '{path}' ({error})") from error


def _read_npz(path: Path) -> Mapping:
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def _read_safetensors(path: Path) -> Mapping:
    from safetensors.numpy import load_file

    return load_file(path)


def _read_torch(path: Path) -> Mapping:
    state = extra("torch", "torch").load(path, map_location="cpu", weights_only=True)
    for wrapper in ("net", "state_dict"):
        state = state.get(wrapper, state)
    return {key: value.numpy() for key, value in state.items()}


def _strip_prefixes(state: Mapping) -> dict[str, np.ndarray]:
    marked = {key.removeprefix("w/"): value for key, value in state.items() if key.startswith("w/")}
    return {key.removeprefix("module."): value for key, value in (marked or state).items()}


def _some(keys: Iterable[str]) -> str:
    keys = sorted(keys)
    return ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")
