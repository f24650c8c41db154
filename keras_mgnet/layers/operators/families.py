"""Lists of convolutions and norms for the iterations of a field, and layers in sequence."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import keras

from keras_mgnet.annotations import Activation, DType, Map, Shape, Tensor
from keras_mgnet.errors import unknown
from keras_mgnet.layers.operators.conv import Conv
from keras_mgnet.layers.operators.norm import norm_layer

PLACES = (None, "norm", "sigma")


class Kernel(NamedTuple):
    """Describes one convolution of a `Chain`."""

    filters: int
    size: int | tuple[int, int] = 3
    strides: int = 1  # of the first instance; the others have 1
    groups: int = 1
    padded: bool = True


def conv_family(name: str, kernel: Kernel, count: int, init: str, policy: DType) -> list[Conv]:
    """Returns `count` convolutions. The name of a single one is `name`. The names of several are `name` followed by the index."""
    options = {"groups": kernel.groups, "padded": kernel.padded, "init": init, "dtype": policy}
    return [
        Conv(
            kernel.filters,
            kernel.size,
            strides=1 if i else kernel.strides,
            name=f"{name}{i}" if count > 1 else name,
            **options,
        )
        for i in range(count)
    ]


def norm_family(
    name: str,
    place: str | None,
    count: int,
    activation: Activation,
    policy: DType,
    foldable: bool | Sequence[bool] = False,
    first: int = 0,
    norm: str | None = "batch",
) -> list[Any]:
    """Returns the norms with the indices `first` to `count` - 1. The name of norm i is `name`_i.

    `place` is "norm", or "sigma" for norms followed by the activation, or None for `count` identities.
    """
    if place not in PLACES:
        raise unknown(name, place, ["norm", "sigma", "None"])
    if place is None:
        return [identity] * count
    folds = (foldable,) * count if isinstance(foldable, bool) else foldable
    sigma = activation if place == "sigma" else None
    return [norm_layer(norm, sigma, foldable=folds[i], name=f"{name}_{i}", dtype=policy) for i in range(first, count)]


def identity(x: Tensor, training: bool | None = None) -> Tensor:
    """Returns x unchanged. This function replaces a norm."""
    return x


def build_all(shape: Shape, *groups: Iterable[Any]) -> None:
    """Builds layers for inputs of one shape. Layers that are built already are skipped."""
    for layer in (layer for group in groups for layer in group if isinstance(layer, keras.layers.Layer)):
        if not layer.built:
            layer.build(shape)


def build_chain(layers: Iterable[keras.layers.Layer], shape: Shape) -> Shape:
    """Builds layers in sequence and returns the output shape of the last layer. `shape` is the input shape of the first layer.

    Layers that are built already are skipped.
    """
    for layer in layers:
        if not layer.built:
            layer.build(shape)
        shape = layer.compute_output_shape(shape)
    return shape


def apply(layers: Iterable[Map], x: Tensor) -> Tensor:
    """Applies layers in sequence and returns the output of the last one."""
    for layer in layers:
        x = layer(x)
    return x
