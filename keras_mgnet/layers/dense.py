"""The level of a DenseNet, in which every step reads all states before it, and the transition to the next grid."""

import keras

from keras_mgnet.layers import steps
from keras_mgnet.layers.branch import Branch
from keras_mgnet.layers.conv import Conv
from keras_mgnet.layers.level import build_chain
from keras_mgnet.layers.norm import Norm
from keras_mgnet.layers.transfer import FIXED_RESTRICTIONS, coarser
from keras_mgnet.serialization import serializable


@serializable
class DenseLevel(keras.layers.Layer):
    """A dense block, the multistep scheme over all states: x_{i+1} = f^i([x_0, ..., x_i]) with [ ] the concatenation.

    (N, H, W, c) -> (N, H, W, c + nu growth), which is [x_0, ..., x_nu]. Source: Huang, Liu, van der Maaten, Weinberger 2017.

    Args:
        growth: channels of each new state.
        nu: number of iterations.
        bottleneck: f^i is K s, or with it A s B s, in which B is 1x1 to 4 growth channels; s is norm and sigma.
        dropout: rate behind each convolution.
        activation: sigma.
        init: a key of `conv.INITIALIZERS`.

    Example:
        >>> tuple(DenseLevel(3, nu=2)(keras.ops.ones((1, 8, 8, 4))).shape)
        (1, 8, 8, 10)
    """

    def __init__(
        self, growth, nu, *, bottleneck=False, dropout=0.0, activation="relu", init="he_fan_out", name=None, dtype=None
    ):
        super().__init__(name=name, dtype=dtype)
        self.growth, self.nu = growth, nu
        widths, kernel_sizes = ((4 * growth, growth), (1, 3)) if bottleneck else ((growth,), (3,))
        options = {"dropout": dropout, "activation": activation, "init": init, "dtype": self.dtype_policy}
        self.branches = [Branch(widths, kernel_sizes, **options, name=f"f{i}") for i in range(nu)]

    def build(self, input_shape):
        for i, f in enumerate(self.branches):
            f.build((*input_shape[:-1], input_shape[-1] + i * self.growth))

    def compute_output_shape(self, input_shape):
        return *input_shape[:-1], input_shape[-1] + self.nu * self.growth

    def call(self, x):
        for f in self.branches:
            x = steps.dense(x, f)
        return x


@serializable
class DenseTransition(keras.layers.Layer):
    """pool(R s(x)), s norm and sigma, R 1x1, pool the 2x2 mean: (N, H, W, c) -> (N, ceil(H/2), ceil(W/2), channels).

    R and pool commute; where no dropout stands between them the mean is taken first, at a quarter of R's products.

    Args:
        channels: output channels.
        dropout: rate behind R.
        activation: sigma.
        init: a key of `conv.INITIALIZERS`.

    Example:
        >>> tuple(DenseTransition(3)(keras.ops.ones((1, 8, 8, 6))).shape)
        (1, 4, 4, 3)
    """

    def __init__(self, channels, *, dropout=0.0, activation="relu", init="he_fan_out", name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        policy = self.dtype_policy
        self.channels = channels
        s = Norm(activation, foldable=False, name="s", dtype=policy)
        R = Conv(channels, 1, init=init, name="R", dtype=policy)
        pool = FIXED_RESTRICTIONS["average"](policy)
        self.chain = [s, R, keras.layers.Dropout(dropout, dtype=policy), pool] if dropout else [s, pool, R]

    def build(self, input_shape):
        build_chain(self.chain, input_shape)

    def compute_output_shape(self, input_shape):
        return coarser(input_shape, self.channels)

    def call(self, x):
        for layer in self.chain:
            x = layer(x)
        return x
