"""The branch f^i of a residual block: two 3x3 convolutions or a bottleneck, with the norms before or after the convolutions."""

from collections.abc import Sequence
from typing import Any

from keras_mgnet.annotations import Activation, DType, Shape
from keras_mgnet.errors import check_known
from keras_mgnet.layers.fields.chain import Chain
from keras_mgnet.serialization import serializable

ORDERS = ("preactivation", "postactivation")
LEADS = ("norm", "activation", "none")
NAMES = {2: ("B", "A"), 3: ("B", "K", "A")}  # a single convolution has the name of its branch


@serializable
class Branch(Chain):
    """The branch f^i of residual block i: a chain of convolutions K. `uses` is the number of blocks.

    Maps (N, H, W, c) to (N, ceil(H/strides), ceil(W/strides), widths[-1]). sigma is the activation, n is a norm, and s
    is a norm followed by sigma. "preactivation" computes K s ... K s (x), and "postactivation" computes n K ... s K (x).

    Args:
        widths: output channels of each convolution.
        kernel_sizes: kernel size of each convolution.
        uses, sharing, share_norms, dropout, activation, norm, init: as in `Chain`.
        order: "preactivation" or "postactivation".
        lead: what comes before the first convolution. With preactivation, the default is "norm", a norm followed by sigma. In
            block 0, "activation" omits this norm, and "none" omits norm and sigma. With postactivation, the default is "none",
            and "activation" puts sigma there in every block.
        strides: stride of block 0, in the first convolution larger than 1x1. If all are 1x1, in the first convolution.
        groups: number of groups of the convolutions larger than 1x1.

    Example:
        >>> import keras
        >>> f = Branch((4, 4), (3, 3), uses=2, sharing=((0, 1), (0, 0)))
        >>> tuple(f(keras.ops.ones((1, 8, 8, 4)), i=1).shape), [kernel.name for kernel in f.kernels()]
        ((1, 8, 8, 4), ['B0', 'B1', 'A'])
    """

    def __init__(
        self,
        widths: Sequence[int],
        kernel_sizes: Sequence[int],
        *,
        uses: int = 1,
        sharing: Sequence[Sequence[int]] | None = None,
        order: str = "preactivation",
        lead: str | None = None,
        strides: int = 1,
        groups: int = 1,
        share_norms: bool = False,
        dropout: float = 0.0,
        activation: Activation = "relu",
        norm: str | None = "batch",
        init: str = "he_fan_out",
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        check_known("order", order, ORDERS)
        preactivation, between = order == "preactivation", ("sigma",) * (len(widths) - 1)
        lead = lead or ("norm" if preactivation else "none")
        check_known("lead", lead, LEADS)
        first = "activation" if lead == "activation" else None
        strided = next((p for p, k in enumerate(kernel_sizes) if k > 1), 0)
        super().__init__(
            [
                (width, k, strides if p == strided else 1, groups if k > 1 else 1)
                for p, (width, k) in enumerate(zip(widths, kernel_sizes, strict=True))
            ],
            ("sigma", *between, None) if preactivation else (first, *between, "norm"),
            lead=lead if preactivation and lead != "norm" else None,
            uses=uses,
            sharing=sharing,
            names=NAMES.get(len(widths)),
            share_norms=share_norms,
            dropout=dropout,
            activation=activation,
            norm=norm,
            init=init,
            name=name,
            dtype=dtype,
        )

    def build(self, input_shape: Shape) -> None:
        self.build_use(0, input_shape)
        for use in range(1, self.uses):
            self.build_use(use, self.compute_output_shape(input_shape))


def basic(channels: int, **options: Any) -> Branch:
    """Returns a branch of two 3x3 convolutions. Options as in `Branch`."""
    return Branch((channels, channels), (3, 3), **options)


def bottleneck(channels: int, inner: int | None = None, **options: Any) -> Branch:
    """Returns a branch 1x1 - 3x3 - 1x1 with `inner` channels inside, by default a quarter of `channels`.

    Options as in `Branch`.
    """
    inner = inner or channels // 4
    return Branch((inner, inner, channels), (1, 3, 1), **options)
