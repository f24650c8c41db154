"""Layers of a reversible network besides its levels: halves of the channels, their transfers, a state at rest."""

import keras
from keras import ops

from keras_mgnet.annotations import DType, Shape, Tensor
from keras_mgnet.layers import steps
from keras_mgnet.layers.fields.field import Field
from keras_mgnet.serialization import serializable


@serializable
class CouplingTransfer(keras.layers.Layer):
    """Transfers a pair of states to another grid or other channels: y_1 = R_1 x_1 + F(x_2), y_2 = R_2 x_2 + G(y_1).

    It is RevNet's transition unit.

    Args:
        branch: a field whose use 0 is F, which has the stride, and whose use 1 is G.
        R1, R2: the shortcuts.

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
    """Splits the channels in two halves, x -> (x_1, x_2): (N, H, W, 2c) -> (N, H, W, c) twice.

    Example:
        >>> [tuple(half.shape) for half in Halves()(ops.ones((1, 8, 8, 4)))]
        [(1, 8, 8, 2), (1, 8, 8, 2)]
    """

    def __init__(self, *, name: str | None = None, dtype: DType = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def compute_output_shape(self, input_shape: Shape) -> tuple[Shape, Shape]:
        half = (*input_shape[:-1], input_shape[-1] // 2)
        return half, half

    def call(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x1, x2 = ops.split(x, 2, axis=-1)
        return x1, x2


@serializable
class Rest(keras.layers.Layer):
    """Starts from rest, x -> (0, x): a position without velocity.

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
