"""The field of a DenseNet. Every iteration reads all earlier states."""

from keras_mgnet.annotations import Activation, DType, Shape, Tensor
from keras_mgnet.layers.fields.branch import Branch
from keras_mgnet.layers.fields.field import Field
from keras_mgnet.serialization import serializable


@serializable
class DenseStates(Field):
    """The field of a dense block, for the scheme `Dense`: f^i([x_0, ..., x_i]) = x_{i+1}, where [ ] is the concatenation.

    If x_0 has c channels, f^i maps (N, H, W, c + i growth) to (N, H, W, growth).
    Source: Huang, Liu, van der Maaten, Weinberger 2017.

    Args:
        growth: channels of each new state.
        uses: number of iterations.
        bottleneck: whether f^i is A s B s instead of K s. s is a norm followed by sigma, A and K are 3x3 convolutions to `growth`
            channels, and B is a 1x1 convolution to 4 * growth channels.
        dropout: dropout rate after each convolution.
        activation, norm, init: as in `Chain`.

    Example:
        >>> import keras
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
