"""The way up between two grids of an operator network: a learned transposed convolution."""

from typing import Any

import keras
from keras import ops

from keras_mgnet.annotations import DType, Shape, Tensor
from keras_mgnet.layers.operators.conv import Conv
from keras_mgnet.serialization import serializable


@serializable
class Prolongation(keras.layers.Layer):
    """Adds the feature of the coarse grid to that of the fine grid: (u, e) -> u + T *_2^T e, He, Liu, Xu 2024.

    T *_2^T is the transpose of a convolution T with stride 2. T has a 3x3 kernel if the fine grid has an odd number of rows and
    a 4x4 kernel if the number is even or unknown, so that T maps the fine grid exactly to the coarse grid. A built layer takes
    other grids too, if their height and width are odd or even as the kernel is.

    Args:
        padded: whether zeros surround the fine grid. Coarse points are then the fine points 0, 2, 4 and so on, else 1, 3, 5 and
            so on.
        init: kernel initialiser, a key of `conv.INITIALIZERS`.

    Example:
        >>> tuple(Prolongation()(ops.ones((1, 7, 7, 3)), ops.ones((1, 4, 4, 5))).shape)
        (1, 7, 7, 3)
    """

    def __init__(
        self, *, padded: bool = True, init: str = "torch_default", name: str | None = None, dtype: DType = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.padded, self.init = padded, init
        self.T: Any = None

    def build(self, u_shape: Shape, e_shape: Shape) -> None:
        odd = (u_shape[1] or 0) % 2
        options = {"padded": self.padded, "init": self.init, "name": "T", "dtype": self.dtype_policy}
        self.T = Conv(e_shape[-1], 3 if odd else 4, strides=2, **options)
        self.T.build(u_shape)

    def compute_output_shape(self, u_shape: Shape, e_shape: Shape) -> Shape:
        return tuple(u_shape)

    def call(self, u: Tensor, e: Tensor) -> Tensor:
        k, sides = self.T.kernel_size[0], u.shape[1:3]
        if any(isinstance(n, int) and n % 2 != k % 2 for n in sides):
            kind = "odd" if k % 2 else "even"
            raise ValueError(
                f"expected {kind} height and width on the grids of {self.name}: choose a grid that all transfers divide. "
                f"Received: {' x '.join(map(str, sides))} points"
            )
        return u + self.T.adjoint(e, ops.shape(u)[1:3])
