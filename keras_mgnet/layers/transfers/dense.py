"""The transition between two dense blocks of a DenseNet."""

import keras

from keras_mgnet.annotations import Activation, DType, Shape, Tensor
from keras_mgnet.layers.operators.conv import Conv
from keras_mgnet.layers.operators.families import apply, build_chain
from keras_mgnet.layers.operators.norm import norm_layer
from keras_mgnet.layers.transfers.transfer import FIXED_RESTRICTIONS, coarser
from keras_mgnet.serialization import serializable


@serializable
class DenseTransition(keras.layers.Layer):
    """The transition between two dense blocks: pool(R s(x)).

    s is a norm followed by sigma, R is a 1x1 convolution, and pool takes the mean of each 2x2 block. Maps (N, H, W, c) to
    (N, ceil(H/2), ceil(W/2), channels). R and pool commute. Without dropout the layer pools before R, because R then needs only a
    quarter of the multiplications.

    Args:
        channels: output channels.
        dropout: dropout rate after R.
        activation, norm, init: as in `Chain`.

    Example:
        >>> tuple(DenseTransition(3)(keras.ops.ones((1, 8, 8, 6))).shape)
        (1, 4, 4, 3)
    """

    def __init__(
        self,
        channels: int,
        *,
        dropout: float = 0.0,
        activation: Activation = "relu",
        norm: str | None = "batch",
        init: str = "he_fan_out",
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        policy = self.dtype_policy
        self.channels = channels
        s = norm_layer(norm, activation, foldable=False, name="s", dtype=policy)
        R = Conv(channels, 1, init=init, name="R", dtype=policy)
        pool = FIXED_RESTRICTIONS["average"](policy)
        self.chain = [s, R, keras.layers.Dropout(dropout, dtype=policy), pool] if dropout else [s, pool, R]

    def build(self, input_shape: Shape) -> None:
        build_chain(self.chain, input_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return coarser(input_shape, self.channels)

    def call(self, x: Tensor) -> Tensor:
        return apply(self.chain, x)
