"""Highway networks, convolutional and dense (Srivastava, Greff, Schmidhuber 2015)."""

import math
from collections.abc import Sequence
from typing import Unpack

import keras

from keras_mgnet.annotations import Tensor
from keras_mgnet.errors import check_known
from keras_mgnet.layers import Affine, Euler, Highway, Level
from keras_mgnet.models.checks import positive_integers, within
from keras_mgnet.models.family import Family
from keras_mgnet.models.frame import Frame, FrameArguments
from keras_mgnet.models.network import Network
from keras_mgnet.models.picture import added, one_state
from keras_mgnet.serialization import serializable

KINDS = ("conv", "dense")


@serializable
class HighwayNet(Network):
    """Highway network: a gate T mixes each layer's output H with its input, x_{n+1} = H(x_n) T(x_n) + x_n (1 - T(x_n)).

    H(x) = sigma(W x + b) is a plain layer, where sigma is the activation. T(x) = sigmoid(W_T x + b_T) is the transform gate. A
    carry gate C(x) = sigmoid(W_C x + b_C) can replace 1 - T(x). There are no norms. Between two grids there is a plain layer with
    the new number of channels. A convolution there has stride 2. Source: Lu2017 and Srivastava et al. 2015.

    Args:
        nu: number of highway layers on each grid.
        channels: number of channels, an integer or one per grid.
        kind: "conv" for 3x3 convolutions, or "dense" for fully connected layers on the flattened image. With "dense" a grid has
            one pixel, and a plain layer replaces the stem.
        transfer_bias: initial b_T. The deeper the network, the more negative this value should be.
        carry_gate: whether layers have the carry gate C, x_{n+1} = H(x_n) T(x_n) + x_n C(x_n). Initially b_C = -b_T.

    Example:
        >>> HighwayNet((48,), 50, kind="dense", input_shape=(8, 8, 1)).get_layer("level1").output.shape
        (None, 1, 1, 50)
    """

    family = Family("highway", small={"nu": (1,), "channels": 2}, picture=one_state(added("T · H"), kept="1 − T"))

    def __init__(
        self,
        nu: Sequence[int] = (6, 6, 6),
        channels: int | Sequence[int] = (16, 32, 64),
        *,
        kind: str = "conv",
        transfer_bias: float = -4.0,
        carry_gate: bool = False,
        **arguments: Unpack[FrameArguments],
    ) -> None:
        nu = positive_integers("nu", nu)
        channels = positive_integers("channels", channels, len(nu))
        transfer_bias = within("transfer_bias", transfer_bias, -100, 100)
        check_known("kind", kind, KINDS)

        with Frame(**arguments) as frame:
            dense, options = kind == "dense", frame.plain
            kernel_size, strides = (1, 1) if dense else (3, 2)
            x = _flat(frame) if dense else frame.begin(channels[0], len(nu), normalize=False)
            for level, (n, c) in enumerate(zip(nu, channels, strict=True), start=1):
                if level > 1 or dense:
                    name = "stem" if level == 1 else f"transfer{level}"
                    x = Affine(c, kernel_size, strides=strides, name=name, **options)(x)
                gate = {"transfer_bias": transfer_bias, "carry_gate": carry_gate, **options}
                field = Highway(c, n, kernel_size=kernel_size, name="f", **gate)
                x = Level(Euler(dtype=options["dtype"]), field, name=f"level{level}", dtype=options["dtype"])(x)
        name = f"highway_{kind}_{'x'.join(map(str, nu))}"
        super().__init__(frame, x, name=name)


def _flat(frame: Frame) -> Tensor:
    """Returns the flattened image as a grid of one pixel, (N, 1, 1, H W C)."""
    image = frame.image(levels=1)
    if None in image.shape[1:]:
        raise ValueError(f"expected a fixed image size for dense layers. Received: input_shape={image.shape[1:]}")
    return keras.layers.Reshape((1, 1, math.prod(image.shape[1:])), name="flatten", dtype=frame.common["dtype"])(image)
