"""PolyNet's modules: sums of compositions of maps on one grid, such as F + F^2."""

from collections.abc import Sequence
from typing import NamedTuple

import keras

from keras_mgnet.annotations import Activation, DType, Shape, Tensor
from keras_mgnet.errors import check_known
from keras_mgnet.layers import steps
from keras_mgnet.layers.fields.field import Field, Sum
from keras_mgnet.layers.schemes.scheme import Method
from keras_mgnet.serialization import serializable


class Kind(NamedTuple):
    """Describes one kind of module, a sum of terms."""

    maps: tuple[int, ...]  # for each term the index of its map
    composed: bool  # whether a map takes the output of the map before it; if not, all maps take x


KINDS = {
    "plain": Kind((0,), False),
    "poly2": Kind((0, 0), True),
    "poly3": Kind((0, 0, 0), True),
    "mpoly2": Kind((0, 1), True),
    "mpoly3": Kind((0, 1, 2), True),
    "2way": Kind((0, 1), False),
    "3way": Kind((0, 1, 2), False),
}


def module_kernels(kinds: Sequence[str]) -> tuple[int, ...]:
    """Returns the sharing table of the argument `F` of `Poly`. Equal maps of a module have the same kernels.

    Entry n of the table is the index of the kernels of application n. The applications are counted through all modules, and each
    module applies one map per term.

    Example:
        >>> module_kernels(("poly2", "2way", "poly2"))
        (0, 0, 1, 2, 3, 3)
    """
    table: list[int] = []
    for kind in kinds:
        first = max(table, default=-1) + 1
        table += [first + m for m in KINDS[kind].maps]
    return tuple(table)


@serializable
class Poly(Field):
    """The modules of PolyNet as a field for `Euler` (Zhang et al. 2017). Iteration i computes module i without the identity I.

    F, G and H are different maps. GF(x) = G(F(x)) and F^2(x) = F(F(x)).

    - "plain": F.
    - "poly2": F + F^2, and "poly3": F + F^2 + F^3.
    - "mpoly2": F + GF, and "mpoly3": F + GF + HGF.
    - "2way": F + G, and "3way": F + G + H.

    A step of backward Euler applies (I - F)^{-1}. I + F + F^2 and I + F + F^2 + F^3 are truncated Neumann series of (I - F)^{-1}
    (Lu2018, section 2.1). They are close to (I - F)^{-1} only for small F, and they are not stable for large F as backward Euler
    is. For F = -3 I a step of poly2 multiplies x by 7, and a step of backward Euler by 1/4.

    Args:
        F: a field that holds the maps of all modules. Iteration n of this field is the n-th map that the modules apply, counted
            from 0 through all modules. With the sharing table from `module_kernels`, equal maps of a module have the same
            kernels. Each application has its own norms.
        kinds: the kind of each module, a key of `KINDS`.
        scales: for each module the factor that multiplies its output; None for 1.
        activation: sigma, applied to the output of a map before the next map takes this output, so F^2 is F(sigma(F(x))). None
            if the maps themselves begin with an activation.

    Example:
        >>> from keras_mgnet.layers import basic
        >>> table = module_kernels(("poly2", "poly2"))
        >>> f = Poly(basic(4, uses=4, sharing=(table, table)), ("poly2", "poly2"))
        >>> tuple(f(keras.ops.ones((1, 8, 8, 4)), i=1).shape), [kernel.name for kernel in f.F.kernels()]
        ((1, 8, 8, 4), ['B0', 'B1', 'A0', 'A1'])
    """

    neumann = Method(
        "truncated Neumann series of backward Euler",
        "x_{n+1} = x_n + F(x_n) + F(F(x_n)) + ...",
        "1",
        "x' = F(x); x_{n+1} = (I - F)^{-1} x_n for small F",
    )

    def __init__(
        self,
        F: Field,
        kinds: Sequence[str],
        *,
        scales: Sequence[float] | None = None,
        activation: Activation = None,
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        for kind in kinds:
            check_known("kind", kind, KINDS)
        self.F, self.kinds, self.scales = F, tuple(KINDS[kind] for kind in kinds), scales
        self.uses = len(kinds)
        self.by_euler = self.neumann if any(kind.composed for kind in self.kinds) else Sum.by_euler
        self.sigma = keras.activations.get(activation)

    def build(self, input_shape: Shape) -> None:
        self.F.build(input_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return self.F.compute_output_shape(input_shape)

    def call(self, x: Tensor, i: int = 0) -> Tensor:
        kind, first = self.kinds[i], sum(len(kind.maps) for kind in self.kinds[:i])
        maps = [self.F.at(first + n) for n in range(len(kind.maps))]
        f = steps.powers(x, maps, self.sigma) if kind.composed else steps.superpose([F(x) for F in maps])
        return f if self.scales is None else self.scales[i] * f
