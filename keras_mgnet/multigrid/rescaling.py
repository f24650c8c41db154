"""Trained networks at half or twice the resolution: each 3x3 kernel becomes the same operator on another grid (Lu2017)."""

import keras
import numpy as np
from keras import ops

from keras_mgnet import compat
from keras_mgnet.errors import check_known, required
from keras_mgnet.layers import Conv
from keras_mgnet.multigrid.stencils import RULES, transfer_stencil

FACTORS = (0.5, 2)


def rescale(model: keras.Model, factor: float, rule: str | None = "galerkin") -> keras.Model:
    """Returns a copy of a trained network for images of half or twice the resolution, without retraining.

    Every grid of the network becomes coarser or finer by the same factor. Each 3x3 kernel K is replaced by a kernel for the same
    operator on the new grid. For half the resolution this kernel is `transfer_stencil(K, rule)`. For twice the resolution this
    kernel is the one that `transfer_stencil` maps to K. All other weights stay unchanged, such as those of 1x1 convolutions,
    norms and the classifier. On smooth images the outputs change by O(h^2), where h is the size of a pixel.
    Source: Lu2017, "Learning across scales"; Haber, Ruthotto, Holtham, Jun 2017.

    Args:
        model: a network of 3x3 and 1x1 convolutions, for (H, W, C) images. The model itself is not changed.
        factor: factor of height and width, 1/2 or 2.
        rule: "galerkin", "fem" or "moment"; None leaves the kernels unchanged.

    Raises:
        ValueError: for another factor or rule, for kernels of other sizes, for images that cannot be halved, and if a grid would
            have no pixel left.

    Example:
        >>> from keras_mgnet import MgNet
        >>> half = rescale(MgNet((1, 1), 4, input_shape=(16, 16, 1)), 1 / 2)
        >>> half.input_shape
        (None, 8, 8, 1)
    """
    if factor not in FACTORS:
        raise ValueError(f"expected factor to be 1/2 or 2. Received: factor={factor!r}")
    if rule is not None:
        check_known("rule", rule, RULES)
    kernels = _kernels(model)
    shape = _scaled_shape(model.input_shape[1:], factor)
    other = type(model).from_config(model.get_config() | {"input_shape": shape, "input_tensor": None, "weights": None})
    values = {id(weight): ops.convert_to_numpy(weight) for weight in model.weights}
    if rule is not None:
        T = stencil_map(factor, rule)
        values |= {id(K): np.tensordot(T, values[id(K)], 2) for K in kernels}
    other.set_weights([values[id(weight)] for weight in model.weights])
    return other


def stencil_map(factor: float, rule: str) -> np.ndarray:
    """Returns the linear map (3, 3, 3, 3) that transfers 3x3 stencils to a grid with `factor` times as many points per side."""
    coarser = transfer_stencil(np.eye(9).reshape(3, 3, 9), rule).reshape(9, 9)
    return (coarser if factor == 0.5 else np.linalg.inv(coarser)).reshape(3, 3, 3, 3)


def _kernels(model: keras.Model) -> list[keras.Variable]:
    convs = [part for part in compat.flatten_layers(model) if isinstance(part, Conv)]
    for conv in convs:
        if tuple(conv.kernel_size) not in ((3, 3), (1, 1)):
            size = "x".join(map(str, conv.kernel_size))
            raise ValueError(f"expected a network of 3x3 and 1x1 convolutions. Received: {size} in {conv.path}")
    kernels = [conv.kernel for conv in convs if tuple(conv.kernel_size) == (3, 3)]
    return required(model, "a network with 3x3 convolutions", kernels)


def _scaled_shape(shape, factor: float):
    *grid, channels = shape
    if factor < 1 and any(size is not None and size % 2 for size in grid):
        raise ValueError(f"expected images of even height and width to halve them. Received: {tuple(shape)}")
    return (*(size and int(factor * size) for size in grid), channels)
