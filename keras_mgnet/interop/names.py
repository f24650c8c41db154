"""Names, shapes and axes of our weights in PyTorch's code: XuTeam/MgNet_Code, 2prime/LM-ResNet and kuangliu/pytorch-cifar."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_mgnet.layers import Branch, Conv, Norm
from keras_mgnet.layers.sharing import instance
from keras_mgnet.models import LMResNet, MgNet, ResNet
from keras_mgnet.models.network import Network

Named = Iterator[tuple[str, keras.layers.Layer | keras.Variable]]
Convert = Callable[[np.ndarray], np.ndarray]

ENTRIES: dict[
    Any, dict[str, tuple[str, tuple[int, ...]]]
] = {  # PyTorch's name -> (our variable, permutation of axes to our order)
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


class Entry(NamedTuple):
    """An entry of a state dict: its key and shape, our variable, and the functions from PyTorch's value to ours and back."""

    key: str
    shape: tuple[int, ...]
    variable: keras.Variable
    to_ours: Convert
    to_torch: Convert


def entries(model: keras.Model) -> Iterator[Entry]:
    """Yields the entries of a model's state dict. A shared variable has several entries.

    Raises:
        ValueError: if the model is of no family with a state dict, or has no classifier or no norms.
    """
    for prefix, part in _layout(model):
        if isinstance(part, keras.Variable):
            yield Entry(prefix, (1,), part, lambda ks: 1 - ks[0], lambda k: 1 - np.array([k], "float64"))
        elif part is not None:  # a fixed restriction has no kernel
            for name, (attribute, axes) in ENTRIES[_kind(part)].items():
                variable, back = getattr(part, attribute), np.argsort(axes)
                shape = tuple(variable.shape[axis] for axis in back)
                to_ours, to_torch = (partial(np.transpose, axes=order) for order in (axes, back))
                yield Entry(f"{prefix}.{name}", shape, variable, to_ours, to_torch)


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
