"""The branch f^i of an iteration: convolutions with their norms, kernels and norms by use."""

import keras

from keras_mgnet.errors import check_known
from keras_mgnet.layers.conv import Conv
from keras_mgnet.layers.level import build_chain
from keras_mgnet.layers.norm import Norm
from keras_mgnet.layers.sharing import own
from keras_mgnet.serialization import serializable

ORDERS = ("preactivation", "postactivation")
LEADS = ("norm", "activation", "none")
NAMES = {2: ("B", "A"), 3: ("B", "K", "A")}  # a single convolution has the name of its branch


@serializable
class Branch(keras.layers.Layer):
    """f^i(x), i < uses: a chain of convolutions, (N, H, W, c) -> (N, H/s, W/s, widths[-1]).

    "preactivation" is K s ... K s (x), "postactivation" is n K ... s K (x), with s the norm and sigma, n the norm alone.
    Which kernel a use takes is said by `sharing`.

    Args:
        widths: output channels of each convolution.
        kernel_sizes: of each convolution.
        uses: how many iterations it serves.
        sharing: per convolution a table use -> kernel (see `sharing`); None gives each use its own kernels.
        order: one of `ORDERS`.
        lead: what stands before the first convolution: "norm" (with sigma) or, with preactivation for the first use alone,
            "activation" or "none". None for what the order says.
        strides: of the first use, at its first convolution that is larger than 1x1 or else at its first.
        groups: of the convolutions larger than 1x1.
        share_norms: one norm per place for all uses; else the norms of each use are its own.
        dropout: rate of the dropout behind each convolution.
        activation: sigma.
        init: a key of `conv.INITIALIZERS`.

    Example:
        >>> f = Branch((4, 4), (3, 3), uses=2, sharing=((0, 1), (0, 0)))
        >>> tuple(f(keras.ops.ones((1, 8, 8, 4)), i=1).shape), [kernel.name for kernel in f.kernels()]
        ((1, 8, 8, 4), ['B0', 'B1', 'A'])
    """

    def __init__(
        self,
        widths,
        kernel_sizes,
        *,
        uses=1,
        sharing=None,
        order="preactivation",
        lead=None,
        strides=1,
        groups=1,
        share_norms=False,
        dropout=0.0,
        activation="relu",
        init="he_fan_out",
        name=None,
        dtype=None,
    ):
        super().__init__(name=name, dtype=dtype)
        check_known("order", order, ORDERS)
        lead = lead or ("norm" if order == "preactivation" else "none")
        check_known("lead", lead, LEADS)
        policy = self.dtype_policy
        self.uses, self.order, self.lead = uses, order, lead
        self.sharing, self.share_norms = sharing or (own(uses),) * len(widths), share_norms
        self.dropout = keras.layers.Dropout(dropout, name="dropout", dtype=policy) if dropout else None
        self.sigma = keras.layers.Activation(activation, dtype=policy)
        strided = next((p for p, k in enumerate(kernel_sizes) if k > 1), 0)
        self.convs, self.norms = [], []
        for p, (width, k) in enumerate(zip(widths, kernel_sizes, strict=True)):
            count = max(self.sharing[p]) + 1
            options = {"groups": groups if k > 1 else 1, "init": init, "dtype": policy}
            stem = NAMES.get(len(widths), (self.name,))[p]
            names = [f"{stem}{i}" if count > 1 else stem for i in range(count)]
            first = strides if p == strided else 1
            self.convs.append(
                [Conv(width, k, strides=1 if i else first, name=n, **options) for i, n in enumerate(names)]
            )
            self.norms.append(self._norms(p, count == uses, activation if p < len(widths) - 1 else None, policy))

    def _norms(self, p, unshared, activation_behind, policy):
        """The norms at convolution p, by use: before it with preactivation, else behind it."""
        if self.order == "postactivation":
            options = {"activation": activation_behind, "foldable": unshared}
        else:
            behind = self.convs[p - 1] if p else None
            options = {"activation": self.sigma.activation, "foldable": behind is not None and len(behind) == self.uses}
        if self.share_norms:
            return [Norm(**options, name=f"s{p + 1}", dtype=policy)] * self.uses
        missing = 1 if p == 0 and self.order == "preactivation" and self.lead != "norm" else 0
        norms = [Norm(**options, name=f"s{p + 1}_{i}", dtype=policy) for i in range(missing, self.uses)]
        return [None] * missing + norms

    def kernels(self) -> list[Conv]:
        """Returns its convolutions, every shared one once."""
        return [conv for family in self.convs for conv in family]

    def conv(self, p: int, i: int) -> Conv:
        """Returns convolution p of use i."""
        return self.convs[p][self.sharing[p][i]]

    def build(self, input_shape):
        for use in range(self.uses):
            shape = input_shape if use == 0 else self.compute_output_shape(input_shape)
            build_chain([*self._leading(use), *self._trailing(use)], shape)

    def compute_output_shape(self, input_shape):
        for p in range(len(self.convs)):
            input_shape = self.conv(p, 0).compute_output_shape(input_shape)
        return input_shape

    def call(self, x, i=0):
        return self.convolve(self.activate(x, i), i)

    def activate(self, x, i):
        """Returns what the first convolution of use i takes."""
        return _apply(self._leading(i), x)

    def convolve(self, x, i):
        """Returns the rest of f^i, from the first convolution on."""
        return _apply(self._trailing(i), x)

    def _leading(self, i):
        if self.order == "preactivation" and (i > 0 or self.lead == "norm"):
            return [self.norms[0][i]]
        return [self.sigma] if self.lead == "activation" else []

    def _trailing(self, i):
        chain = []
        for p in range(len(self.convs)):
            if p and self.order == "preactivation":
                chain.append(self.norms[p][i])
            chain.append(self.conv(p, i))
            if self.dropout is not None:
                chain.append(self.dropout)
            if self.order == "postactivation":
                chain.append(self.norms[p][i])
        return chain


def basic(channels: int, **options) -> Branch:
    """Returns the branch of two 3x3 convolutions; options as `Branch`."""
    return Branch((channels, channels), (3, 3), **options)


def bottleneck(channels: int, inner: int | None = None, **options) -> Branch:
    """Returns the branch 1x1 - 3x3 - 1x1 with `inner` channels (a fourth of `channels` if not given) inside."""
    inner = inner or channels // 4
    return Branch((inner, inner, channels), (1, 3, 1), **options)


def _apply(chain, x):
    for layer in chain:
        x = layer(x)
    return x
