"""Names, shapes and axes of our weights in PyTorch's code.

The code is XuTeam/MgNet_Code, 2prime/LM-ResNet, kuangliu/pytorch-cifar and xlliu2017/MgNO.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_mgnet.layers import Affine, Branch, Conv, GridNorm, Norm, Normalizer
from keras_mgnet.layers.sharing import instance
from keras_mgnet.models import LMResNet, MgNet, MgNO, ResNet
from keras_mgnet.models.network import Network

Named = Iterator[tuple[str, keras.layers.Layer | keras.Variable]]
Convert = Callable[[np.ndarray], np.ndarray]

ENTRIES: dict[
    Any, dict[str, tuple[str, tuple[int, ...]]]
] = {  # PyTorch's name -> (our variable, permutation of axes to our order)
    Affine: {"weight": ("kernel", (2, 3, 1, 0)), "bias": ("bias", (0,))},
    Conv: {"weight": ("kernel", (2, 3, 1, 0))},
    GridNorm: {"weight": ("gamma", (1, 2, 0)), "bias": ("beta", (1, 2, 0))},
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
    MgNO: r"(conv_list\.\d+|last_layer)\.(RTlayers\.\d+|layer0\.0\.A)\..*",  # of grids that are not there, and of u = 0
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
        elif isinstance(part, Normalizer):  # of functions with one channel, which PyTorch's code leaves out
            for name in ("mean", "std"):
                shape = tuple(getattr(part, name).shape[:-1])
                add, drop = partial(np.expand_dims, axis=-1), partial(np.squeeze, axis=-1)
                yield Entry(f"{prefix}.{name}", shape, getattr(part, name), add, drop)
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
            if not model.get_config().get("include_top", True):
                raise ValueError(f"expected a model with its classifier. Received: {model.name} with include_top=False")
            if not model.get_config().get("norm", True):
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


def _mgno_layout(model: MgNO) -> Named:
    config = model.get_config()
    layers, steps = config["layers"], config["steps"]
    for k in range(1, layers + 1):
        yield from _mgno_cycle(model, f"conv_list.{k - 1}", k, steps)
    for k in range(1, layers + 1):
        yield from ((f"linear_list.{k - 1}", part) for part in _named(model, f"K{k}"))
        yield from ((f"norm_layer_list.{k - 1}", part) for part in _named(model, f"norm{k}"))
    yield from _mgno_cycle(model, "last_layer", layers + 1, steps)
    last = "last_layer" if config["variant"] == "navier_stokes" else "linear"
    yield from ((last, part) for part in _named(model, "q"))
    if config["normalize_y"] == "pointwise":
        yield "normalizer", model.get_layer("decode")


def _mgno_cycle(model: MgNO, prefix: str, k: int, steps: Any) -> Named:
    """Yields the layers of V-cycle k; none if the network has no such V-cycle."""
    for l in range(len(steps)):  # noqa: E741
        place = f"{k}_{l + 1}"
        for part in _named(model, f"transfer{place}"):
            yield from ((f"{prefix}.layer{l}.0.Pi", part.Pi.conv), (f"{prefix}.layer{l}.0.R", part.R.conv))
        yield from ((f"{prefix}.layer{l}.0.A", part.A) for part in _named(model, f"residual{place}"))
        for level, module, first in (("", f"layer{l}", int(l > 0)), ("_up", f"post_smooth_layer{l}", 0)):
            for part in _named(model, f"level{place}{level}"):
                system = part.field
                yield from ((f"{prefix}.{module}.{i + first}.S", B) for i, B in enumerate(system.B))
                yield from ((f"{prefix}.{module}.{i + first}.A", A) for i, A in enumerate(system.A, system.first))
        yield from ((f"{prefix}.norm_layer_list.{l}", part) for part in _named(model, f"norm{place}"))
        yield from ((f"{prefix}.RTlayers.{l}", part.T) for part in _named(model, f"up{place}"))


LAYOUTS: dict[type[Network], Callable[[Any], Named]] = {
    MgNet: _mgnet_layout,
    ResNet: _resnet_layout,
    LMResNet: _lm_resnet_layout,
    MgNO: _mgno_layout,
}


def _numbered(model: keras.Model, prefix: str) -> list[keras.layers.Layer]:
    return [layer for layer in model.layers if layer.name.rstrip("0123456789") == prefix]


def _named(model: keras.Model, name: str) -> list[Any]:
    """Returns the layer of a model with this name, in a list that is empty if there is none."""
    return [layer for layer in model.layers if layer.name == name]


def _kind(layer: keras.layers.Layer) -> Any:
    return next(kind for kind in ENTRIES if isinstance(layer, kind))
