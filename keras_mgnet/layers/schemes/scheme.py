"""The base class of schemes. A scheme is the arithmetic of one iteration, with its name in numerical analysis."""

from typing import Any, ClassVar, NamedTuple

import keras

from keras_mgnet.annotations import DType

State = tuple[Any, ...]


class Method(NamedTuple):
    """Describes an iteration in the terms of numerical analysis."""

    name: str
    step: str  # one iteration
    order: str  # order of consistency, in words if it is not a number or does not exist
    equation: str  # the equation that the iteration discretises or solves


class Scheme(keras.layers.Layer):
    """The arithmetic of one iteration. A `Level` repeats the iteration with a field.

    A subclass defines `method` and `step`. By default the state is the tuple of the arguments of the level, and the level returns
    the last state. A subclass with another state or result also defines `begin` or `end`.

    The argument `f` of these methods is the field at one iteration. f(x) is the value of the field. f.parts(x) returns (x, f(x)),
    or (R x, f(x)) if the iteration has a shortcut R.

    All convolutions belong to the field. A scheme may have trainable coefficients. A reversible scheme also has `undo` and
    `pull_back`, see `Coupling`.

    Attributes:
        method: name, formula, order and equation, as `describe` prints them.
        wide: whether states have at least float32 precision, even if the field computes in lower precision.

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
        """Raises ValueError if the scheme does not work with the field."""

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
        """Returns the numerical method of this scheme with a field. With stochastic depth, for example, Euler is stochastic."""
        return self.method

    def shapes(self, field: Any, *given: Any) -> Any:
        """Returns the shapes of the result of the level. `given` are the shapes of the arguments of the level."""
        return field.compute_output_shape(*given)
