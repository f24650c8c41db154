"""FB-ResNet: a ResNet that iterates the feature u, with linear or nonlinear A and B (He2019, Algorithm 2)."""

from collections.abc import Sequence
from typing import Any, Unpack

from keras_mgnet.errors import unknown
from keras_mgnet.layers import GridLevel, GridTransfer
from keras_mgnet.models.checks import positive_integers
from keras_mgnet.models.family import Family, Row, Space, accuracies
from keras_mgnet.models.frame import Frame, FrameArguments
from keras_mgnet.models.mgnet import descend
from keras_mgnet.models.network import Network
from keras_mgnet.models.picture import smoothing
from keras_mgnet.serialization import serializable

MAPS = {  # what comes before and after the convolution K, He2019 (4.7)
    "linear": (None, None),
    "post": (None, "sigma"),
    "pre": ("sigma", None),
    "both": ("sigma", "sigma"),
}
TABLE = {  # A -> accuracies on CIFAR-10 and exact parameters for B in the order of `MAPS`; the table prints no sizes
    "linear": ((70.96, 92.82, 93.01, 93.49), (12_503_882, 12_507_722, 12_507_722, 12_511_562)),
    "pre": ((92.64, 92.54, 93.46, 93.15), (12_507_722, 12_511_562, 12_511_562, 12_515_402)),
    "post": ((91.91, 92.14, 93.37, 93.17), (12_507_722, 12_511_562, 12_511_562, 12_515_402)),
    "both": ((92.70, 93.23, 93.37, 93.40), (12_511_562, 12_515_402, 12_515_402, 12_519_242)),
}
ROWS = tuple(
    Row(f"fb_resnet_{A}_{B}", {"A": A, "B": B}, params, accuracies("He2019 Table 1", cifar10=accuracy))
    for A, columns in TABLE.items()
    for B, accuracy, params in zip(MAPS, *columns, strict=True)
)


@serializable
class FBResNet(Network):
    """FB-ResNet: on each grid, a stationary iteration that solves A(u) = f for the feature u, given the data f.

    Iteration i on grid l, and the start of grid l+1, are

        u^{l,i} = u^{l,i-1} + B^{l,i}(f^l - A^l(u^{l,i-1}))
        u^{l+1,0} = Pi *_2 u^{l,nu_l}
        f^{l+1} = R *_2 (f^l - A^l(u^{l,nu_l})) + A^{l+1}(u^{l+1,0})

    *_2 is a convolution with stride 2. No norm or activation follows Pi and R. If A is linear, each iteration computes the
    correction e = B(r) and updates u <- u + e and r <- r - A * e, without f. For B="both" this is (4.6). Source: He2019
    (4.3)-(4.7), Table 1.

    Args:
        A, B: the form of A^l and of B^{l,i}: "linear" is K * x, "post" is s(K * x), "pre" is K * s(x), "both" is s(K * s(x)).
            K is a 3x3 convolution, and s is a norm followed by the activation. See `keras_mgnet.layers.LinearSystem`.
        nu: number of iterations on each grid. The length of nu is the number of grids.
        channels: number of channels of u and f, an integer or one per grid.

    Example:
        >>> FBResNet("post", "pre", nu=(1, 1), channels=4, input_shape=(8, 8, 1)).name
        'fb_resnet_post_pre'
    """

    family = Family(
        recipe="he2019_resnet18",
        small={"nu": (1,), "channels": 2},
        picture=smoothing("A(·)", "B(·)"),
        space=Space("channels", "nu", choices={"A": tuple(MAPS), "B": tuple(MAPS)}),
        rows=ROWS,
    )

    def __init__(
        self,
        A: str = "linear",
        B: str = "both",
        *,
        nu: Sequence[int] = (2, 2, 2, 2),
        channels: int | Sequence[int] = (64, 128, 256, 512),
        **arguments: Unpack[FrameArguments],
    ) -> None:
        for argument, value in (("A", A), ("B", B)):
            if not isinstance(value, str) or value not in MAPS:
                raise unknown(argument, value, MAPS)
        nu = positive_integers("nu", nu)
        grids = list(zip(range(1, len(nu) + 1), nu, positive_integers("channels", channels, len(nu)), strict=True))

        with Frame(**arguments) as frame:
            form = "residual" if A == "linear" else "feature"
            maps: dict[str, Any] = {"A": MAPS[A], "B": MAPS[B], "share_B": False, "form": form}
            levels = [
                GridLevel(c, c, n, **maps, last=j == len(nu), name=f"level{j}", **frame.common) for j, n, c in grids
            ]
            transfers = [
                GridTransfer(c, c, normalize=False, name=f"transfer{j}", **frame.common) for j, _, c in grids[1:]
            ]
            u = descend(frame.begin(levels[0].field.channels, len(nu)), levels, transfers)
        super().__init__(frame, u, name=f"fb_resnet_{A}_{B}")
