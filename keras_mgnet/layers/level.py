"""The level: a scheme that is iterated over a field on one grid. The one loop, and the ways to pay for its memory."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import keras
from keras import ops

from keras_mgnet import compat
from keras_mgnet.annotations import DType, Shape, Tensor
from keras_mgnet.layers import autodiff
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
    - With `memory_free`, for a scheme that can be undone, it stores the last state alone and recovers the others from it, at
      the price of one more evaluation of the field. Recomputed norms take the statistics of the batch again and leave the
      moving ones as they are.

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
        if memory_free and not hasattr(scheme, "undo"):
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
            state = self._recovered(state)
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
        y, variables, moved = autodiff.noted(partial(step, *state))
        values = _Entered(partial(_read, variables), self.variable_dtype)(training=True)  # in full precision
        evaluate = partial(self._again, step, state, variables)
        outputs = [ops.stop_gradient(output) for output in _tensors(y)]
        autodiff.assign(variables, moved)
        return _packed(y, _differentiated(evaluate, outputs, _tensors(state), values))

    def _again(
        self, step: Callable[..., State], state: State, variables: Sequence[keras.Variable], *primals: Tensor
    ) -> tuple[Tensor, ...]:
        """The outputs of a step by given tensors of its state and given values of the variables."""
        given = _packed(state, primals[: len(primals) - len(variables)])
        iteration = _Entered(partial(step, *given), self.dtype_policy)
        values = primals[len(primals) - len(variables) :]
        y, _ = autodiff.by_values(variables, values, lambda: iteration(training=True))
        return tuple(_tensors(y))

    def inverse(self, *last: Tensor, training: bool = False) -> State:
        """Returns what the level maps to `last`; the scheme must be one that can be undone. Moving statistics stay as they are.

        Args:
            last: what the level returned, each (N, H, W, c).
            training: whether it did so in training, with the statistics of the batch.
        """
        with keras.StatelessScope(zip(self.variables, _read(self.variables), strict=True)):
            for i in reversed(range(self.nu)):
                last = self.scheme.undo(i, lambda x, i=i: self.field(x, i=i, training=training), *last)
        return last

    def _recovered(self, state: State) -> State:
        """The training step without stored states. What has a gradient must be an argument, so variables come as values."""

        @ops.custom_gradient
        def run(state: Any, values: Any) -> Any:
            state, values = keras.tree.map_structure(ops.stop_gradient, (state, values))
            iterate = partial(self.iterate, self.scheme, state, True)
            last, moved = autodiff.by_values(self.variables, values, iterate)

            def gradient(*given: Any) -> Any:
                upstream = given[0] if len(given) == 1 else given
                return self._pulled_back(last, upstream[: len(last)], values)

            return (*last, moved), gradient

        *last, moved = run(state, _read(self.variables))
        autodiff.assign(self.variables, moved)
        return tuple(last)

    def _pulled_back(self, state: State, upstream: Any, values: Any) -> tuple[Any, Any]:
        """Maps the cotangents of the last state to those of the first and of the values, recovering the states on the way."""
        values = dict(zip(map(id, self.variables), values, strict=True))
        d_values: dict[int, Tensor] = {}
        for i in reversed(range(self.nu)):
            linear = _Linearized(self.field, i, values, upstream)
            state = self.scheme.undo(i, linear, *state)
            upstream = self.scheme.pull_back(i, linear.pull, *upstream)
            for key, d_value in linear.d_values.items():
                d_values[key] = d_values[key] + d_value if key in d_values else d_value
        return upstream, [d_values[id(variable)] for variable in self.variables]


class _Linearized:
    """A field at one iteration in training, by given values of its variables, which keeps its derivative at the last x."""

    def __init__(self, field: Field, i: int, values: dict[int, Tensor], events: Sequence[Tensor]) -> None:
        self.field, self.i, self.events = field, i, events
        self.d_values: dict[int, Tensor] = {}
        self.variables = field.variables_at(i)
        self.values = [values[id(variable)] for variable in self.variables]

    def __call__(self, x: Tensor) -> Tensor:
        given = autodiff.after([self.events[-1]], self.values)
        y, self._pull = autodiff.vjp(self._evaluate, x, *given)
        return y

    def _evaluate(self, x: Tensor, *values: Tensor) -> Tensor:
        with keras.StatelessScope(zip(self.variables, values, strict=True)):
            return ops.cast(self.field(x, i=self.i, training=True), x.dtype)

    def pull(self, d_y: Tensor) -> Tensor:
        """Returns the cotangent of x, and notes those of the values."""
        d_x, *d_values = self._pull(d_y)
        self.d_values = dict(zip(map(id, self.variables), d_values, strict=True))
        return d_x


class _Entered(keras.layers.Layer):
    """Evaluates f as `call` would: what f calls finds the mode and the precision that this is called with."""

    def __init__(self, f: Any, dtype: DType) -> None:
        super().__init__(dtype=dtype, name="again")
        self.f = f

    def call(self, training: bool | None = None) -> Any:
        return self.f()


def _shapes(given: Any) -> list[Shape]:
    """The shapes of what a level is called with, which may be the one shape itself."""
    several = isinstance(given[0], (tuple, list))
    return [tuple(shape) for shape in (given if several else [given]) if shape is not None]


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in keras.tree.flatten(tree) if leaf is not None]


def _packed(tree: Any, tensors: Iterable[Tensor]) -> Any:
    """The tree with other tensors in the places of its own."""
    tensors = iter(tensors)
    leaves = [leaf if leaf is None else next(tensors) for leaf in keras.tree.flatten(tree)]
    return keras.tree.pack_sequence_as(tree, leaves)


def _read(variables: Sequence[keras.Variable]) -> list[Tensor]:
    return [autodiff.read(variable) for variable in variables]


def _differentiated(
    evaluate: Callable[..., Any], outputs: Sequence[Tensor], tensors: Sequence[Tensor], values: Sequence[Any]
) -> Any:
    """The outputs as they are, with the gradient of evaluate(*tensors, *values), which is not called before it is needed."""

    @ops.custom_gradient
    def run(outputs: Any, tensors: Any, values: Any) -> Any:
        def gradient(*upstream: Any) -> Any:
            upstream = tuple(keras.tree.flatten(upstream))
            _, pull = autodiff.vjp(evaluate, *tensors, *autodiff.after(upstream, values))
            found = pull(upstream)
            return [None] * len(outputs), found[: len(tensors)], found[len(tensors) :]

        return outputs, gradient

    return run(outputs, tensors, values)
