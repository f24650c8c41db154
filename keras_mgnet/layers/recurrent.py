"""The level of a recurrent residual network: states on one grid, each driven by all, with kernels shared over time."""

import keras

from keras_mgnet.layers import steps
from keras_mgnet.layers.branch import Branch, basic
from keras_mgnet.layers.sharing import shared
from keras_mgnet.serialization import serializable


@serializable
class RecurrentLevel(keras.layers.Layer):
    """nu steps of x_i <- x_i + sum_j K_ij(x_j), i, j = 1..S: (N, H, W, c) -> the last state x_S, of the same shape.

    The input is x_1 at the start, the other states are zero and drive nothing until they are reached. With S = 1 it is a
    `ResidualLevel` with one kernel. Source: Liao & Poggio 2016; Lu2017.

    Args:
        channels: c of every state.
        nu: number of steps.
        states: S.
        share_K: whether the kernels of K_ij are the same at all times, as in a recurrent network.
        share_norms: whether the norms are too; else each step has its own (time-specific normalisation).
        activation: sigma.
        init: a key of `conv.INITIALIZERS`.

    Example:
        >>> tuple(RecurrentLevel(4, nu=3, states=2)(keras.ops.ones((1, 8, 8, 4))).shape)
        (1, 8, 8, 4)
    """

    def __init__(
        self,
        channels,
        nu,
        states=1,
        *,
        share_K=True,
        share_norms=False,
        activation="relu",
        init="he_fan_out",
        name=None,
        dtype=None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.nu, self.states, self.share_K = nu, states, share_K
        options = {"share_norms": share_norms, "activation": activation, "init": init, "dtype": self.dtype_policy}
        self.K = [[self._transition(channels, i, j, options) for j in range(states)] for i in range(states)]

    def _transition(self, channels, i, j, options) -> Branch | None:
        """K_ij, used from the time when x_j is reached until x_i is read for the last time."""
        uses = self.nu - (j > 0) - (i < self.states - 1)
        sharing = (shared(uses),) * 2 if self.share_K else None
        return basic(channels, uses=uses, sharing=sharing, name=f"K{i + 1}{j + 1}", **options) if uses > 0 else None

    def build(self, input_shape):
        for K in (K for row in self.K for K in row if K is not None):
            K.build(input_shape)

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, x):
        x = [x, *[0.0] * (self.states - 1)]
        for t in range(self.nu - 1):
            x = [self._next(x, i, t) for i in range(self.states)]
        return self._next(x, self.states - 1, self.nu - 1)

    def _next(self, x, i, t):
        drives = [self.K[i][j](x_j, i=t - (j > 0)) for j, x_j in enumerate(x) if not isinstance(x_j, float)]
        return steps.euler(x[i], steps.superpose(drives))
