"""The field of an MgNet level: the map A from the feature to the data, the smoother B, and the norms of every iteration."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from keras_mgnet.annotations import Activation, DType, Shape, Tensor
from keras_mgnet.errors import check_known
from keras_mgnet.layers import steps
from keras_mgnet.layers.fields.field import Field
from keras_mgnet.layers.operators.families import Kernel, build_all, conv_family, norm_family
from keras_mgnet.layers.sharing import instance
from keras_mgnet.serialization import serializable

FORMS = ("residual", "feature")

Data = tuple[Tensor, ...]  # (f,), or (f, None) if u^0 = 0


@serializable
class LinearSystem(Field):
    """The equation A(u) = f on one grid, with A(u) = t2(A * t1(u)) and the correction e = s2(B * s1(r)), He2019 (4.3), (4.7).

    u is the feature, f the data and r = f - A(u) the residual. A and B are convolutions. Each of s1, s2, t1 and t2
    is the identity, a norm, or a norm followed by the activation. Symbols: docs/reference/symbols.md.

    In the residual form, each iteration updates r <- r - A * e. A must be linear: t1 and t2 are the identity. In the feature
    form, each iteration computes r = f - A(u) from f.

    Every iteration has its own pair (s1, s2). The number of pairs (t1, t2) is also `uses`. The evaluations of A(u) use these
    pairs in order:

    - If the level gets u^0, the pairs 0, ..., uses-1 belong to A(u^0), ..., A(u^{uses-1}). A(u^uses) uses the last pair again.
    - If the level gets no u^0, u^0 = 0 and A(u^0) counts as zero. The pairs 0, ..., uses-1 belong to A(u^1), ..., A(u^uses).

    Args:
        channels, channels_f: numbers of channels c_u of u and c_f of f and r.
        uses: number of iterations.
        share_A, share_B: whether all iterations share one A and one B.
        A, B: the pairs (t1, t2) and (s1, s2). Each entry is None, "norm" or "sigma" (a norm followed by the activation).
        form: "residual" or "feature".
        has_B: whether the system has a B. `PolynomialSmoother` works without a B.
        operators: a pair (A, B) of layers that replaces the 3x3 convolutions A and B. All iterations share A. B may be a list of
            layers, which the iterations use in turn.
        last: whether the rest of the network ignores the residual of the last u. The moving statistics of t1 and t2 then ignore
            the last evaluation of A(u), too.
        activation: the activation sigma.
        norm: "batch" for batch normalisation, None for no norm.
        init: kernel initialiser, a key of `conv.INITIALIZERS`.

    Example:
        >>> from keras import ops
        >>> system = LinearSystem(4, 3, 2)
        >>> system.build((None, 8, 8, 3))
        >>> tuple(system.at(0).correction(ops.ones((1, 8, 8, 3))).shape)
        (1, 8, 8, 4)
    """

    def __init__(
        self,
        channels: int,
        channels_f: int,
        uses: int,
        *,
        share_A: bool = True,
        share_B: bool = True,
        A: Sequence[str | None] = (None, None),
        B: Sequence[str | None] = ("sigma", "sigma"),
        form: str = "residual",
        has_B: bool = True,
        operators: Sequence[Any] | None = None,
        last: bool = False,
        activation: Activation = "relu",
        norm: str | None = "batch",
        init: str = "he_fan_out",
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        check_known("form", form, FORMS)
        if form == "residual" and any(A):
            raise ValueError(f"expected form='feature' for a nonlinear A. Received: form={form!r}, A={A}")
        policy = self.dtype_policy
        self.channels, self.uses, self.last = channels, uses, last
        self.form, self.is_linear = form, not any(A)
        if operators is not None:
            A_layer, B_layers = operators
            self.A, self.B = [A_layer], B_layers if isinstance(B_layers, (list, tuple)) else [B_layers]
        else:
            self.A = conv_family("A", Kernel(channels_f), 1 if share_A else uses, init, policy)
            self.B = conv_family("B", Kernel(channels), 1 if share_B else uses, init, policy) if has_B else []
        alone = len(self.B) == uses
        self.s1, self.s2, self.t1, self.t2 = (
            norm_family(name, place, uses, activation, policy, foldable, norm=norm)
            for name, place, foldable in zip(
                ("s1", "s2", "t1", "t2"), (*B, *A), (False, alone, False, False), strict=True
            )
        )

    def build(self, r_shape: Shape, u_shape: Shape | None = None) -> None:
        u_shape, r_shape = self.compute_output_shape(r_shape)
        build_all(u_shape, self.A, self.s2, self.t1)
        build_all(r_shape, self.B, self.s1, self.t2)

    def compute_output_shape(
        self, r_shape: Shape, u_shape: Shape | None = None, e_shape: Shape | None = None
    ) -> tuple[Shape, Shape]:
        return (*r_shape[:-1], self.channels), tuple(r_shape)

    def at(self, i: int) -> "Equation":
        return Equation(self, i)

    def correction(self, i: int, r: Tensor, smooth: Callable[[Tensor], Tensor]) -> Tensor:
        """Returns e = s2(B * s1(r)) of iteration i, with `smooth` in place of B."""
        return steps.mapping(r, smooth, self.s1[i], self.s2[i])


class Equation(NamedTuple):
    """A system at one iteration. u is None if u is zero."""

    system: LinearSystem
    i: int

    def smooth(self, r: Tensor) -> Tensor:
        """Returns B * r."""
        return self.system.B[self.i % len(self.system.B)](r)

    def product(self, e: Tensor) -> Tensor:
        """Returns A * e."""
        return instance(self.system.A, self.i)(e)

    def correction(self, r: Tensor, smooth: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Returns e = s2(B * s1(r)). If `smooth` is given, it replaces B."""
        return self.system.correction(self.i, r, smooth or self.smooth)

    def data(self, u: Tensor | None, r: Tensor) -> Data | None:
        """Returns the data of the feature form: (f,) with f = r + A(u), or (f, None) if u = 0.

        In the residual form, which needs no data, returns None.
        """
        if self.system.form == "residual":
            return None
        return (r, None) if u is None else (steps.data(r, u, self._map(0)),)

    def residual(self, data: Data, u: Tensor | None) -> Tensor:
        """Returns f - A(u)."""
        return steps.residual(data[0], u, self._map(len(data) - 1))

    def last_residual(self, data: Data, u: Tensor) -> Tensor:
        """Returns f - A(u) after the last iteration."""
        mode = {"training": False} if self.system.last else {}
        return steps.residual(data[0], u, self._map(len(data) - 1, **mode))

    def _map(self, first: int, **mode: bool) -> Callable[[Tensor], Tensor]:
        """Returns the map u -> t2(A * t1(u)).

        The first pair of norms belongs to iteration `first`. `mode` overrides the training mode.
        """
        t1, t2 = (instance(t, self.i - first) for t in (self.system.t1, self.system.t2))
        return lambda u: steps.mapping(u, self.product, lambda x: t1(x, **mode), lambda x: t2(x, **mode))
