"""Highway layers: a transform gate mixes what a plain layer computes with what it was given."""

import keras

from keras_mgnet.layers import steps
from keras_mgnet.layers.conv import Conv
from keras_mgnet.layers.level import build_all
from keras_mgnet.serialization import serializable


@serializable
class Affine(Conv):
    """The plain layer sigma(W * x + b): `Conv` with a bias and an activation; with 1x1 kernels on one pixel a dense layer.

    Args:
        filters, kernel_size, strides, init: as `Conv`.
        bias: initial value of b.
        activation: sigma, or None.

    Example:
        >>> Affine(2, 1, bias=3.0)(keras.ops.zeros((1, 1, 1, 4))).numpy().tolist()
        [[[[3.0, 3.0]]]]
    """

    def __init__(
        self, filters, kernel_size=3, *, strides=1, bias=0.0, activation=None, init="he_fan_out", name=None, dtype=None
    ):
        super().__init__(filters, kernel_size, strides=strides, init=init, name=name, dtype=dtype)
        self.use_bias, self.bias_initializer = True, keras.initializers.Constant(bias)
        self.activation = keras.activations.get(activation)


@serializable
class HighwayLevel(keras.layers.Layer):
    """nu highway layers: x_{i+1} = H(x_i) T(x_i) + x_i (1 - T(x_i)), H = sigma(W_H * x + b_H), T = sigmoid(W_T * x + b_T).

    (N, H, W, c) -> the same. Forward Euler for x' = T(x) (H(x) - x). Source: Srivastava, Greff, Schmidhuber 2015; Lu2017.

    Args:
        channels: c.
        nu: number of layers.
        kernel_size: of W_H and W_T.
        transfer_bias: initial b_T; the more negative, the more x is carried.
        activation: sigma.
        init: a key of `conv.INITIALIZERS`.

    Example:
        >>> x = keras.ops.ones((1, 8, 8, 4))
        >>> bool(keras.ops.max(abs(HighwayLevel(4, nu=2, transfer_bias=-20.0)(x) - x)) < 1e-6)
        True
    """

    def __init__(
        self,
        channels,
        nu,
        *,
        kernel_size=3,
        transfer_bias=-4.0,
        activation="relu",
        init="he_fan_out",
        name=None,
        dtype=None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.nu = nu
        options = {"init": init, "dtype": self.dtype_policy}
        gate = {"bias": transfer_bias, "activation": "sigmoid", **options}
        self.H = [Affine(channels, kernel_size, activation=activation, name=f"H{i}", **options) for i in range(nu)]
        self.T = [Affine(channels, kernel_size, name=f"T{i}", **gate) for i in range(nu)]

    def build(self, input_shape):
        build_all(input_shape, self.H, self.T)

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, x):
        for H, T in zip(self.H, self.T, strict=True):
            x = steps.highway(x, H(x), T(x))
        return x
