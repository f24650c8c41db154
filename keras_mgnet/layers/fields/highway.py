"""Highway layers: a gate mixes the output of a plain layer with its input."""

from keras_mgnet.annotations import Activation, DType, Shape, Tensor
from keras_mgnet.layers import steps
from keras_mgnet.layers.fields.field import Field
from keras_mgnet.layers.operators.conv import Affine
from keras_mgnet.layers.operators.families import build_all
from keras_mgnet.layers.schemes.scheme import Method
from keras_mgnet.serialization import serializable


@serializable
class Highway(Field):
    """The field of highway layers: f^i(x) = T(x) (H(x) - x), or T(x) H(x) - (1 - C(x)) x with a carry gate.

    H(x) = sigma(W_H * x + b_H) is a plain layer, T(x) = sigmoid(W_T * x + b_T) the transform gate, and
    C(x) = sigmoid(W_C * x + b_C) the carry gate. Each iteration has its own weights. With `Euler`, an iteration is the highway
    layer x <- H(x) T(x) + x C(x), where C = 1 - T without a carry gate. The shape (N, H, W, c) is preserved. Source: Srivastava,
    Greff, Schmidhuber 2015; Lu2017.

    Args:
        channels: c.
        uses: number of layers.
        kernel_size: kernel size of W_H and W_T.
        transfer_bias: initial b_T, and -b_C. A more negative b_T carries over more of x.
        carry_gate: whether C has its own weights.
        activation: sigma.
        init: kernel initialiser, a key of `conv.INITIALIZERS`.

    Example:
        >>> import keras
        >>> from keras_mgnet.layers import Euler, Level
        >>> x = keras.ops.ones((1, 8, 8, 4))
        >>> bool(keras.ops.max(abs(Level(Euler(), Highway(4, 2, transfer_bias=-20.0))(x) - x)) < 1e-6)
        True
    """

    by_euler = Method(
        "forward Euler with a gate for the step size",
        "x_{n+1} = x_n + T(x_n) (H(x_n) - x_n)",
        "1",
        "x' = T(x) (H(x) - x)",
    )
    with_carry = Method(
        "forward Euler with a transform gate and a carry gate",
        "x_{n+1} = T(x_n) H(x_n) + C(x_n) x_n",
        "1",
        "x' = T(x) H(x) - (1 - C(x)) x",
    )

    def __init__(
        self,
        channels: int,
        uses: int,
        *,
        kernel_size: int = 3,
        transfer_bias: float = -4.0,
        carry_gate: bool = False,
        activation: Activation = "relu",
        init: str = "he_fan_out",
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.uses = uses
        options = {"init": init, "dtype": self.dtype_policy}
        gate = {"activation": "sigmoid", **options}
        self.H = [Affine(channels, kernel_size, activation=activation, name=f"H{i}", **options) for i in range(uses)]
        self.T = [Affine(channels, kernel_size, bias=transfer_bias, name=f"T{i}", **gate) for i in range(uses)]
        carries = uses if carry_gate else 0
        self.C = [Affine(channels, kernel_size, bias=-transfer_bias, name=f"C{i}", **gate) for i in range(carries)]
        if carry_gate:
            self.by_euler = self.with_carry

    def build(self, input_shape: Shape) -> None:
        build_all(input_shape, self.H, self.T, self.C)

    def call(self, x: Tensor, i: int = 0) -> Tensor:
        return steps.highway(x, self.H[i](x), self.T[i](x), self.C[i](x) if self.C else None)
