"""Layer normalisation over a whole grid, and the normalisers of the data of operator networks."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mgnet import compat
from keras_mgnet.annotations import DType, Shape, Tensor
from keras_mgnet.errors import check_known
from keras_mgnet.serialization import serializable

EPSILON = 1e-5
NORMALIZERS = ("scalar", "pointwise")


@serializable
class GridNorm(keras.layers.LayerNormalization):
    """Layer normalisation over all points and channels, with a scale and a shift for each point and channel.

    The weights belong to a grid of fixed size.

    Example:
        >>> tuple(GridNorm()(ops.ones((2, 4, 4, 3))).shape)
        (2, 4, 4, 3)
    """

    def __init__(self, *, name: str | None = None, dtype: DType = None) -> None:
        super().__init__(axis=(1, 2, 3), epsilon=EPSILON, name=name, dtype=dtype)


@serializable
class Normalizer(keras.layers.Layer):
    """Standardises functions: z = (x - mean) / (std + 1e-5). With `inverse` the layer computes x of z.

    The statistics are weights that are not trained, so they travel with the model and its files. Before `adapt`, mean = 0 and
    std = 1.

    Args:
        kind: "scalar" for one mean and std per channel over all points, or "pointwise" for one at each point.
        inverse: whether the layer computes x = z (std + 1e-5) + mean.

    Example:
        >>> layer = Normalizer("pointwise")
        >>> layer.adapt(np.random.default_rng(0).normal(3.0, 2.0, (100, 4, 4, 1)))
        >>> bool(abs(ops.mean(layer(3.0 * ops.ones((1, 4, 4, 1))))) < 0.1)
        True
    """

    def __init__(
        self, kind: str = "scalar", *, inverse: bool = False, name: str | None = None, dtype: DType = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        check_known("normaliser", kind, NORMALIZERS)
        self.kind, self.inverse = kind, inverse

    def build(self, input_shape: Shape) -> None:
        shape = tuple(input_shape[1:]) if self.kind == "pointwise" else tuple(input_shape[-1:])
        if None in shape:
            raise ValueError(
                f"expected a fixed height and width for a pointwise normaliser. Received: input shape {shape}"
            )
        self.mean = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="mean")
        self.std = self.add_weight(shape=shape, initializer="ones", trainable=False, name="std")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def call(self, x: Tensor) -> Tensor:
        mean, scale = (ops.cast(value, x.dtype) for value in (self.mean, self.std + EPSILON))
        return x * scale + mean if self.inverse else (x - mean) / scale

    def adapt(self, functions: Any) -> None:
        """Takes the statistics of functions (N, H, W, c), N >= 2. The standard deviation is the unbiased one."""
        functions = np.asarray(functions, "float64")
        if functions.ndim != 4 or len(functions) < 2:
            raise ValueError(f"expected at least two functions (N, H, W, c). Received: shape {functions.shape}")
        if not self.built:
            self.build(functions.shape)
        axes = 0 if self.kind == "pointwise" else (0, 1, 2)
        self.mean.assign(functions.mean(axes))
        self.std.assign(functions.std(axes, ddof=1))


def adapt_normalizers(model: keras.Model, x: Any, y: Any) -> None:
    """Gives the normalisers of a model the statistics of training data. A model without normalisers stays unchanged.

    Call this function before the first step of training. `keras-mgnet train` does.

    Args:
        model: a model, such as `MgNO(normalize_y="scalar")`.
        x: the input functions (N, H, W, c).
        y: the output functions (N, H, W, c).

    Example:
        >>> import keras_mgnet
        >>> model = keras_mgnet.MgNO(4, 1, ((1, 0), (1, 0)), normalize_y="scalar", input_shape=(8, 8, 1))
        >>> x = np.random.default_rng(0).normal(size=(10, 8, 8, 1))
        >>> keras_mgnet.adapt_normalizers(model, x, x**2)
    """
    for layer in normalizers(model):
        layer.adapt(y if layer.inverse else x)


def normalizers(model: keras.Model) -> list[Normalizer]:
    """Returns the normalisers of a model."""
    return [layer for layer in compat.flatten_layers(model) if isinstance(layer, Normalizer)]
