"""The level: iterates a scheme over a field on one grid. It holds the only loop, and the ways to save its memory."""

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
    """Iterates a scheme over a field on one grid.

    Call it with the arguments of `scheme.begin`; it returns the result of `scheme.end`.

    In training a level stores the states of all iterations for the gradient. Two options save memory and cost time:

    - A level that is made inside `keras.RematScope("list_of_layers", layer_names=[its name])` stores only the inputs of its
      iterations. The backward pass recomputes the iterations one by one, last to first, so the intermediate tensors of a single
      iteration are in memory at a time. The recomputation draws the same random numbers and leaves moving statistics unchanged.
    - With `memory_free` a level stores only the last state and recovers the others from it. This costs one more evaluation of the
      field. The scheme must have `undo` and `pull_back` and no weights, and the field must not draw random numbers. Recomputed
      norms use the batch statistics again and leave the moving statistics unchanged.

    Both options need TensorFlow or JAX. On other backends the states are stored.

    Args:
        scheme: the arithmetic of one iteration.
        field: what the scheme evaluates. It sets the number of iterations.
        memory_free: whether to store only the last state, see above.

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
        """The numerical method that the level iterates."""
        return self.scheme.over(self.field)

    def build(self, given_shape: Shape | Sequence[Shape | None]) -> None:
        shapes = _shapes(given_shape)
        if getattr(self.scheme, "nu", self.nu) != self.nu:
            raise ValueError(
                f"expected a scheme of {self.nu} iterations, like the field. Received: nu={self.scheme.nu}"
            )
        self.field.build(shapes[-1] if self.scheme.wide else shapes[0])
        self.scheme.build(shapes[0])

    def compute_output_shape(self, given_shape: Shape | Sequence[Shape | None]) -> Any:
        return self.scheme.shapes(self.field, *_shapes(given_shape))

    def compute_output_spec(self, *given: Any, training: bool | None = None) -> Any:
        return self.symbolic(self.compute_output_shape([x.shape for x in given if x is not None]))

    def symbolic(self, shapes: Any) -> Any:
        """Returns symbolic tensors of the given shapes, in the structure that the level returns."""
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
        """Returns the state after all iterations of a scheme, starting at iteration `first` of the level."""
        for i in range(getattr(scheme, "nu", self.nu)):
            state = self.evaluate(partial(scheme.step, i, self.field.at(first + i)), state, training)
        return state

    def rematerialized_call(self, layer_call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Returns what Keras calls in place of `call`.

        For a level named for remat that is `call` itself, which recomputes its iterations.
        """
        return (
            layer_call if compat.is_named_for_remat(self) else super().rematerialized_call(layer_call, *args, **kwargs)
        )

    def evaluate(self, step: Callable[..., State], state: State, training: bool | None) -> State:
        """Returns step(*state).

        In training, a level that is named for remat does not store the intermediate tensors.

        Args:
            step: one iteration. It may use only its state and variables.
            state: tensors in any nested structure; None stands for zero.
            training: whether the level is in training mode.
        """
        if not (training and compat.is_named_for_remat(self) and autodiff.is_available()):
            return step(*state)
        return memory.evaluated_again(step, state, self.dtype_policy)

    def inverse(self, *last: Tensor, training: bool = False) -> State:
        """Inverts the level: returns the state that it maps to `last`.

        The scheme must have `undo`. Moving statistics do not change.

        Args:
            last: what the level returned, each (N, H, W, c).
            training: whether the level returned it in training mode, with batch statistics.
        """
        with keras.StatelessScope(zip(self.variables, map(autodiff.read, self.variables), strict=True)):
            for i in reversed(range(self.nu)):
                last = self.scheme.undo(i, lambda x, i=i: self.field(x, i=i, training=training), *last)
        return last


def _shapes(given: Any) -> list[Shape]:
    """Returns the shapes of a level's arguments as a list, also if `given` is a single shape."""
    several = isinstance(given[0], (tuple, list))
    return [tuple(shape) for shape in (given if several else [given]) if shape is not None]
