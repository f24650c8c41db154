"""The base class of fields. A field is the right-hand side f of an iteration, with all its weights."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras

from keras_mgnet.annotations import DType, Shape, Tensor
from keras_mgnet.layers import steps
from keras_mgnet.layers.schemes.scheme import Method
from keras_mgnet.layers.stochastic import StochasticDepth
from keras_mgnet.serialization import serializable


class Field(keras.layers.Layer):
    """What a scheme evaluates: f^i(x) for the iterations i < uses.

    A subclass defines `uses` and `call(x, i=0)`, and `compute_output_shape` if f^i(x) has another shape than x.

    Attributes:
        uses: number of iterations.
        by_euler: description of the method that `Euler` becomes with this field; None for plain forward Euler.
        by_coupling: description of the method that `Coupling` becomes with this field; None for the additive coupling.
        draws: whether training drops iterations at random.
    """

    uses: int = 1
    by_euler: Method | None = None
    by_coupling: Method | None = None
    draws: bool = False

    def compute_output_shape(self, input_shape: Shape) -> Any:
        return tuple(input_shape)

    def at(self, i: int) -> Any:
        """Returns the field at iteration i, the argument `f` of the methods of a scheme."""
        return At(self, i)

    def parts(self, x: Tensor, i: int) -> tuple[Tensor, Tensor]:
        """Returns (x, f^i(x)), or (R x, f^i(x)) if iteration i has a shortcut R."""
        return x, self(x, i=i)

    def variables_at(self, i: int) -> list[keras.Variable]:
        """Returns the variables that f^i reads. The list may contain other variables of the field, too."""
        return self.variables


class At(NamedTuple):
    """A field at one iteration."""

    field: Field
    i: int

    def __call__(self, x: Tensor) -> Tensor:
        return self.field(x, i=self.i)

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns (R x, f(x)), see `Field.parts`."""
        return self.field.parts(x, self.i)


@serializable
class Blocks(Field):
    """The field of residual blocks: a branch, the shortcut of the first block, and optionally stochastic depth.

    Args:
        branch: f, a field with one iteration per block.
        R: the shortcut of the first block, if it changes the grid or the channels.
        R_activated: whether R acts on sigma(norm(x)), which the branch computes first, instead of on x.
        survival: for each block the probability that f^i survives a training step (see `StochasticDepth`); None for no
            stochastic depth.
        inverted: as in `StochasticDepth`.

    Example:
        >>> from keras_mgnet.layers import Euler, Level, ZeroPadding, basic
        >>> f = Blocks(basic(4, uses=3, strides=2), R=ZeroPadding(4, 2))
        >>> tuple(Level(Euler(), f)(keras.ops.ones((1, 8, 8, 2))).shape)
        (1, 4, 4, 4)
    """

    stochastic = Method(
        "simplified weak Euler scheme",
        "x_{n+1} = x_n + eta_n f(x_n), eta_n ~ Bernoulli(p_n)",
        "weak: 1 for p_n = 1/2, else 1/2; strong: none",
        "dx = p f dt + (p (1 - p))^(1/2) f dW",
    )

    def __init__(
        self,
        branch: Field,
        *,
        R: keras.layers.Layer | None = None,
        R_activated: bool = False,
        survival: Sequence[float] | None = None,
        inverted: bool = False,
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.branch, self.R, self.R_activated = branch, R, R_activated
        gate = {"inverted": inverted, "name": "gate", "dtype": self.dtype_policy}
        self.gate = None if survival is None else StochasticDepth(survival, **gate)
        self.uses, self.draws = branch.uses, self.gate is not None or branch.draws
        self.by_euler = self.stochastic if self.draws else branch.by_euler

    def build(self, input_shape: Shape) -> None:
        self.branch.build(input_shape)
        if self.R is not None:
            self.R.build(input_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return self.branch.compute_output_shape(input_shape)

    def call(self, x: Tensor, i: int = 0) -> Tensor:
        return self.parts(x, i)[1]

    def parts(self, x: Tensor, i: int) -> tuple[Tensor, Tensor]:
        R = self.R if i == 0 else None
        if R is not None and self.R_activated:
            activated = self.branch.activate(x, i)
            x, f = R(activated), self.branch.convolve(activated, i)
        else:
            x, f = x if R is None else R(x), self.branch(x, i=i)
        return x, f if self.gate is None else self.gate(f, i=i)


@serializable
class InTurn(Field):
    """Several fields as one. The iterations of the first field come first, then the iterations of the second field, and so on.

    Args:
        fields: fields that preserve the shape. No two of them share a weight.

    Example:
        >>> from keras_mgnet.layers import basic
        >>> f = InTurn([basic(4, uses=2), basic(4, uses=2)])
        >>> f.uses, tuple(f(keras.ops.ones((1, 8, 8, 4)), i=3).shape)
        (4, (1, 8, 8, 4))
    """

    def __init__(self, fields: Sequence[Field], *, name: str | None = None, dtype: DType = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.fields = list(fields)
        self.by_coupling = self.fields[0].by_coupling
        self.uses = len(self._places)

    @property
    def _places(self) -> list[tuple[Field, int]]:
        return [(field, i) for field in self.fields for i in range(field.uses)]

    def build(self, input_shape: Shape) -> None:
        for field in self.fields:
            field.build(input_shape)

    def at(self, i: int) -> Any:
        field, j = self._places[min(i, self.uses - 1)]  # a scheme also asks for the iteration after the last
        return field.at(j)

    def call(self, x: Tensor, i: int = 0) -> Tensor:
        field, j = self._places[i]
        return field(x, i=j)

    def variables_at(self, i: int) -> list[keras.Variable]:
        field, j = self._places[i]
        return field.variables_at(j)


@serializable
class Sum(Field):
    """Adds fields: f^i(x) = sum_j f_j^i(x).

    If the shortcut acts on the activated x (`R_activated` in `Blocks`), all f_j share the norm and activation of the first.

    Args:
        branches: the f_j, for example `Branch` layers. They have the same `uses` and the same output shape.

    Example:
        >>> from keras_mgnet.layers import Euler, Level, basic
        >>> tuple(Level(Euler(), Sum([basic(4, uses=3), basic(4, uses=3)]))(keras.ops.ones((1, 8, 8, 4))).shape)
        (1, 8, 8, 4)
    """

    by_euler = Method("forward Euler", "x_{n+1} = x_n + f_1(x_n) + ... + f_k(x_n)", "1", "x' = f_1(x) + ... + f_k(x)")

    def __init__(self, branches: Sequence[Field], *, name: str | None = None, dtype: DType = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.branches = list(branches)
        self.uses = self.branches[0].uses

    def build(self, input_shape: Shape) -> None:
        for f in self.branches:
            f.build(input_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return self.branches[0].compute_output_shape(input_shape)

    def call(self, x: Tensor, i: int = 0) -> Tensor:
        return steps.superpose([f(x, i=i) for f in self.branches])

    def activate(self, x: Tensor, i: int) -> Tensor:
        """Returns the input of the first convolutions in iteration i."""
        return self.branches[0].activate(x, i)

    def convolve(self, x: Tensor, i: int) -> Tensor:
        """Applies the rest of f^i, from the first convolutions on, to the result of `activate`."""
        return steps.superpose([f.convolve(x, i) for f in self.branches])
