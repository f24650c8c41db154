"""Layers of a reversible network other than its levels: they make a pair of states, or transfer a pair to another grid."""

import keras
from keras import ops

from keras_mgnet.annotations import DType, Shape, Tensor
from keras_mgnet.layers import steps
from keras_mgnet.layers.fields.field import Field
from keras_mgnet.serialization import serializable


@serializable
class CouplingTransfer(keras.layers.Layer):
    """Transfers a pair of states to another grid or to another number of channels, as RevNet does.

    y_1 = R_1 x_1 + F(x_2)
    y_2 = R_2 x_2 + G(y_1)

    Args:
        branch: a field with two iterations. Iteration 0 is F and has the stride. Iteration 1 is G.
        R1, R2: the shortcuts R_1 and R_2.

    Example:
        >>> from keras_mgnet.layers import ZeroPadding, basic
        >>> unit = CouplingTransfer(basic(4, uses=2, strides=2), ZeroPadding(4, 2), ZeroPadding(4, 2))
        >>> y1, y2 = unit(ops.ones((1, 8, 8, 2)), ops.ones((1, 8, 8, 2)))
        >>> tuple(y2.shape)
        (1, 4, 4, 4)
    """

    def __init__(
        self,
        branch: Field,
        R1: keras.layers.Layer,
        R2: keras.layers.Layer,
        *,
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.branch, self.R1, self.R2 = branch, R1, R2

    def build(self, x1_shape: Shape, x2_shape: Shape) -> None:
        self.branch.build(x2_shape)
        self.R1.build(x1_shape)
        self.R2.build(x2_shape)

    def compute_output_shape(self, x1_shape: Shape, x2_shape: Shape) -> tuple[Shape, Shape]:
        return (self.branch.compute_output_shape(x2_shape),) * 2

    def call(self, x1: Tensor, x2: Tensor) -> tuple[Tensor, Tensor]:
        y1 = steps.coupling(self.R1(x1), self.branch(x2, i=0))
        return y1, steps.coupling(self.R2(x2), self.branch(y1, i=1))


@serializable
class Halves(keras.layers.Layer):
    """Splits the channels of x (N, H, W, 2c) into two halves: returns (x_1, x_2), each (N, H, W, c).

    Args:
        first: number of channels of x_1; None for half of them.

    Example:
        >>> [tuple(half.shape) for half in Halves()(ops.ones((1, 8, 8, 4)))]
        [(1, 8, 8, 2), (1, 8, 8, 2)]
    """

    def __init__(self, first: int | None = None, *, name: str | None = None, dtype: DType = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.first = first

    def compute_output_shape(self, input_shape: Shape) -> tuple[Shape, Shape]:
        *grid, channels = input_shape
        first = self.first or channels // 2
        return (*grid, first), (*grid, channels - first)

    def call(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x1, x2 = ops.split(x, [self.first or x.shape[-1] // 2], axis=-1)
        return x1, x2


@serializable
class Rest(keras.layers.Layer):
    """Returns (0, x): the velocity zero and the position x. An iteration that starts from this pair starts from rest.

    Example:
        >>> [float(part[0, 0, 0, 0]) for part in Rest()(ops.ones((1, 8, 8, 4)))]
        [0.0, 1.0]
    """

    def __init__(self, *, name: str | None = None, dtype: DType = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def compute_output_shape(self, input_shape: Shape) -> tuple[Shape, Shape]:
        return tuple(input_shape), tuple(input_shape)

    def call(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return ops.zeros_like(x), x
