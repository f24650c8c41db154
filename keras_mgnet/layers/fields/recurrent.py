"""The field of a recurrent residual network: states on one grid, each driven by all, with kernels shared over time."""

from collections.abc import Sequence
from typing import Any

from keras_mgnet.annotations import Activation, DType, Shape, Tensor
from keras_mgnet.layers import steps
from keras_mgnet.layers.fields.branch import Branch, basic
from keras_mgnet.layers.fields.field import Field
from keras_mgnet.layers.sharing import shared
from keras_mgnet.serialization import serializable


@serializable
class Recurrent(Field):
    """The field of a recurrent network, driven by all states: f_i(x_1, ..., x_S) = sum_j K_ij(x_j), i, j = 1..S.

    Each x_i is (N, H, W, c). Its scheme is `EulerSystem`. A state that is zero drives nothing until it is reached. In the last
    iteration only x_S, the state that is returned, is driven. With S = 1 the field is a branch with one kernel. Source: Liao &
    Poggio 2016; Lu2017.

    Args:
        channels: number of channels c of every state.
        uses: number of steps.
        states: S.
        share_K: whether K_ij has the same kernels at all times, as in a recurrent network.
        share_norms: whether the norms are the same at all times too. By default each step has its own (time-specific
            normalisation).
        activation: sigma.
        norm: "batch" for batch normalisation, None for no norm.
        init: kernel initialiser, a key of `conv.INITIALIZERS`.

    Example:
        >>> import keras
        >>> from keras_mgnet.layers import EulerSystem, Level
        >>> tuple(Level(EulerSystem(), Recurrent(4, 3, states=2))(keras.ops.ones((1, 8, 8, 4))).shape)
        (1, 8, 8, 4)
    """

    def __init__(
        self,
        channels: int,
        uses: int,
        states: int = 1,
        *,
        share_K: bool = True,
        share_norms: bool = False,
        activation: Activation = "relu",
        norm: str | None = "batch",
        init: str = "he_fan_out",
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.uses, self.states, self.share_K = uses, states, share_K
        options = {"share_norms": share_norms, "activation": activation, "norm": norm, "init": init}
        options["dtype"] = self.dtype_policy
        self.K = [[self._transition(channels, i, j, options) for j in range(states)] for i in range(states)]

    def _transition(self, channels: int, i: int, j: int, options: dict[str, Any]) -> Branch | None:
        """Returns K_ij. It is used from the time when x_j is reached until x_i is read for the last time."""
        uses = self.uses - (j > 0) - (i < self.states - 1)
        sharing = (shared(uses),) * 2 if self.share_K else None
        return basic(channels, uses=uses, sharing=sharing, name=f"K{i + 1}{j + 1}", **options) if uses > 0 else None

    def build(self, input_shape: Shape) -> None:
        for K in (K for row in self.K for K in row if K is not None):
            K.build(input_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def call(self, states: Sequence[Tensor | None], i: int = 0) -> list[Tensor | None]:
        unread = self.states - 1 if i == self.uses - 1 else 0
        return [None] * unread + [self._driven(row, states, i) for row in self.K[unread:]]

    def _driven(self, row: Sequence[Any], states: Sequence[Tensor | None], i: int) -> Tensor:
        return steps.superpose(
            [K(x, i=i - (j > 0)) for j, (K, x) in enumerate(zip(row, states, strict=True)) if x is not None]
        )
