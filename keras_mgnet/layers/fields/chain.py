"""Chains of convolutions, norms and activations. The fields of most residual networks are made of chains."""

import itertools
from collections.abc import Sequence
from typing import Any

import keras

from keras_mgnet.annotations import Activation, DType, Shape, Tensor
from keras_mgnet.errors import unknown
from keras_mgnet.layers.fields.field import Field
from keras_mgnet.layers.operators.conv import Conv
from keras_mgnet.layers.operators.families import PLACES, Kernel, apply, build_chain, conv_family, norm_family
from keras_mgnet.layers.sharing import own
from keras_mgnet.serialization import serializable


@serializable
class Chain(Field):
    """A chain of P convolutions with norms and activations: f^i(x) = s_P K_P s_{P-1} ... K_1 s_0 (x) in iteration i.

    Maps (N, H, W, c) to (N, H', W', filters of K_P).

    Args:
        kernels: the convolutions K_1, ..., K_P, each a tuple (filters, size, strides, groups, padded). Only filters is required.
        places: s_0, ..., s_P. Each is None (nothing), "norm", or "sigma" (a norm followed by the activation). s_0 can also be
            "activation", the activation alone.
        lead: what replaces s_0 in iteration 0: "activation", or "none" for nothing; None keeps s_0.
        uses: number of iterations.
        sharing: a table for each convolution. Entry i is the index of the kernel in iteration i (see `layers.sharing`). By
            default each iteration has its own kernels.
        names: names of the convolutions. By default they have the name of the chain.
        share_norms: whether all iterations have the same norms; by default each has its own.
        dropout: dropout rate after each convolution.
        activation: the activation sigma.
        norm: "batch" for batch normalisation, None for no norm.
        init: kernel initialiser, a key of `conv.INITIALIZERS`.

    Example:
        >>> f = Chain(((4, 1), (4, 3)), (None, "sigma", "norm"), uses=2, sharing=((0, 1), (0, 0)), names=("B", "A"))
        >>> tuple(f(keras.ops.ones((1, 8, 8, 4)), i=1).shape), [kernel.name for kernel in f.kernels()]
        ((1, 8, 8, 4), ['B0', 'B1', 'A'])
    """

    def __init__(
        self,
        kernels: Sequence[Sequence[Any]],
        places: Sequence[str | None],
        *,
        lead: str | None = None,
        uses: int = 1,
        sharing: Sequence[Sequence[int]] | None = None,
        names: Sequence[str] | None = None,
        share_norms: bool = False,
        dropout: float = 0.0,
        activation: Activation = "relu",
        norm: str | None = "batch",
        init: str = "he_fan_out",
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        check_places(places, lead)
        policy = self.dtype_policy
        self.uses, self.lead = uses, lead
        self.sharing = sharing or (own(uses),) * len(kernels)
        self.dropout = keras.layers.Dropout(dropout, name="dropout", dtype=policy) if dropout else None
        self.sigma = keras.layers.Activation(activation, dtype=policy)
        self.places = tuple(places)
        convs = [
            conv_family(name, Kernel(*kernel), max(table) + 1, init, policy)
            for name, kernel, table in zip(names or (self.name,) * len(kernels), kernels, self.sharing, strict=True)
        ]
        normed = [(q, place) for q, place in enumerate(places) if place in ("norm", "sigma")]
        norms = [
            self._family(f"s{n}", q, place, share_norms, activation, norm)
            for n, (q, place) in enumerate(normed, start=1)
        ]
        self.lengths = len(convs), len(norms)
        for n, families in enumerate(
            itertools.zip_longest(convs, norms), start=1
        ):  # the order of the variables in files
            for symbol, family in zip("Ks", families, strict=True):
                if family is not None:
                    setattr(self, f"{symbol}{n}", family)  # Keras before 3.15 saves no layers of lists inside lists

    def _family(
        self, name: str, q: int, place: str, share_norms: bool, activation: Activation, norm: str | None
    ) -> list[Any]:
        """Returns the norms of s_q, one per iteration.

        A norm is foldable if no other iteration uses the convolution before the norm.
        """
        before = self.sharing[q - 1] if q else (0,) * self.uses
        foldable = [q > 0 and before.count(k) == 1 for k in before]
        if share_norms:
            return norm_family(name, place, 1, activation, self.dtype_policy, all(foldable), norm=norm) * self.uses
        missing = 1 if q == 0 and self.lead else 0
        norms = norm_family(name, place, self.uses, activation, self.dtype_policy, foldable, missing, norm)
        return [None] * missing + norms

    def convs(self) -> list[list[Conv]]:
        """Returns the instances of each of the convolutions K_1, ..., K_P. They are the attributes K1, ..., KP."""
        return [getattr(self, f"K{p}") for p in range(1, self.lengths[0] + 1)]

    def norms(self) -> list[list[Any]]:
        """Returns the norms of all iterations, for each of the places that have some. They are the attributes s1, s2, ..."""
        return [getattr(self, f"s{n}") for n in range(1, self.lengths[1] + 1)]

    def kernels(self) -> list[Conv]:
        """Returns the convolutions. A shared convolution is in the list once."""
        return [conv for family in self.convs() for conv in family]

    def conv(self, p: int, i: int) -> Conv:
        """Returns convolution K_{p+1} of iteration i."""
        return self.convs()[p][self.sharing[p][i]]

    def build(self, input_shape: Shape) -> None:
        for use in range(self.uses):
            self.build_use(use, input_shape)

    def build_use(self, i: int, input_shape: Shape) -> None:
        """Builds the layers of iteration i for inputs of this shape."""
        build_chain([*self._leading(i), *self._trailing(i)], input_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        for p in range(self.lengths[0]):
            input_shape = self.conv(p, 0).compute_output_shape(input_shape)
        return input_shape

    def call(self, x: Tensor, i: int = 0) -> Tensor:
        return self.convolve(self.activate(x, i), i)

    def activate(self, x: Tensor, i: int) -> Tensor:
        """Returns s_0(x) of iteration i, the input of the first convolution."""
        return apply(self._leading(i), x)

    def convolve(self, x: Tensor, i: int) -> Tensor:
        """Applies the rest of f^i, from the first convolution on, to the result of `activate`."""
        return apply(self._trailing(i), x)

    def _leading(self, i: int) -> list[Any]:
        place = self.lead if i == 0 and self.lead else self.places[0]
        if place in ("norm", "sigma"):
            return [self.norms()[0][i]]
        return [self.sigma] if place == "activation" else []

    def _trailing(self, i: int) -> list[Any]:
        chain: list[Any] = []
        first = self.lengths[1] - sum(place is not None for place in self.places[1:])
        norms = iter(self.norms()[first:])
        for p, place in enumerate(self.places[1:]):
            chain.append(self.conv(p, i))
            if self.dropout is not None:
                chain.append(self.dropout)
            if place is not None:
                chain.append(next(norms)[i])
        return chain


def check_places(places: Sequence[str | None], lead: str | None) -> None:
    """Raises ValueError for an unknown entry of `places` or an unknown `lead` (see `Chain`)."""
    known = {"places[0]": (places[0], (*PLACES, "activation")), "lead": (lead, (None, "activation", "none"))}
    known |= {f"places[{p}]": (place, PLACES) for p, place in enumerate(places) if p}
    for argument, (value, allowed) in known.items():
        if value not in allowed:
            raise unknown(argument, value, map(str, allowed))
