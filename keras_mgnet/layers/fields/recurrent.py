"""The field of a recurrent residual network: several states on one grid, with kernels shared by all steps."""

import itertools
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
    """The field of a recurrent network with S states, for the scheme `EulerSystem`: f_i(x_1, ..., x_S) = sum_j K_ij(x_j).

    f_i is the increment of state x_i (N, H, W, c). Each K_ij is a branch of two 3x3 convolutions. The sum leaves out the states
    that are zero: x_2, ..., x_S in the first iteration. The last iteration computes f_S only, because the level returns x_S only.
    With S = 1 the field is one branch. Source: Liao & Poggio 2016; Lu2017.

    Args:
        channels: number of channels c of every state.
        uses: number of steps.
        states: S.
        share_K: whether all steps share the kernels of K_ij, as in a recurrent network.
        share_norms: whether all steps share the norms of K_ij. By default each step has its own norms (time-specific
            normalisation).
        activation, norm, init: as in `Chain`.

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
        for i, j in itertools.product(range(states), repeat=2):
            setattr(self, f"K{i + 1}_{j + 1}", self._transition(channels, i, j, options))

    def _transition(self, channels: int, i: int, j: int, options: dict[str, Any]) -> Branch | None:
        """Returns K_ij for the steps in which x_j is not zero and f_i is needed, or None if there are no such steps."""
        uses = self.uses - (j > 0) - (i < self.states - 1)
        sharing = (shared(uses),) * 2 if self.share_K else None
        return basic(channels, uses=uses, sharing=sharing, name=f"K{i + 1}{j + 1}", **options) if uses > 0 else None

    def row(self, i: int) -> list[Branch | None]:
        """Returns K_i1, ..., K_iS, counted from i = 0. They are the attributes K1_1, ..., KS_S."""
        return [getattr(self, f"K{i + 1}_{j + 1}") for j in range(self.states)]

    def build(self, input_shape: Shape) -> None:
        for K in itertools.chain.from_iterable(map(self.row, range(self.states))):
            if K is not None:
                K.build(input_shape)

    def call(self, states: Sequence[Tensor | None], i: int = 0) -> list[Tensor | None]:
        unread = self.states - 1 if i == self.uses - 1 else 0
        return [None] * unread + [self._driven(self.row(k), states, i) for k in range(unread, self.states)]

    def _driven(self, row: Sequence[Any], states: Sequence[Tensor | None], i: int) -> Tensor:
        return steps.superpose(
            [K(x, i=i - (j > 0)) for j, (K, x) in enumerate(zip(row, states, strict=True)) if x is not None]
        )
