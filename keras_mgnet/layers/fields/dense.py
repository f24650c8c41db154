"""The field of a DenseNet, whose every iteration reads all states before it, and the transition to the next grid."""

import keras

from keras_mgnet.annotations import Activation, DType, Shape, Tensor
from keras_mgnet.layers.fields.branch import Branch
from keras_mgnet.layers.fields.chain import apply, build_chain
from keras_mgnet.layers.fields.field import Field
from keras_mgnet.layers.operators.conv import Conv
from keras_mgnet.layers.operators.norm import norm_layer
from keras_mgnet.layers.transfers.transfer import FIXED_RESTRICTIONS, coarser
from keras_mgnet.serialization import serializable


@serializable
class DenseStates(Field):
    """f^i([x_0, ..., x_i]) = x_{i+1}, [ ] the concatenation; with the scheme `Dense` it is a dense block.

    f^i: (N, H, W, c + i growth) -> (N, H, W, growth). Source: Huang, Liu, van der Maaten, Weinberger 2017.

    Args:
        growth: channels of each new state.
        uses: number of iterations.
        bottleneck: f^i is K s, or with it A s B s, in which B is 1x1 to 4 growth channels; s is norm and sigma.
        dropout: rate behind each convolution.
        activation: sigma.
        norm: a key of `norm.NORMS`.
        init: a key of `conv.INITIALIZERS`.

    Example:
        >>> from keras_mgnet.layers import Dense, Level
        >>> tuple(Level(Dense(), DenseStates(3, 2))(keras.ops.ones((1, 8, 8, 4))).shape)
        (1, 8, 8, 10)
    """

    def __init__(
        self,
        growth: int,
        uses: int,
        *,
        bottleneck: bool = False,
        dropout: float = 0.0,
        activation: Activation = "relu",
        norm: str | None = "batch",
        init: str = "he_fan_out",
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.growth, self.uses = growth, uses
        widths, kernel_sizes = ((4 * growth, growth), (1, 3)) if bottleneck else ((growth,), (3,))
        options = {"dropout": dropout, "activation": activation, "norm": norm, "init": init, "dtype": self.dtype_policy}
        self.branches = [Branch(widths, kernel_sizes, **options, name=f"f{i}") for i in range(uses)]

    def build(self, input_shape: Shape) -> None:
        for i, f in enumerate(self.branches):
            f.build((*input_shape[:-1], input_shape[-1] + i * self.growth))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return *input_shape[:-1], self.growth

    def call(self, x: Tensor, i: int = 0) -> Tensor:
        return self.branches[i](x)


@serializable
class DenseTransition(keras.layers.Layer):
    """pool(R s(x)), s norm and sigma, R 1x1, pool the 2x2 mean: (N, H, W, c) -> (N, ceil(H/2), ceil(W/2), channels).

    R and pool commute; where no dropout stands between them the mean is taken first, at a quarter of R's products.

    Args:
        channels: output channels.
        dropout: rate behind R.
        activation: sigma.
        norm: a key of `norm.NORMS`.
        init: a key of `conv.INITIALIZERS`.

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
