"""The contract of a scheme: the arithmetic of one iteration, and its name in numerical analysis."""

from typing import Any, ClassVar, NamedTuple

import keras

from keras_mgnet.annotations import DType

State = tuple[Any, ...]


class Method(NamedTuple):
    """Describes an iteration in the terms of numerical analysis."""

    name: str
    step: str  # one iteration
    order: str  # order of consistency, in words if it is not a number
    equation: str  # the equation that the iteration discretises or solves


class Scheme(keras.layers.Layer):
    """The arithmetic of one iteration. A `Level` iterates it over a field.

    A subclass defines `method` and `step`, and `begin` and `end` if the defaults do not fit. Their argument `f` is the field at
    one iteration. f(x) is its value. f.parts(x) returns the term that takes the place of x in the sum, and that value. A scheme
    has no weights except scalars of its own. A scheme that can be undone also has `undo` and `pull_back`, see `Coupling`.

    Attributes:
        method: name, formula, order and equation, as `describe` prints them.
        wide: whether states have at least float32 precision, even if the field computes in less.

    Example:
        >>> class Heun(Scheme):
        ...     method = Method("Heun's method", "x <- x + (f(x) + f(x + f(x))) / 2", "2", "x' = f(x)")
        ...
        ...     def step(self, i, f, x):
        ...         k1 = f(x)
        ...         return (x + (k1 + f(x + k1)) / 2,)
        >>> from keras_mgnet.layers import Level, basic
        >>> tuple(Level(Heun(), basic(4, uses=2))(keras.ops.ones((1, 8, 8, 4))).shape)
        (1, 8, 8, 4)
    """

    method: ClassVar[Method]
    wide: ClassVar[bool] = False

    def __init__(self, *, name: str | None = "scheme", dtype: DType = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def check(self, field: Any) -> None:
        """Raises ValueError if the scheme cannot be iterated over the field."""

    def begin(self, f: Any, *given: Any) -> State:
        """Returns the state before the first iteration, from the arguments of the level."""
        return given

    def step(self, i: int, f: Any, *state: Any) -> State:
        """Returns the state after iteration i. None stands for a state that is zero."""
        raise NotImplementedError

    def end(self, f: Any, *state: Any) -> Any:
        """Returns the result of the level. `f` is the field at the iteration after the last one."""
        return state[0] if len(state) == 1 else state

    def over(self, field: Any) -> Method:
        """Returns the method that the scheme becomes over a field, such as Euler-Maruyama over a field that draws."""
        return self.method

    def shapes(self, field: Any, *given: Any) -> Any:
        """Returns the shapes of the level's result."""
        return field.compute_output_shape(*given)
