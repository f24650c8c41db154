"""The level: a layer that repeats the iteration of a scheme on one grid. Two options save memory in training."""

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
    """Repeats an iteration on one grid. The scheme is the formula of the iteration. The field is the function in the formula.

    For example, `Euler` has the formula x <- x + f(x), and its field f is a residual branch. The state is what the iteration
    updates: x for `Euler`, u and r for an MgNet. Call a level with the arguments of `scheme.begin`. The level returns the result
    of `scheme.end`.

    By default a level in training stores all intermediate tensors for the backward pass. Two options save memory and cost time:

    - **Recompute.** Create the level inside `keras.RematScope("list_of_layers", layer_names=[its name])`. The level then stores
      only the state before each iteration. The backward pass recomputes the iterations one by one, last to first, and holds the
      intermediate tensors of one iteration at a time. A recomputed iteration uses the same random numbers, and does not
      change the moving statistics of norms.
    - **Recover.** Set `memory_free`. The level then stores only the last state. The backward pass recovers the earlier states
      with `scheme.undo`, and evaluates the field again in each iteration. The scheme must have `undo` and `pull_back`, and no
      weights. The field must not draw random numbers. The backward pass does not change the moving statistics of norms.

    Both options need TensorFlow or JAX. On other backends a level always stores all intermediate tensors.

    Args:
        scheme: the formula of one iteration.
        field: the function in the formula, with its weights. The field sets the number of iterations, `field.uses`.
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
            raise ValueError(f"expected memory_free only with a reversible scheme. Received: {type(scheme).__name__}")
        self.field, self.scheme, self.memory_free = field, scheme, memory_free
        self.state_dtype = keras.backend.result_type(self.compute_dtype, *["float32"] * scheme.wide)

    @property
    def nu(self) -> int:
        """Number of iterations."""
        return self.field.uses

    @property
    def method(self) -> Method:
        """The numerical method of the level: name, formula, order and equation."""
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
        """Returns symbolic tensors in the dtype of the state. `shapes` is a shape or a structure of shapes."""
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
        """Applies all iterations of a scheme to a state. Iteration i of the scheme evaluates iteration first + i of the field."""
        for i in range(getattr(scheme, "nu", self.nu)):
            state = self.evaluate(partial(scheme.step, i, self.field.at(first + i)), state, training)
        return state

    def rematerialized_call(self, layer_call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Returns the function that Keras calls in place of `call` inside a `keras.RematScope`.

        A level that is named in the scope returns `call` unchanged: `Level.evaluate` recomputes each iteration.
        """
        return (
            layer_call if compat.is_named_for_remat(self) else super().rematerialized_call(layer_call, *args, **kwargs)
        )

    def evaluate(self, step: Callable[..., State], state: State, training: bool | None) -> State:
        """Returns step(*state).

        In training, a level that is named in a `keras.RematScope` does not store the intermediate tensors of the step.

        Args:
            step: one iteration. The function may read only the state and variables.
            state: tensors in any nested structure; None stands for zero.
            training: whether the level is in training mode.
        """
        if not (training and compat.is_named_for_remat(self) and autodiff.is_available()):
            return step(*state)
        return memory.evaluated_again(step, state, self.dtype_policy)

    def inverse(self, *last: Tensor, training: bool = False) -> State:
        """Returns the first state for a given last state: the inverse of the level.

        The scheme must have `undo`. The moving statistics of norms do not change.

        Args:
            last: the tensors that the level returned, each (N, H, W, c).
            training: whether the level ran in training mode, where norms use batch statistics.
        """
        with keras.StatelessScope(zip(self.variables, map(autodiff.read, self.variables), strict=True)):
            for i in reversed(range(self.nu)):
                last = self.scheme.undo(i, lambda x, i=i: self.field(x, i=i, training=training), *last)
        return last


def _shapes(given: Any) -> list[Shape]:
    """Returns a list of shapes. `given` is one shape or a sequence of shapes and None. The list leaves None out."""
    several = isinstance(given[0], (tuple, list))
    return [tuple(shape) for shape in (given if several else [given]) if shape is not None]
