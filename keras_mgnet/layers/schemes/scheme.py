"""The contract of a scheme: the arithmetic of one iteration, and what numerical analysis calls it."""

from typing import Any, ClassVar, NamedTuple

import keras

from keras_mgnet.annotations import DType

State = tuple[Any, ...]


class Method(NamedTuple):
    """What an iteration is to a numerical analyst."""

    name: str
    step: str  # one iteration
    order: str  # of consistency, in words where it is no number
    equation: str  # what the iteration discretises or solves


class Scheme(keras.layers.Layer):
    """The arithmetic of one iteration. A `Level` runs it over a field.

    A subclass defines `method` and `step`, and where they are not trivial `begin` and `end`. In all of them `f` is the field
    at one iteration: f(x) is its value, f.parts(x) that value with what takes the place of x in the sum. A scheme has no
    weights but its own scalars. A scheme that can be undone also has `undo` and `pull_back`, see `Coupling`.

    Attributes:
        method: name, formula, order and equation, as `describe` prints them.
        wide: whether states have at least float32, also where the field computes in less.

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
        """Raises ValueError unless the scheme can be iterated over a field."""

    def begin(self, f: Any, *given: Any) -> State:
        """Returns the state before the first iteration, from what the level is called with."""
        return given

    def step(self, i: int, f: Any, *state: Any) -> State:
        """Returns the state after iteration i; `None` is a state that is zero."""
        raise NotImplementedError

    def end(self, f: Any, *state: Any) -> Any:
        """Returns what the level returns; f is the field at the iteration after the last."""
        return state[0] if len(state) == 1 else state

    def over(self, field: Any) -> Method:
        """Returns the method that this is over a field, such as Euler-Maruyama over one that draws."""
        return self.method

    def shapes(self, field: Any, *given: Any) -> Any:
        """Returns the shapes of what the level returns."""
        return field.compute_output_shape(*given)
