"""The level: a scheme that is iterated over a field on one grid. The one loop, and the ways to pay for its memory."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
from keras import ops

from keras_mgnet import compat
from keras_mgnet.annotations import DType, Shape, Tensor
from keras_mgnet.layers import autodiff, memory
from keras_mgnet.layers.fields.field import Field
from keras_mgnet.layers.schemes.scheme import Method, Scheme, State
from keras_mgnet.serialization import serializable


@serializable
class Level(keras.layers.Layer):
    """Iterates a scheme over a field on one grid. It is called with what `scheme.begin` takes and returns what `scheme.end` does.

    A level keeps the states of training for the gradient, or pays for less memory with time, in one of two ways.

    - A level that is made inside `keras.RematScope("list_of_layers", layer_names=[its name])` stores only the inputs of its
      iterations. The backward pass recomputes the iterations one by one, last to first, so the intermediate tensors of a single
      iteration are in memory at a time. The second evaluation draws the same random numbers and leaves moving statistics alone.
    - With `memory_free` it stores the last state alone and recovers the others from it, at the price of one more evaluation of
      the field. The scheme must have `undo` and `pull_back` and no weights, the field must draw nothing. Recomputed norms take
      the statistics of the batch again and leave the moving ones as they are.

    Both need TensorFlow or JAX; on other backends the states are kept.

    Args:
        scheme: the arithmetic of an iteration.
        field: what it evaluates; it says how many iterations there are.
        memory_free: see above.

    Example:
        >>> from keras_mgnet.layers import Euler, basic
        >>> with keras.RematScope("list_of_layers", layer_names=["level1"]):
        ...     level = Level(Euler(), basic(4, uses=3), name="level1")
        >>> tuple(level(ops.ones((1, 8, 8, 4)), training=True).shape)
        (1, 8, 8, 4)
    """

    def __init__(
        self, scheme: Scheme, field: Field, *, memory_free: bool = False, name: str | None = None, dtype: DType = None
    ) -> None:
        super().__init__(autocast=not scheme.wide, name=name, dtype=dtype)
        scheme.check(field)
        if memory_free and not hasattr(scheme, "pull_back"):
            raise ValueError(f"expected a scheme that can be undone for memory_free. Received: {type(scheme).__name__}")
        self.field, self.scheme, self.memory_free = field, scheme, memory_free
        self.state_dtype = keras.backend.result_type(self.compute_dtype, *["float32"] * scheme.wide)

    @property
    def nu(self) -> int:
        """Number of iterations."""
        return self.field.uses

    @property
    def method(self) -> Method:
        """What its iteration is to a numerical analyst."""
        return self.scheme.over(self.field)

    def build(self, given_shape: Shape | Sequence[Shape | None]) -> None:
        shapes = _shapes(given_shape)
        if getattr(self.scheme, "nu", self.nu) != self.nu:
            raise ValueError(f"expected a scheme of {self.nu} iterations, as the field. Received: nu={self.scheme.nu}")
        self.field.build(shapes[-1] if self.scheme.wide else shapes[0])
        self.scheme.build(shapes[0])

    def compute_output_shape(self, given_shape: Shape | Sequence[Shape | None]) -> Any:
        return self.scheme.shapes(self.field, *_shapes(given_shape))

    def compute_output_spec(self, *given: Any, training: bool | None = None) -> Any:
        return self.symbolic(self.compute_output_shape([x.shape for x in given if x is not None]))

    def symbolic(self, shapes: Any) -> Any:
        """Returns symbolic tensors of these shapes, as the level returns them."""
        return keras.tree.map_shape_structure(lambda shape: keras.KerasTensor(shape, dtype=self.state_dtype), shapes)

    def call(self, *given: Tensor, training: bool | None = None) -> Any:
        if self.scheme.wide:
            given = tuple(ops.cast(x, self.state_dtype) for x in given)
        state = self.scheme.begin(self.field.at(0), *given)
        if training and self.memory_free and not compat.is_named_for_remat(self) and autodiff.is_available():
            iterate = partial(self.iterate, self.scheme, training=True)
            state = memory.recovered(self.scheme, self.field, iterate, state)
        else:
            state = self.iterate(self.scheme, state, training)
        return self.scheme.end(self.field.at(self.nu), *state)

    def iterate(self, scheme: Scheme, state: State, training: bool | None, first: int = 0) -> State:
        """Returns the state after all iterations of a scheme, which begins at iteration `first` of the level."""
        for i in range(getattr(scheme, "nu", self.nu)):
            state = self.evaluate(partial(scheme.step, i, self.field.at(first + i)), state, training)
        return state

    def rematerialized_call(self, layer_call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Returns what Keras calls in place of `call`: `call` itself, which evaluates its iterations again."""
        return (
            layer_call if compat.is_named_for_remat(self) else super().rematerialized_call(layer_call, *args, **kwargs)
        )

    def evaluate(self, step: Callable[..., State], state: State, training: bool | None) -> State:
        """Returns step(*state); in training, where the level is named, without keeping what it computes on the way.

        Args:
            step: one iteration, which computes tensors from its state and from variables alone.
            state: tensors, in any nest, and None for what is zero.
            training: the mode of the level.
        """
        if not (training and compat.is_named_for_remat(self) and autodiff.is_available()):
            return step(*state)
        return memory.evaluated_again(step, state, self.dtype_policy)

    def inverse(self, *last: Tensor, training: bool = False) -> State:
        """Returns what the level maps to `last`; the scheme must be one that can be undone. Moving statistics stay as they are.

        Args:
            last: what the level returned, each (N, H, W, c).
            training: whether it did so in training, with the statistics of the batch.
        """
        with keras.StatelessScope(zip(self.variables, map(autodiff.read, self.variables), strict=True)):
            for i in reversed(range(self.nu)):
                last = self.scheme.undo(i, lambda x, i=i: self.field(x, i=i, training=training), *last)
        return last


def _shapes(given: Any) -> list[Shape]:
    """The shapes of what a level is called with, which may be the one shape itself."""
    several = isinstance(given[0], (tuple, list))
    return [tuple(shape) for shape in (given if several else [given]) if shape is not None]
